"""Row 67, and the events that a subscriber gets."""

import asyncio
from typing import Any

from tests.workflows.flows import OpenEngine, flow, run_once
from workflows import WorkflowEvent


async def one_of_each(event: WorkflowEvent, step: Any) -> Any:
    def second_works(ctx: Any) -> str:
        if ctx.attempt == 1:
            raise OSError("first")
        return "second"

    await step.do("s", {"retries": {"limit": 1, "delay": 10}}, second_works)
    await step.sleep("n", 5)
    return (await step.wait_for_event("w", type="t")).payload


async def test_row_67_a_subscription_goes_on_from_its_cursor_and_ends(open_engine_here: OpenEngine) -> None:
    workflow = flow(one_of_each)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await handle.send_event("t", "payload")
    await engine.advance("1 minute")
    events = [event async for event in handle.subscribe()]
    assert [event["type"] for event in events] == [
        "workflow_queued", "workflow_started", "step_started", "attempt_started", "attempt_errored", "attempt_started",
        "attempt_completed", "step_completed", "sleep_started", "sleep_completed", "wait_started", "wait_completed",
        "workflow_completed",
    ]  # fmt: skip
    ids = [event["eventId"] for event in events]
    assert ids == sorted(set(ids))
    for position, cursor in enumerate(ids):
        rest = [event["eventId"] async for event in handle.subscribe(cursor=cursor)]
        assert rest == ids[position + 1 :]
    assert events[4]["retryDelayMs"] == 10
    assert events[4]["error"]["message"] == "first"
    assert events[7]["output"] == "second"
    assert events[-1]["output"] == "payload"


async def test_row_67_a_filter_that_hides_the_end_ends_all_the_same(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", lambda: 1)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    handle = await engine.get(workflow, "one")
    chosen = [event["type"] async for event in handle.subscribe(filter=lambda one: one["type"].startswith("step_"))]
    assert chosen == ["step_started", "step_completed"]


async def test_a_subscription_follows_what_is_still_to_come(open_engine_here: OpenEngine) -> None:
    go = asyncio.Event()

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", go.wait)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    seen = []
    async for event in handle.subscribe():
        seen.append(event["type"])
        if event["type"] == "attempt_started":
            go.set()
    assert seen[-3:] == ["attempt_completed", "step_completed", "workflow_completed"]


async def test_all_live_instances_can_be_terminated_at_once(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        if event.payload:
            await step.sleep("s", "1 day")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    for payload in (0, 1, 1):
        await engine.create(workflow, params=payload)
    await engine.advance("1 minute")
    assert await engine.terminate_all(workflow) == 2
    assert await engine.terminate_all(workflow) == 0
    await engine.delete_workflow(workflow)
    assert engine.reads.workflow("flow") is None
