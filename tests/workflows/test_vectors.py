"""The reference vectors of the real engine (the spec's 7.1), numbered by their order there; ours where ours differs."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, flow, run_once, status_of, step_of
from workflows import (
    NewInstanceOptions,
    NonRetryableError,
    WorkflowError,
    WorkflowEvent,
    WorkflowFatalError,
    WorkflowTimeoutError,
)
from workflows.states import Status


async def sleeps(event: WorkflowEvent, step: Any) -> str:
    await step.sleep("nap", "30 seconds")
    return "woke"


def raises_a() -> None:
    raise ValueError("a")


async def test_vector_01_without_backoff_it_is_exponential(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        def fourth(ctx: Any) -> None:
            if ctx.attempt < 4:
                raise ValueError

        await step.do("s", {"retries": {"limit": 3, "delay": 200}}, fourth)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    detail = step_of(engine, workflow, "s")
    assert [after.started_on - before.ended_on for before, after in pairwise(detail.attempts)] == [200, 400, 800]
    assert '"backoff":"exponential"' in (detail.step.config_json or "")


async def test_vector_02_limit_0_is_one_attempt_that_may_be_caught(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        try:
            await step.do("s", {"retries": {"limit": 0, "delay": 1}}, raises_a)
        except ValueError as error:
            return str(error)
        return ""

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == "a"
    assert len(step_of(engine, workflow, "s").attempts) == 1


async def test_vector_03_a_timeout_keeps_its_class_and_tells_its_ms(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        config = {"retries": {"limit": 0, "delay": 1}, "timeout": 100}
        try:
            await step.do("s", config, asyncio.Event().wait)
        except WorkflowTimeoutError as error:
            return str(error)
        return ""

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    while not described(engine, workflow).steps:
        await asyncio.sleep(0.001)
    engine.virtual.move_to(engine.virtual.now_ms() + 100)
    await engine.settle()
    assert "100ms" in await handle.result(timeout=5)


@pytest.mark.parametrize(
    "config",
    [
        {"retries": {"limit": 1}},
        {"timeout": 0},
        {"retries": {"limit": 1, "delay": "5m"}},
        {"x": 1},
        {"retries": {"limit": 1, "delay": "10 foos"}},  # taken as 10 ms there, refused here
    ],
)
async def test_vector_04_configs_that_are_refused(open_engine_here: OpenEngine, config: dict[str, Any]) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", config, lambda: 1)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(WorkflowFatalError):
        await run_once(engine, workflow)


async def test_vector_05_an_uncaught_non_retryable_error_keeps_name_and_text(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        def refuse() -> None:
            raise NonRetryableError("never again")

        await step.do("s", refuse)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(NonRetryableError, match="never again"):
        await run_once(engine, workflow)
    error = described(engine, workflow).instance.error
    assert error is not None
    assert (error.name, error.message) == ("NonRetryableError", "never again")


async def test_vector_06_and_07_names_are_counted_by_kind_in_call_order(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        in_loop = [await step.do("x", lambda ctx: ctx.step.count) for _ in range(3)]
        await step.sleep("x", 10)
        return in_loop, await asyncio.gather(*(step.do("p", lambda ctx: ctx.step.count) for _ in range(3)))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == ([1, 2, 3], [1, 2, 3])
    steps = [(one.step.kind, f"{one.step.name}-{one.step.count}") for one in described(engine, workflow).steps]
    assert steps[:4] == [("do", "x-1"), ("do", "x-2"), ("do", "x-3"), ("sleep", "x-1")]


async def test_vector_08_none_is_a_result_that_is_replayed(open_engine_here: OpenEngine) -> None:
    calls = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        result = await step.do("s", lambda: calls.append(1))
        await step.sleep("long enough to leave memory", "1 hour")
        return result

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) is None
    assert calls == [1]


@pytest.mark.parametrize(("value", "named"), [("x" * (3 << 20), "1048576"), (raises_a, "function")])
async def test_vector_09_what_is_too_large_or_no_value_fails_at_once(
    open_engine_here: OpenEngine, value: Any, named: str
) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("big", {"retries": {"limit": 1, "delay": 1}}, lambda: value)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(Exception, match=named) as failed:
        await run_once(engine, workflow)
    assert "big" in str(failed.value)
    assert len(step_of(engine, workflow, "big").attempts) == 1


async def test_vector_11_and_17_a_sleeper_waits_pauses_at_once_and_resumes_once(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("10 seconds")
    assert status_of(engine, workflow) == "waiting"
    await handle.pause()
    await engine.settle()
    assert status_of(engine, workflow) == "paused"
    await handle.resume()
    if described(engine, workflow).instance.status is Status.QUEUED:
        await handle.resume()
    await engine.advance("1 minute")
    assert await handle.result(timeout=5) == "woke"


async def test_vector_12_13_and_15_a_terminated_one_is_over_until_it_is_restarted(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.settle()
    await handle.terminate()
    await engine.settle()
    for act, code in (
        (handle.terminate, "cannot_terminate"),
        (handle.pause, "cannot_pause"),
        (lambda: handle.send_event("t", 1), "cannot_send_event"),
    ):
        with pytest.raises(WorkflowError, match=code):
            await act()
    await handle.restart()
    await engine.advance("1 minute")
    assert await handle.result(timeout=5) == "woke"


async def test_vector_14_and_16_what_can_not_be_created_or_found(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    for act, code in (
        (lambda: engine.create(workflow, id="one"), "already_exists"),
        (lambda: engine.create_batch(workflow, []), "body"),
        (lambda: engine.create_batch(workflow, [NewInstanceOptions(id="a b")]), "invalid_id"),
        (lambda: engine.create(workflow, id="-x"), "invalid_id"),
        (lambda: engine.get(workflow, "unknown"), "not_found"),
    ):
        with pytest.raises(WorkflowError, match=code):
            await act()
