"""What an author's code can return, raise and do to its worker beyond what it should, and what comes of it."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, flow, run_once, status_of, step_of
from workflows import StepError, WorkflowEvent, WorkflowInternalError
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
