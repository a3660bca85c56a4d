"""Rows of the table of corner cases that concern rollback."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, feed_types, flow, run_once, status_of, step_of
from workflows import RollbackInput, Timing, WorkflowError, WorkflowEvent, WorkflowFatalError
from workflows.testing import open_test_engine


class Trip:
    """Books some things and forgets to pay: what was undone is in `undone`, in order."""

    def __init__(self, *, fails_to_undo: str = "") -> None:
        self.booked: list[str] = []
        self.undone: list[Any] = []
        self.fails_to_undo = fails_to_undo

    def book(self, name: str) -> str:
        self.booked.append(name)
        return name.upper()

    def undo(self, given: RollbackInput) -> None:
        name = given.ctx.step.name
        if name == self.fails_to_undo:
            raise OSError("stays booked")
        self.undone.append(
            (name, given.output, getattr(given.error, "name", type(given.error).__name__), str(given.error))
        )

    async def do(self, step: Any, name: str) -> Any:
        config = {"retries": {"limit": 1, "delay": 10}}
        return await step.do(name, lambda: self.book(name), rollback=self.undo, rollback_config=config)


async def test_an_uncaught_error_undoes_newest_first(open_engine_here: OpenEngine) -> None:
    trip = Trip()

    async def body(event: WorkflowEvent, step: Any) -> None:
        await trip.do(step, "flight")
        await step.do("no undo", lambda: 1)
        await trip.do(step, "hotel")
        raise ValueError("no money")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(ValueError, match="no money"):
        await run_once(engine, workflow)
    assert trip.undone == [("hotel", "HOTEL", "ValueError", "no money"), ("flight", "FLIGHT", "ValueError", "no money")]
    flight = step_of(engine, workflow, "flight")
    assert flight.rollback is not None
    assert flight.rollback.step.state == "done"
    types = feed_types(engine, workflow)
    assert types.index("rollback_started") < types.index("rollback_step_started") < types.index("rollback_completed")
    assert types[-1] == "workflow_errored"


async def test_a_step_that_failed_is_undone_too_with_no_output(open_engine_here: OpenEngine) -> None:
    undone = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        def fails() -> None:
            raise OSError("half done")

        config = {"retries": {"limit": 0, "delay": 1}}
        await step.do("s", config, fails, rollback=lambda given: undone.append((given.output, given["ctx"].attempt)))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(OSError, match="half done"):
        await run_once(engine, workflow)
    assert undone == [(None, 1)]


async def test_row_42_terminate_with_rollback_stops_at_the_first_undoing_that_fails(
    open_engine_here: OpenEngine,
) -> None:
    trip = Trip(fails_to_undo="hotel")

    async def body(event: WorkflowEvent, step: Any) -> None:
        for name in ("flight", "hotel", "car"):
            await trip.do(step, name)
        await step.sleep("on the way", "10 days")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("1 day")
    await handle.terminate(rollback=True)
    await engine.advance("1 hour")
    assert status_of(engine, workflow) == "terminated"
    assert [(name, kind) for name, _, kind, _ in trip.undone] == [("car", "Terminated")]
    types = feed_types(engine, workflow)
    assert "rollback_errored" in types
    assert types[-1] == "workflow_terminated"
    hotel = step_of(engine, workflow, "hotel").rollback
    assert hotel is not None
    assert [attempt.is_success for attempt in hotel.attempts] == [False, False]
    assert trip.booked == ["flight", "hotel", "car"]


async def test_terminate_with_rollback_while_a_callback_runs(open_engine_here: OpenEngine) -> None:
    trip = Trip()
    begun = asyncio.Event()

    async def body(event: WorkflowEvent, step: Any) -> None:
        await trip.do(step, "flight")

        async def hangs() -> None:
            begun.set()
            await asyncio.sleep(3600)

        await step.do("hangs", hangs, rollback=trip.undo)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await begun.wait()
    await handle.terminate(rollback=True)
    await engine.settle()
    assert status_of(engine, workflow) == "terminated"
    assert [name for name, *_ in trip.undone] == ["hangs", "flight"]


async def test_row_43_parallel_steps_are_undone_one_at_a_time_in_reverse_order_of_start(
    open_engine_here: OpenEngine,
) -> None:
    undone: list[str] = []
    running = []

    async def undo(given: RollbackInput) -> None:
        running.append(1)
        assert len(running) == 1
        await asyncio.sleep(0.005)
        running.pop()
        undone.append(given.ctx.step.name)

    async def body(event: WorkflowEvent, step: Any) -> None:
        async def work(n: int) -> None:
            await asyncio.sleep(0.01 * (3 - n))

        await asyncio.gather(*(step.do(f"p{n}", lambda n=n: work(n), rollback=undo) for n in range(3)))
        raise ValueError

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(ValueError, match=r"^$"):
        await run_once(engine, workflow)
    assert undone == ["p2", "p1", "p0"]


@pytest.mark.parametrize("registers_again", [True, False])
async def test_row_44_after_a_crash_the_handlers_are_rebuilt_by_a_replay(tmp_path: Path, registers_again: bool) -> None:
    undone: list[str] = []
    lifetimes: list[int] = []
    hangs = asyncio.Event()

    async def body(event: WorkflowEvent, step: Any) -> None:
        lifetimes.append(1)

        async def undo_b(given: RollbackInput) -> None:
            if len(lifetimes) == 1:
                hangs.set()
                await asyncio.sleep(3600)  # until its engine stops
            undone.append("b")

        registers = registers_again or len(lifetimes) == 1
        await step.do("a", lambda: 1, rollback=(lambda: undone.append("a")) if registers else None)
        await step.do("b", lambda: 1, rollback=undo_b)
        await step.sleep("s", 1000)
        raise ValueError("x")

    workflow = flow(body)
    path = tmp_path / "workflows.db"
    async with open_test_engine([workflow], path, timing=Timing(drain_ms=100)) as engine:
        handle = await engine.create(workflow, id="one")
        await asyncio.sleep(0)
        while not hangs.is_set():
            engine.virtual.move_to(engine.virtual.now_ms() + 1000)
            await asyncio.sleep(0.01)
        clock = engine.virtual
    clock.move_to(clock.now_ms() + 1000)
    async with open_test_engine([workflow], path, clock=clock) as engine:
        await engine.settle()
        types = feed_types(engine, workflow)
        assert status_of(engine, workflow) == "errored"
        error = described(engine, workflow).instance.error
        assert error is not None
        assert (error.name, error.message) == ("ValueError", "x")
        feed = engine.reads.feed(described(engine, workflow).instance.seq)
    assert handle.id == "one"
    if registers_again:
        assert undone == ["b", "a"]
        assert "rollback_completed" in types
    else:
        assert undone == ["b"]
        (failed,) = [event for event in feed if event.type == "rollback_errored"]
        assert failed.fields["error"]["name"] == "RollbackMissing"


async def test_row_45_success_undoes_nothing_and_neither_does_a_plain_terminate(open_engine_here: OpenEngine) -> None:
    trip = Trip()

    async def body(event: WorkflowEvent, step: Any) -> str:
        await trip.do(step, "flight")
        if event.payload:
            await step.sleep("s", "1 day")
        return "landed"

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow, params=0) == "landed"
    other = await engine.create(workflow, id="other", params=1)
    await engine.advance("1 hour")
    await other.terminate()
    await engine.settle()
    assert status_of(engine, workflow, "other") == "terminated"
    assert trip.undone == []


async def test_a_step_of_user_code_is_refused_while_rolling_back(open_engine_here: OpenEngine) -> None:
    seen = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        async def undo() -> None:
            try:
                await step.do("more", lambda: 1)
            except WorkflowFatalError as refused:
                seen.append(str(refused))

        await step.do("a", lambda: 1, rollback=undo)
        raise ValueError

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(ValueError, match=r"^$"):
        await run_once(engine, workflow)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "options",
    [{"rollback": 7}, {"rollback": print, "rollback_config": {"sensitive": "output"}}, {"rollback_config": {}}],
)
async def test_bad_rollbacks_are_refused(open_engine_here: OpenEngine, options: Any) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("a", lambda: 1, **options)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(WorkflowFatalError):
        await run_once(engine, workflow)


async def test_terminate_cuts_a_rollback_short(open_engine_here: OpenEngine) -> None:
    hangs = asyncio.Event()

    async def body(event: WorkflowEvent, step: Any) -> None:
        async def undo() -> None:
            hangs.set()
            await asyncio.sleep(3600)

        await step.do("a", lambda: 1, rollback=undo)
        raise ValueError

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await hangs.wait()
    await handle.pause()  # a rollback goes on all the same
    assert status_of(engine, workflow) == "running"
    await handle.terminate()
    assert status_of(engine, workflow) == "terminated"
    with pytest.raises(WorkflowError):
        await handle.terminate(rollback=True)
