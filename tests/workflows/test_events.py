"""Rows of the table of corner cases that concern events."""

import asyncio
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, feed_types, flow, run_once, status_of, step_of
from workflows import Limits, Workflow, WorkflowError, WorkflowEvent, WorkflowFatalError, WorkflowTimeoutError
from workflows.testing import open_test_engine


async def wait_twice(event: WorkflowEvent, step: Any) -> Any:
    first = await step.wait_for_event("w", type="t")
    second = await step.wait_for_event("w", type="t")
    return [(first.payload, first.timestamp), (second.payload, second.timestamp)]


async def test_row_23_events_before_the_wait_are_taken_first_in_first_out(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.sleep("late", "1 hour")
        return await wait_twice(event, step)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    begun = engine.virtual.now_ms()
    await handle.send_event("t", 1)
    await engine.advance("10 minutes")
    await handle.send_event("t", 2)
    await engine.advance("2 hours")
    (first, first_at), (second, second_at) = await handle.result(timeout=5)
    assert (first, second) == (1, 2)
    assert [int(at.timestamp() * 1000) - begun for at in (first_at, second_at)] == [0, 600_000]


async def test_row_24_an_event_too_many_is_dropped_at_the_end(open_engine_here: OpenEngine) -> None:
    workflow = flow(wait_twice)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    for payload in (1, 2, 3):
        await handle.send_event("t", payload)
    await engine.settle()
    assert [payload for payload, _ in await handle.result(timeout=5)] == [1, 2]
    await handle.restart()
    await engine.settle()
    assert status_of(engine, workflow) != "complete"


async def test_row_25_after_a_timeout_the_next_wait_gets_the_event(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        try:
            await step.wait_for_event("first", type="t", timeout="1 hour")
        except WorkflowTimeoutError:
            return (await step.wait_for_event("second", type="t")).payload

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("2 hours")
    await handle.send_event("t", "late")
    await engine.advance("1 minute")
    assert await handle.result(timeout=5) == "late"
    assert step_of(engine, workflow, "first", kind="waitForEvent").step.state == "failed"
    assert "wait_timed_out" in feed_types(engine, workflow)


async def test_a_timeout_that_is_not_caught_fails_the_instance(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.wait_for_event("w", type="t", timeout=500)

    workflow = flow(body)
    with pytest.raises(WorkflowTimeoutError, match="500ms"):
        await run_once(await open_engine_here(workflow), workflow)


@pytest.mark.parametrize("timeout", [0, "", "24 hours"])
async def test_no_timeout_is_24_hours(open_engine_here: OpenEngine, timeout: Any) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.wait_for_event("w", type="t", timeout=timeout)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    await engine.settle()
    waiting = step_of(engine, workflow, "w", kind="waitForEvent").step
    assert waiting.due is not None
    assert waiting.due - waiting.started_on == 86_400_000


async def test_row_26_an_event_of_another_type_stays_and_wakes_nobody(open_engine_here: OpenEngine) -> None:
    lifetimes = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        lifetimes.append(1)
        first = await step.wait_for_event("w", type="t")
        other = await step.wait_for_event("o", type="other")
        return [first.payload, other.payload]

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("1 minute")
    assert status_of(engine, workflow) == "waiting"
    await handle.send_event("other", "o")
    await engine.advance("1 minute")
    assert (status_of(engine, workflow), len(lifetimes)) == ("waiting", 1)
    await handle.send_event("t", "t")
    await engine.advance("1 minute")
    assert await handle.result(timeout=5) == ["t", "o"]


async def test_row_27_an_event_to_a_paused_instance_is_delivered_after_resume(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return (await step.wait_for_event("w", type="t")).payload

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("1 minute")
    await handle.pause()
    await handle.send_event("t", "kept")
    await engine.advance("1 minute")
    assert status_of(engine, workflow) == "paused"
    await handle.resume()
    await engine.settle()
    assert await handle.result(timeout=5) == "kept"


async def test_row_28_run_may_return_while_the_loser_of_a_race_still_waits(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        waits = [asyncio.create_task(step.wait_for_event(kind, type=kind)) for kind in ("a", "b")]
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result().payload

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.settle()
    await handle.send_event("b", "won")
    await engine.settle()
    assert await handle.result(timeout=5) == "won"
    loser = step_of(engine, workflow, "a", kind="waitForEvent").step
    assert (loser.state, loser.due) == ("pending", None)


@pytest.mark.parametrize("sent", [True, False])
async def test_row_29_an_event_before_the_deadline_wins_over_a_process_that_was_down(tmp_path: Any, sent: bool) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        try:
            return (await step.wait_for_event("w", type="t", timeout="1 hour")).payload
        except WorkflowTimeoutError:
            return "timed out"

    workflow = flow(body)
    path = tmp_path / "workflows.db"
    async with open_test_engine([workflow], path) as engine:
        handle = await engine.create(workflow, id="one")
        await engine.settle()
        clock = engine.virtual
    if sent:
        async with open_test_engine([], path, clock=clock) as elsewhere:  # a process that loads no workflow
            await (await elsewhere.get(workflow, "one")).send_event("t", "in time")
    clock.move_to(clock.now_ms() + 3 * 3_600_000)
    async with open_test_engine([workflow], path, clock=clock) as engine:
        await engine.settle()
        assert await (await engine.get(workflow, "one")).result(timeout=5) == ("in time" if sent else "timed out")
    assert handle.id == "one"


async def test_waiters_of_one_type_are_served_in_the_order_in_which_they_began(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        events = await asyncio.gather(*(step.wait_for_event(f"w{n}", type="t") for n in range(3)))
        return [event_.payload for event_ in events]

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    for payload in range(3):
        await engine.advance("1 minute")
        await handle.send_event("t", payload)
    await engine.advance("1 minute")
    assert await handle.result(timeout=5) == [0, 1, 2]


async def test_an_ended_instance_takes_no_event(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        return

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    with pytest.raises(WorkflowError) as refused:
        await (await engine.get(workflow, "one")).send_event("t")
    assert refused.value.code == "instance.cannot_send_event"


@pytest.mark.parametrize("event_type", ["", "x" * 101, "a\n", None, 5])
async def test_a_bad_event_type_is_refused_on_both_sides(open_engine_here: OpenEngine, event_type: Any) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.wait_for_event("w", type=event_type)

    workflow: type[Workflow] = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    with pytest.raises(WorkflowError):
        await handle.send_event(event_type)
    await engine.settle()
    with pytest.raises(WorkflowFatalError):
        await handle.result(timeout=5)


async def test_vector_10_three_waits_of_which_one_times_out(open_engine_here: OpenEngine) -> None:
    """7.1: two events sent before two waits, a third wait of 500 ms that is caught."""

    async def body(event: WorkflowEvent, step: Any) -> Any:
        taken = [(await step.wait_for_event("w", type="t")).payload for _ in range(2)]
        try:
            await step.wait_for_event("w", type="t", timeout=500)
        except WorkflowTimeoutError:
            return [*taken, "caught"]

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await handle.send_event("t", 1)
    await handle.send_event("t", 2)
    await engine.advance("1 second")
    assert await handle.result(timeout=5) == [1, 2, "caught"]
    assert [step.step.count for step in described(engine, workflow).steps] == [1, 2, 3]


async def test_events_that_nobody_takes_are_bounded_in_number_and_in_bytes(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.wait_for_event("first", type="go", timeout="10 days")
        return len((await step.wait_for_event("w", type="t")).payload)

    workflow = flow(body)
    engine = await open_engine_here(workflow, limits=Limits(events=2, state_bytes=10_000))
    handle = await engine.create(workflow, id="one")
    await handle.send_event("t", "x" * 8000)
    await engine.advance("1 minute")  # it hibernates: what it keeps is written anew, with its events
    assert 8000 < engine.reads.gauges().state_bytes < 8010
    with pytest.raises(WorkflowError, match="10000") as too_large:
        await handle.send_event("t", "x" * 8000)
    assert too_large.value.code == "instance.cannot_send_event"
    await handle.send_event("t")
    with pytest.raises(WorkflowError, match="limit 2"):
        await handle.send_event("t")
    await handle.send_event("go")  # it waits for this one
    await engine.settle()
    assert await handle.result(timeout=5) == 8000
