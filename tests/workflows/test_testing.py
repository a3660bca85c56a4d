"""The harness that authors test with (6.1)."""

import asyncio
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, flow
from workflows import WorkflowError, WorkflowEvent, WorkflowTimeoutError


async def order(event: WorkflowEvent, step: Any) -> Any:
    def fails() -> None:
        raise OSError("the real world")

    paid = await step.do("pay", {"retries": {"limit": 2, "delay": "1 hour"}}, fails)
    await step.sleep("cool off", "3 days")
    approved = await step.wait_for_event("approval", type="approved", timeout="1 hour")
    return [paid, approved.payload]


async def test_steps_sleeps_and_events_can_be_stood_in_for(open_engine_here: OpenEngine) -> None:
    workflow = flow(order)
    engine = await open_engine_here(workflow)
    instance = engine.introspect(workflow, "one")
    instance.disable_sleeps()
    instance.mock_step_result("pay", {"tx": 1})
    instance.mock_event("approved", "ann")
    await engine.create(workflow, id="one")
    assert await instance.get_output() == [{"tx": 1}, "ann"]
    assert await instance.wait_for_step_result(("pay", 1)) == {"tx": 1}
    with pytest.raises(WorkflowError, match="never errored"):
        await instance.get_error()


async def test_errors_and_timeouts_can_be_forced_a_number_of_times(open_engine_here: OpenEngine) -> None:
    workflow = flow(order)
    engine = await open_engine_here(workflow)
    instance = engine.introspect(workflow, "one")
    instance.disable_sleeps(["cool off"])
    instance.disable_retry_delays()
    instance.mock_step_error("pay", ValueError("no"), times=2)
    instance.mock_step_result("pay", "third")
    instance.force_event_timeout("approval")
    await engine.create(workflow, id="one")
    assert (await instance.get_error()).name == "WorkflowTimeoutError"
    assert await instance.wait_for_step_result("pay") == "third"


async def test_a_forced_step_timeout_fails_the_step(open_engine_here: OpenEngine) -> None:
    workflow = flow(order)
    engine = await open_engine_here(workflow)
    instance = engine.introspect(workflow, "one")
    instance.disable_retry_delays([("pay", 1)])
    instance.force_step_timeout("pay")
    await engine.create(workflow, id="one")
    with pytest.raises(WorkflowTimeoutError):
        await instance.wait_for_step_result("pay")
    await instance.wait_for_status("errored")


async def test_interventions_are_for_their_instance_alone(open_engine_here: OpenEngine) -> None:
    workflow = flow(order)
    engine = await open_engine_here(workflow)
    engine.introspect(workflow, "other").mock_step_result("pay", 1)
    instance = engine.introspect(workflow, "one")
    await engine.create(workflow, id="one")
    await engine.advance("1 minute")
    assert (await instance.handle.status()).status == "waiting"


async def test_the_clock_stops_at_every_timer_on_its_way(open_engine_here: OpenEngine) -> None:
    moments: list[int] = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        for number in range(3):
            await step.sleep("s", "1 day")
            await step.do(f"n{number}", lambda: moments.append(engine.virtual.now_ms()))
        await asyncio.sleep(0)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    begun = engine.virtual.now_ms()
    await engine.create(workflow, id="one")
    await engine.advance("1 week")
    assert [moment - begun for moment in moments] == [day * 86_400_000 for day in (1, 2, 3)]
