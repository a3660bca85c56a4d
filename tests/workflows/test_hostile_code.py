"""What an author's code can return, raise and do to its worker beyond what it should, and what comes of it."""

import asyncio
import os
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, flow, run_once, status_of, step_of
from workflows import Limits, StepError, Workflow, WorkflowEvent, WorkflowInternalError
from workflows.rest.documents import detail_document

ONCE = {"retries": {"limit": 1, "delay": 10}}


@dataclass(frozen=True)
class Place:
    row: int


@pytest.mark.parametrize(
    "value", [{frozenset([1])}, {Place(1)}, {Place(1): "taken"}, 1 << 20_000], ids=["a", "b", "c", "d"]
)
async def test_a_result_that_could_not_be_read_back_fails_its_step(open_engine_here: OpenEngine, value: Any) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", lambda: value)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(Exception, match="can't be stored"):
        await run_once(engine, workflow)
    assert step_of(engine, workflow, "s").step.state == "failed"
    assert detail_document(described(engine, workflow))["error"]["name"] == "WorkflowInternalError"


@pytest.mark.parametrize("value", [{frozenset([1])}, 1 << 20_000, "x" * (2**20 + 1)], ids=["set", "int", "text"])
async def test_an_output_that_could_not_be_read_back_fails_its_instance(
    open_engine_here: OpenEngine, value: Any
) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return value

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises((StepError, TypeError, WorkflowInternalError)):
        await run_once(engine, workflow)
    assert status_of(engine, workflow) == "errored"


async def test_a_delay_function_whose_error_has_no_text_fails_its_step_alone(open_engine_here: OpenEngine) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    def delay(_: Any) -> str:
        raise Mute

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": {"limit": 2, "delay": delay}}, lambda: 1 / 0)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.settle()
    with pytest.raises(Exception, match="delay function raised Mute"):
        await handle.result(timeout=5)


async def test_an_error_whose_text_cannot_be_made_is_stored_and_retried(open_engine_here: OpenEngine) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    calls: list[int] = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        def work(ctx: Any) -> None:
            calls.append(ctx.attempt)
            raise Mute

        await step.do("s", ONCE, work)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(StepError, match="could not be made"):
        await run_once(engine, workflow)
    assert calls == [1, 2]
    told = [one.error.name for one in step_of(engine, workflow, "s").attempts if one.error is not None]
    assert told == ["Mute", "Mute"]


def fork() -> int:
    """In the child: 0. In the parent: how the child ended."""
    pid = os.fork()
    return pid and os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_child_that_was_forked_never_goes_on_as_the_worker(open_engine_here: OpenEngine) -> None:
    """It ends where it would give its thread back to the event loop, which is the worker's and every instance's."""

    async def in_callback() -> int:
        code = fork()
        await asyncio.sleep(0)
        return code

    async def body(event: WorkflowEvent, step: Any) -> list[int]:
        codes = [await step.do("s", in_callback), fork()]
        await step.do("t", lambda: 1)
        return codes

    class Plain(Workflow):
        def run(self, event: WorkflowEvent, step: Any) -> Any:
            code = fork()
            step.do("t", lambda: 1)
            return code

    workflow = flow(body)
    engine = await open_engine_here(workflow, Plain)
    assert await run_once(engine, workflow) == [70, 70]
    assert await run_once(engine, Plain) == 70


async def test_threads_that_were_given_up_are_bounded(open_engine_here: OpenEngine) -> None:
    let_go = threading.Event()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        config = {"timeout": "1 minute", "retries": {"limit": 4, "delay": 1}}
        await step.do("hangs", config, lambda: let_go.wait(20))

    workflow = flow(body)
    engine = await open_engine_here(workflow, limits=Limits(given_up_threads=2))
    threads_count = threading.active_count()
    await engine.create(workflow, id="one")
    while status_of(engine, workflow) != "errored":
        engine.virtual.move_to(engine.virtual.now_ms() + 1000)
        await asyncio.sleep(0.005)
    assert threading.active_count() == threads_count + 2
    let_go.set()
    errors = [attempt.error for attempt in step_of(engine, workflow, "hangs").attempts]
    assert [error.name for error in errors if error] == ["WorkflowTimeoutError"] * 2 + ["WorkflowInternalError"] * 3
