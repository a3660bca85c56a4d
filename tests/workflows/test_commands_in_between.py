"""What happens when a command comes between two things that the engine does."""

import asyncio
from typing import Any

import pytest

from tests.workflows.conftest import OpenEngine
from tests.workflows.flows import flow, status_of, step_of
from tests.workflows.test_lifecycle import Gates, until
from workflows import InstanceHandle, Limits, Workflow, WorkflowEvent
from workflows.states import Command
from workflows.store import instances
from workflows.testing import PASSES_QUIET, TestEngine


async def test_a_terminate_that_was_accepted_before_the_end_came_is_what_happens(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        await step.do("a", lambda: 1)
        record = engine.workflow(workflow)
        ordered.append(
            engine.writer.submit(lambda tx: instances.order(tx, record.id, "one", {"do": Command.TERMINATE}))
        )
        return "done"

    ordered: list[Any] = []
    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    await engine.settle()
    assert (await ordered[0])[1], "it was left for the worker"
    assert status_of(engine, workflow) == "terminated"


async def test_an_event_that_comes_as_its_instance_leaves_memory_wakes_it(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return (await step.wait_for_event("w", type="t")).payload

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.settle()
    real = engine.worker._hibernate

    async def hibernate(lifetime: Any, due_ms: int) -> None:
        await handle.send_event("t", "e")
        await real(lifetime, due_ms)

    engine.worker._hibernate = hibernate
    await engine.advance("1 minute")
    assert status_of(engine, workflow) == "complete"


@pytest.mark.parametrize("command", [Command.PAUSE, Command.TERMINATE])
async def test_a_command_that_comes_as_its_instance_leaves_memory_is_carried_out(
    open_engine_here: OpenEngine, command: Command
) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.sleep("s", "1 hour")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    record = engine.workflow(workflow)
    await engine.create(workflow, id="one")
    await engine.settle()
    real = engine.worker._hibernate

    async def hibernate(lifetime: Any, due_ms: int) -> None:
        await engine.writer.submit(lambda tx: instances.order(tx, record.id, "one", {"do": command}))
        engine.worker.ring()
        quiet = 0
        while quiet < PASSES_QUIET:  # until the worker has seen it, and done what it does about it
            await asyncio.sleep(0)
            quiet = 0 if engine.worker._bell.is_set() or engine.writer.pending_count else quiet + 1
        await real(lifetime, due_ms)

    engine.worker._hibernate = hibernate
    await engine.advance("1 minute")
    assert status_of(engine, workflow) == ("paused" if command is Command.PAUSE else "terminated")


async def paused_for_ten_minutes(
    engine: TestEngine, workflow: type[Workflow], gates: Gates
) -> tuple[InstanceHandle, int]:
    """An instance whose pause is called off before the callback that runs has ended, and when it began."""
    handle = await engine.create(workflow, id="one")
    await gates.until_begun(1)
    began_on = engine.virtual.now_ms()
    await handle.pause()
    await until(engine, workflow, "waitingForPause")
    engine.virtual.move_to(began_on + 10 * 60_000)
    await handle.resume()
    await until(engine, workflow, "running")
    return handle, began_on


async def test_a_wait_takes_an_event_within_the_time_by_which_a_pause_that_was_called_off_moved_its_end(
    open_engine_here: OpenEngine,
) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        callback = step.do("a", {"timeout": "1 day"}, lambda: gates.pass_("a"))
        _, received = await asyncio.gather(callback, step.wait_for_event("w", type="t", timeout="1 hour"))
        return received.payload

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle, began_on = await paused_for_ten_minutes(engine, workflow, gates)
    engine.virtual.move_to(began_on + 65 * 60_000)
    await handle.send_event("t", "in time")
    gates.open.set()
    assert await handle.result(timeout=5) == "in time"


async def test_a_pause_that_is_called_off_moves_the_timers_by_as_long_as_it_lasted(
    open_engine_here: OpenEngine,
) -> None:
    gates = Gates()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await asyncio.gather(step.do("a", {"timeout": "1 day"}, lambda: gates.pass_("a")), step.sleep("s", "1 hour"))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    _, began_on = await paused_for_ten_minutes(engine, workflow, gates)
    due = step_of(engine, workflow, "s", kind="sleep").step.due
    gates.open.set()
    await engine.settle()
    await engine.advance("2 hours")
    ended_on = step_of(engine, workflow, "s", kind="sleep").step.ended_on
    assert (due, ended_on) == (began_on + 70 * 60_000, began_on + 70 * 60_000)


async def test_max_running_holds_over_all_workflows(open_engine_here: OpenEngine) -> None:
    gates, running = Gates(), [0, 0]

    async def body(event: WorkflowEvent, step: Any) -> None:
        running[0] += 1
        running[1] = max(running)
        await step.do("a", lambda: gates.pass_("a"))
        running[0] -= 1

    workflow = flow(body)
    engine = await open_engine_here(workflow, limits=Limits(max_running=2))
    handles = [await engine.create(workflow) for _ in range(5)]
    await gates.until_begun(2)
    gates.open.set()
    for handle in handles:
        await handle.result(timeout=5)
    assert running[1] == 2
