"""Rows of the table of corner cases that concern pausing, restarting, ending, and what a lifetime leaves behind."""

import asyncio
import contextlib
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, feed_types, flow, run_once, status_of, step_of
from workflows import (
    InstanceNotFound,
    LifetimeEnded,
    NonDeterminismError,
    SyncWorkflowStep,
    Timing,
    Workflow,
    WorkflowError,
    WorkflowEvent,
)
from workflows.testing import TestEngine

HOUR_MS = 3_600_000


class Gates:
    """Callbacks that begin when called and end when let."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.ended: list[Any] = []
        self.open = asyncio.Event()

    async def pass_(self, name: Any) -> Any:
        self.begun.append(name)
        await self.open.wait()
        self.ended.append(name)
        return name

    async def until_begun(self, count: int) -> None:
        while len(self.begun) < count:
            await asyncio.sleep(0.001)


async def until(engine: TestEngine, workflow: type[Workflow], status: str) -> None:
    await engine.introspect(workflow, "one").wait_for_status(status)


async def test_row_30_pause_lets_a_callback_finish_and_commits_its_result(open_engine_here: OpenEngine) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        first = await step.do("a", lambda: gates.pass_("a"))
        return [first, await step.do("b", lambda: gates.pass_("b"))]

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await gates.until_begun(1)
    await handle.pause()
    await until(engine, workflow, "waitingForPause")
    gates.open.set()
    await until(engine, workflow, "paused")
    assert (gates.begun, step_of(engine, workflow, "a").step.state) == (["a"], "done")
    await handle.resume()
    await engine.settle()
    assert await handle.result(timeout=5) == ["a", "b"]
    assert gates.begun == ["a", "b"]
    types = feed_types(engine, workflow)
    assert types.index("workflow_waiting_for_pause") < types.index("workflow_paused")


async def test_row_31_pause_waits_for_the_last_of_three_callbacks(open_engine_here: OpenEngine) -> None:
    gates = [Gates() for _ in range(3)]

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await asyncio.gather(*(step.do("p", lambda n=n: gates[n].pass_(n)) for n in range(3)))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    for gate in gates:
        await gate.until_begun(1)
    await handle.pause()
    for gate in gates:
        assert status_of(engine, workflow) == "waitingForPause"
        gate.open.set()
        while not gate.ended:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
    await until(engine, workflow, "paused")
    assert [one.step.state for one in described(engine, workflow).steps] == ["done"] * 3


async def test_row_32_resume_calls_off_a_pause_that_has_not_come(open_engine_here: OpenEngine) -> None:
    gates = Gates()
    lifetimes = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        lifetimes.append(1)

        async def second() -> Any:
            await step.do("b", lambda: 2)
            return await step.do("c", lambda: 3)

        return await asyncio.gather(step.do("a", lambda: gates.pass_("a")), second())

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await gates.until_begun(1)
    await handle.pause()
    await until(engine, workflow, "waitingForPause")
    await handle.resume()
    await until(engine, workflow, "running")
    gates.open.set()
    await engine.settle()
    assert await handle.result(timeout=5) == ["a", 3]
    assert lifetimes == [1]


async def test_row_33_a_pause_keeps_what_was_left_of_a_sleep(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.sleep("s", "1 hour")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("20 minutes")
    await handle.pause()
    await engine.advance("10 minutes")
    assert status_of(engine, workflow) == "paused"
    await handle.resume()
    resumed_on = engine.virtual.now_ms()
    await engine.advance("2 hours")
    ended_on = step_of(engine, workflow, "s", kind="sleep").step.ended_on
    assert ended_on is not None
    assert ended_on - resumed_on == 40 * 60_000


async def test_row_34_a_pause_keeps_what_was_left_of_a_retry_wait(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        def second_works(ctx: Any) -> None:
            if ctx.attempt == 1:
                raise OSError

        await step.do("s", {"retries": {"limit": 1, "delay": "1 hour"}}, second_works)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("20 minutes")
    await handle.pause()
    await engine.advance("10 minutes")
    await handle.resume()
    resumed_on = engine.virtual.now_ms()
    await engine.advance("2 hours")
    assert step_of(engine, workflow, "s").attempts[1].started_on - resumed_on == 40 * 60_000


async def test_row_35_restart_while_it_waits_for_a_pause_runs_afresh(open_engine_here: OpenEngine) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("a", lambda: gates.pass_(len(gates.begun)))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await gates.until_begun(1)
    await handle.pause()
    await until(engine, workflow, "waitingForPause")
    await handle.restart()
    await gates.until_begun(2)
    gates.open.set()
    await engine.settle()
    assert await handle.result(timeout=5) == 1
    assert gates.ended == [1]


async def three_steps(calls: list[str]) -> type[Workflow]:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        for name in "abc":
            await step.do(name, lambda name=name: calls.append(name))

    return flow(body)


async def test_row_36_restart_from_a_step_keeps_what_began_before_it(open_engine_here: OpenEngine) -> None:
    calls: list[str] = []
    workflow = await three_steps(calls)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    handle = await engine.get(workflow, "one")
    await handle.restart(from_={"name": "b"})
    await engine.settle()
    await handle.result(timeout=5)
    assert calls == ["a", "b", "c", "b", "c"]
    assert [len(one.attempts) for one in described(engine, workflow).steps] == [1, 1, 1]
    assert feed_types(engine, workflow).count("workflow_queued") == 1


@pytest.mark.parametrize(("kind", "again"), [(None, ["x", "y"]), ("do", ["x", "y"]), ("sleep", ["y"])])
async def test_row_37_restart_from_a_name_of_two_kinds_means_the_do(
    open_engine_here: OpenEngine, kind: str | None, again: list[str]
) -> None:
    calls: list[str] = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.do("x", lambda: calls.append("x"))
        await step.sleep("x", "1 hour")
        await step.do("y", lambda: calls.append("y"))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    calls.clear()
    handle = await engine.get(workflow, "one")
    await handle.restart(from_={"name": "x"} | ({"type": kind} if kind else {}))
    await engine.advance("2 hours")
    await handle.result(timeout=5)
    assert calls == again


@pytest.mark.parametrize("from_", [{"name": "d"}, {"name": "b", "count": 2}, {"name": "b", "type": "sleep"}])
async def test_row_38_restart_from_an_unknown_step_changes_nothing(open_engine_here: OpenEngine, from_: Any) -> None:
    workflow = await three_steps([])
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    before = described(engine, workflow)
    with pytest.raises(WorkflowError) as refused:
        await (await engine.get(workflow, "one")).restart(from_=from_)
    assert refused.value.code == "instance.cannot_restart"
    assert described(engine, workflow) == before


async def test_row_39_restart_of_a_running_instance_drops_what_runs(open_engine_here: OpenEngine) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("a", lambda: gates.pass_(len(gates.begun)))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await gates.until_begun(1)
    await handle.restart()
    await gates.until_begun(2)
    gates.open.set()
    await engine.settle()
    assert await handle.result(timeout=5) == 1
    assert gates.ended == [1]
    assert len(step_of(engine, workflow, "a").attempts) == 1


@pytest.mark.parametrize("what", ["restart", "delete"])
async def test_row_40_an_instance_may_restart_or_delete_itself(open_engine_here: OpenEngine, what: str) -> None:
    calls: list[str] = []
    engine: TestEngine

    async def body(event: WorkflowEvent, step: Any) -> Any:
        async def itself() -> str:
            calls.append("called")
            if len(calls) == 1:
                await getattr(await engine.get(workflow, "one"), what)()
                calls.append("went on")
            return "kept"

        return await step.do("a", itself)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    if what == "restart":
        assert await handle.result(timeout=5) == "kept"
        assert calls == ["called", "called"]
        return
    with pytest.raises(InstanceNotFound):
        await handle.result(timeout=5)
    assert calls == ["called"]
    await engine.create(workflow, id="one")  # its id is free again


async def test_row_41_terminating_twice_is_refused(open_engine_here: OpenEngine) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.do("a", lambda: gates.pass_("a"))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await gates.until_begun(1)
    await handle.terminate()
    with pytest.raises(WorkflowError) as refused:
        await handle.terminate()
    assert refused.value.code == "instance.cannot_terminate"
    assert gates.ended == []
    assert (await handle.status()).status == "terminated"
    assert feed_types(engine, workflow)[-1] == "workflow_terminated"
    await handle.restart()  # allowed, and runs again
    await gates.until_begun(2)


REFUSALS = {
    "queued": set(),
    "paused": set(),
    "complete": {"pause", "resume", "terminate", "send_event"},
    "errored": {"pause", "resume", "terminate", "send_event"},
    "terminated": {"pause", "resume", "terminate", "send_event"},
    "waiting": {"resume"},
    "running": {"resume"},
}


@pytest.mark.parametrize("command", ["pause", "resume", "terminate", "restart", "send_event", "delete"])
@pytest.mark.parametrize("state", sorted(REFUSALS))
async def test_commands_by_state(open_engine_here: OpenEngine, state: str, command: str) -> None:
    """The spec's table of commands and states (3.3), with its codes."""
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        if event.payload == "waiting":
            await step.sleep("s", "30 days")
        if event.payload == "errored":
            raise ValueError("x")
        if event.payload in ("running", "terminated"):
            await step.do("a", lambda: gates.pass_("a"))

    workflow = flow(body, max_running=0 if state in ("queued", "paused") else None)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one", params=state)
    if state == "paused":
        await handle.pause()
    if state in ("running", "terminated"):
        await gates.until_begun(1)
    if state == "terminated":
        await handle.terminate()
    if state == "waiting":
        await engine.advance("1 minute")
    await until(engine, workflow, state)
    call = handle.send_event("t") if command == "send_event" else getattr(handle, command)()
    if command in REFUSALS[state]:
        with pytest.raises(WorkflowError) as refused:
            await call
        assert refused.value.code == f"instance.cannot_{command}"
        await until(engine, workflow, state)
    else:
        await call
    gates.open.set()


async def test_pausing_what_is_queued_pauses_it(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return "ran"

    workflow = flow(body, max_running=0)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await handle.pause()
    assert (await handle.status()).status == "paused"
    await handle.resume()
    assert (await handle.status()).status == "queued"


async def test_row_65_a_step_that_is_not_awaited_is_cancelled_with_a_warning(open_engine_here: OpenEngine) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        forgotten = asyncio.create_task(step.do("forgotten", lambda: gates.pass_("a")))
        await gates.until_begun(1)
        return forgotten.done()

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) is False
    assert step_of(engine, workflow, "forgotten").step.state == "running"
    assert "warning" in feed_types(engine, workflow)
    assert gates.ended == []


async def test_row_65_a_step_that_nothing_awaits_leaves_a_warning_and_an_unfinished_row(
    open_engine_here: OpenEngine,
) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        forgotten = [step.do("forgotten", lambda: 1), step.sleep("nap", "1 hour"), step.wait_for_event("w", type="t")]
        await step.do("awaited", lambda: 2)
        for each in forgotten:
            each.close()  # so that Python has nothing to warn of here
        return "done"

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == "done"
    unbegun = step_of(engine, workflow, "forgotten")
    assert (unbegun.step.state, unbegun.attempts) == ("pending", ())
    assert step_of(engine, workflow, "awaited").step.state == "done"
    assert feed_types(engine, workflow).count("warning") == 1


async def test_row_66_finally_runs_in_each_lifetime_and_a_step_in_it_writes_nothing(
    open_engine_here: OpenEngine,
) -> None:
    finals: list[str] = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        try:
            await step.sleep("s", "1 hour")
        finally:
            finals.append("finally")
            with contextlib.suppress(LifetimeEnded):
                await step.do("cleanup", lambda: finals.append("cleanup"))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("30 minutes")
    assert (finals, status_of(engine, workflow)) == (["finally"], "waiting")
    assert [one.step.name for one in described(engine, workflow).steps] == ["s"]
    await engine.advance("1 hour")
    await handle.result(timeout=5)
    assert finals == ["finally", "finally", "cleanup"]


async def test_row_69_code_that_swallows_its_end_is_ended_all_the_same(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        for _ in range(120):  # more than the engine bears quickly, and yet an end for the test's own loop
            with contextlib.suppress(BaseException):
                await step.sleep("s", "1 hour")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("1 minute")
    assert status_of(engine, workflow) == "waiting"
    await handle.terminate()
    await asyncio.sleep(0.1)
    assert status_of(engine, workflow) == "terminated"
    assert len(described(engine, workflow).steps) == 1


async def test_a_step_that_its_author_cancels_stays_unfinished(open_engine_here: OpenEngine) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await step.do("slow", lambda: gates.pass_("a"))
        return "went on"

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == "went on"
    slow = step_of(engine, workflow, "slow")
    assert (slow.step.state, slow.step.due) == ("retrying", None)
    assert slow.attempts[0].error is not None
    assert slow.attempts[0].error.name == "CancelledError"


async def test_a_cancelled_wait_takes_no_event(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await step.wait_for_event("given up", type="t")
        return (await step.wait_for_event("second", type="t")).payload

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await asyncio.sleep(0.1)
    await engine.settle()
    await handle.send_event("t", "kept")
    await engine.settle()
    assert await handle.result(timeout=5) == "kept"


@pytest.mark.parametrize("strict", [False, True])
async def test_a_replay_that_leaves_out_a_finished_step_is_told(open_engine_here: OpenEngine, strict: bool) -> None:
    names = ["a", "b"]

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.do(names[0], lambda: 1)
        await step.sleep("s", "1 hour")
        await step.do("last", lambda: 2)
        return "done"

    workflow = flow(body, strict=strict)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("30 minutes")
    names.pop(0)
    await engine.advance("1 hour")
    if strict:
        with pytest.raises(NonDeterminismError, match="a-1"):
            await handle.result(timeout=5)
    else:
        assert await handle.result(timeout=5) == "done"
        assert "warning" in feed_types(engine, workflow)


async def test_a_plain_run_does_the_same_on_a_thread(open_engine_here: OpenEngine) -> None:
    lifetimes = []

    class Plain(Workflow):
        def run(self, event: WorkflowEvent, step: SyncWorkflowStep) -> Any:  # type: ignore[override]
            lifetimes.append(1)
            first = step.do("a", lambda: event.payload["n"] + 1)
            step.sleep("s", "1 hour")
            return [first, step.wait_for_event("w", type="t").payload]

    engine = await open_engine_here(Plain)
    handle = await engine.create(Plain, id="one", params={"n": 1})
    await engine.advance("2 hours")
    await handle.send_event("t", "e")
    await engine.settle()
    assert await handle.result(timeout=5) == [2, "e"]
    assert len(lifetimes) > 1


async def test_short_waits_stay_in_memory_and_long_ones_do_not(open_engine_here: OpenEngine) -> None:
    lifetimes = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        lifetimes.append(1)
        await step.sleep("short", "4 seconds")
        await step.sleep("long", "6 seconds")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    await engine.advance("4 seconds")
    assert (len(lifetimes), status_of(engine, workflow)) == (1, "running")
    await engine.advance("5 seconds")
    assert (len(lifetimes), status_of(engine, workflow)) == (1, "waiting")
    await engine.advance("1 second")
    assert (len(lifetimes), status_of(engine, workflow)) == (2, "complete")


async def test_vector_of_statuses_and_defaults(open_engine_here: OpenEngine) -> None:
    seen = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        seen.append((event.payload, event["payload"], event.instance_id, event.instanceId, event.workflowName))
        event.payload["changed"] = True
        await step.sleep("s", "1 hour")
        return event.timestamp

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    created_ms = engine.virtual.now_ms()
    output = await run_once(engine, workflow)
    assert int(output.timestamp() * 1000) == created_ms
    assert [one[1:] for one in seen] == [(one[0], "one", "one", "flow") for one in seen]
    assert len(seen) == 2
    with pytest.raises(WorkflowError, match="already_exists"):
        await engine.create(workflow, id="one")


async def test_an_instance_whose_sleep_ends_as_it_would_leave_memory_goes_on(
    open_engine_here: OpenEngine, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        await step.sleep("as long as an idle instance stays", Timing().grace_ms)
        return str(await step.do("after it", lambda: "done"))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("1 minute")
    assert await handle.result() == "done"
    assert [record.message for record in caplog.records] == []
