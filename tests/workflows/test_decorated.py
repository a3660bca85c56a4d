"""The decorator form of steps."""

import asyncio
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, flow, run_once
from workflows import WorkflowEvent


@pytest.mark.parametrize("concurrent", [True, False])
async def test_dependencies_run_once_and_their_results_are_passed(
    open_engine_here: OpenEngine, concurrent: bool
) -> None:
    calls: list[str] = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        @step.do("a")
        async def a() -> int:
            calls.append("a")
            return 1

        @step.do("b", depends=[a])
        def b(of_a: int) -> int:
            calls.append("b")
            return of_a + 1

        @step.do("c", depends=[a, b], concurrent=concurrent, config={"retries": {"limit": 1, "delay": 1}})
        async def c(of_a: int, of_b: int) -> list[int]:
            await asyncio.sleep(0)
            return [of_a, of_b]

        first = await c()
        await step.sleep("s", "1 hour")
        return [first, await c(), await a()]

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == [[1, 2], [1, 2], 1]
    assert calls == ["a", "b"]
    assert [one.step.name for one in described(engine, workflow).steps] == ["a", "b", "c", "s"]


async def test_rollback_all_undoes_newest_first(open_engine_here: OpenEngine) -> None:
    undone: list[str] = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        for name in ("one", "two"):

            @step.with_rollback(name)
            async def booked() -> None:
                return None

            @booked.undo
            def undo(name: str = name) -> None:
                undone.append(name)

            await booked()
        await step.rollback_all(ValueError("never mind"))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(ValueError, match="never mind"):
        await run_once(engine, workflow)
    assert undone == ["two", "one"]
