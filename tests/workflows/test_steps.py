"""Rows of the spec's table of corner cases that concern one step: retries, timeouts, results, identity."""

import asyncio
import contextlib
import threading
from itertools import pairwise
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, flow, run_once, step_of
from workflows import (
    NonRetryableDelayError,
    NonRetryableError,
    StepContext,
    StepError,
    Timing,
    WorkflowEvent,
    WorkflowFatalError,
    WorkflowInternalError,
    WorkflowTimeoutError,
)


async def test_row_01_limit_0_makes_one_attempt_and_no_timer(open_engine_here: OpenEngine) -> None:
    calls = []

    async def fails() -> None:
        calls.append(1)
        raise ValueError("a")

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": {"limit": 0, "delay": 10}}, fails)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(ValueError, match=r"^a$"):
        await run_once(engine, workflow)
    found = step_of(engine, workflow, "s")
    assert (len(calls), found.step.state, found.step.due) == (1, "failed", None)
    assert [attempt.is_success for attempt in found.attempts] == [False]


async def test_row_02_three_failures_then_success_makes_four_attempts(open_engine_here: OpenEngine) -> None:
    attempts = []

    async def fourth_works(ctx: StepContext) -> str:
        attempts.append(ctx.attempt)
        if ctx.attempt < 4:
            raise OSError("not yet")
        return "done"

    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("s", {"retries": {"limit": 3, "delay": 10}}, fourth_works)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == "done"
    assert attempts == [1, 2, 3, 4]
    assert [attempt.is_success for attempt in step_of(engine, workflow, "s").attempts] == [False, False, False, True]


@pytest.mark.parametrize(
    ("row", "backoff", "base", "limit", "delays_ms"),
    [
        (3, "exponential", "10 seconds", 10, [10_000 * 2**n for n in range(10)]),
        (4, "linear", "1 second", 4, [1000, 2000, 3000, 4000]),
        (4, "constant", "1 second", 3, [1000, 1000, 1000]),
        (71, None, 200, 3, [200, 400, 800]),  # 7.1: no backoff written is exponential
    ],
    ids=["row_03", "row_04", "row_04_constant", "vector_no_backoff"],
)
async def test_row_03_and_04_waits_between_attempts(
    open_engine_here: OpenEngine, row: int, backoff: str | None, base: Any, limit: int, delays_ms: list[int]
) -> None:
    async def fails() -> None:
        raise OSError("x")

    retries = {"limit": limit, "delay": base} | ({"backoff": backoff} if backoff else {})

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": retries}, fails)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(OSError, match="x"):
        await run_once(engine, workflow)
    attempts = step_of(engine, workflow, "s").attempts
    gaps = [after.started_on - before.ended_on for before, after in pairwise(attempts)]
    assert gaps == delays_ms
    assert [attempt.retry_delay_ms for attempt in attempts] == [*delays_ms, None]


async def test_an_unbounded_limit_goes_on_retrying(open_engine_here: OpenEngine) -> None:
    async def fiftieth_works(ctx: StepContext) -> int:
        if ctx.attempt < 50:
            raise OSError
        return ctx.attempt

    async def body(event: WorkflowEvent, step: Any) -> Any:
        retries = {"limit": float("inf"), "delay": 1, "backoff": "constant"}
        return await step.do("s", {"retries": retries}, fiftieth_works)

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) == 50


BAD_CONFIGS: list[Any] = [
    {"retries": {"limit": 3}},
    {"retries": {"limit": 3, "delay": 1, "tries": 2}},
    {"retries": {"limit": -1, "delay": 1}},
    {"retries": {"limit": 1, "delay": "5m"}},
    {"retries": {"limit": 1, "delay": "10 foos"}},
    {"retries": {"limit": 1, "delay": -1}},
    {"retries": {"limit": 1, "delay": 1, "backoff": "random"}},
    {"timeout": 0},
    {"timeout": "soon"},
    {"sensitive": True},
    {"sensitive": "input"},
    {"x": 1},
    "fast",
]


async def test_rows_05_and_06_bad_configs_are_refused_before_any_attempt(open_engine_here: OpenEngine) -> None:
    calls = []

    async def body(event: WorkflowEvent, step: Any) -> int:
        refused = 0
        for config in BAD_CONFIGS:
            try:
                await step.do("s", config, lambda: calls.append(1))
            except WorkflowFatalError:
                refused += 1
        return refused

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == len(BAD_CONFIGS)
    assert (calls, described(engine, workflow).steps) == ([], ())


@pytest.mark.parametrize("name", ["", "x" * 257, "a\nb", 7, None, "\ud800"])
async def test_a_bad_step_name_is_refused(open_engine_here: OpenEngine, name: Any) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        with contextlib.suppress(WorkflowFatalError):
            await step.do(name, lambda: None)
            return "accepted"
        return "refused"

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) == "refused"


async def test_a_callback_that_is_no_function_is_refused(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", 7)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(WorkflowFatalError):
        await run_once(engine, workflow)


async def test_row_07_one_name_in_a_loop_is_one_step_each_time(open_engine_here: OpenEngine) -> None:
    counts = []

    async def body(event: WorkflowEvent, step: Any) -> list[int]:
        async def note(ctx: StepContext) -> int:
            counts.append(ctx.step.count)
            return ctx.step.count * 10

        results = [await step.do("x", note) for _ in range(3)]
        await step.sleep("x", "1 hour")
        return results

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == [10, 20, 30]
    assert counts == [1, 2, 3]  # the sleep made it a second lifetime: none was called again
    shown = [(one.step.kind, one.step.name, one.step.count) for one in described(engine, workflow).steps]
    assert shown == [("do", "x", 1), ("do", "x", 2), ("do", "x", 3), ("sleep", "x", 1)]


async def test_row_08_parallel_steps_of_one_name_are_told_apart_by_call_order(open_engine_here: OpenEngine) -> None:
    calls: list[str] = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        async def call(item: str) -> str:
            calls.append(item)
            await asyncio.sleep(0.01 * (3 - int(item)))  # the first called ends last
            return item

        results = await asyncio.gather(*(step.do("p", lambda item=item: call(item)) for item in "012"))
        await step.sleep("s", "1 hour")
        return results

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == ["0", "1", "2"]
    assert sorted(calls) == ["0", "1", "2"]


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
async def test_row_09_falsy_results_are_stored_and_not_computed_again(open_engine_here: OpenEngine, value: Any) -> None:
    calls = []

    async def body(event: WorkflowEvent, step: Any) -> Any:
        async def give() -> Any:
            calls.append(1)
            return value

        first = await step.do("s", give)
        await step.sleep("n", "1 hour")
        return [first]

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) == [value]
    assert calls == [1]


async def test_row_10_a_result_over_1_mib_fails_without_retry_and_names_the_limit(open_engine_here: OpenEngine) -> None:
    calls = []

    async def body(event: WorkflowEvent, step: Any) -> str:
        def give() -> str:
            calls.append(1)
            return "x" * (2**20 - 1)  # two quotes: 1,048,577 bytes

        try:
            await step.do("large", {"retries": {"limit": 3, "delay": 1}}, give)
        except WorkflowInternalError as error:
            return str(error)
        return "accepted"

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    message = await run_once(engine, workflow)
    assert "1048576" in message
    assert "large" in message
    assert calls == [1]


async def test_a_result_of_exactly_1_mib_is_stored(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> int:
        return len(await step.do("s", lambda: "x" * (2**20 - 2)))

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) == 2**20 - 2


async def test_row_11_a_slice_of_a_buffer_is_stored_alone(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> int:
        return len(await step.do("s", lambda: memoryview(bytearray(800_000))[:200_000]))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == 200_000
    stored = step_of(engine, workflow, "s").step.result
    assert stored is not None
    assert len(stored) < 300_000


def _cycle() -> Any:
    around: list[Any] = []
    around.append(around)
    return around


@pytest.mark.parametrize(
    "make", [lambda: (n for n in range(3)), lambda: lambda: 1, _cycle, lambda: object(), lambda: "\ud800"]
)
async def test_row_12_what_cannot_be_stored_fails_the_instance_at_once(open_engine_here: OpenEngine, make: Any) -> None:
    calls = []
    undone = []

    async def body(event: WorkflowEvent, step: Any) -> str:
        await step.do("before", lambda: 1, rollback=lambda: undone.append(1))

        def give() -> Any:
            calls.append(1)
            return make()

        with contextlib.suppress(Exception):
            await step.do("s", give)
        return "went on"

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(WorkflowInternalError, match="stored"):
        await run_once(engine, workflow)
    assert (calls, undone) == ([1], [1])


async def test_row_13_a_sensitive_output_is_real_for_the_next_step_and_hidden_in_the_log(
    open_engine_here: OpenEngine,
) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        secret = await step.do("s", {"sensitive": "output"}, lambda: "hunter2")
        return await step.do("t", lambda: len(secret))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == 7
    feed = engine.reads.feed(described(engine, workflow).instance.seq)
    outputs = [event.fields["output"] for event in feed if event.type == "step_completed"]
    assert outputs == ["[REDACTED]", 7]


async def test_row_14_a_caught_failure_is_raised_again_by_every_replay(open_engine_here: OpenEngine) -> None:
    calls = []
    seen = []

    class Odd(Exception):
        pass

    async def body(event: WorkflowEvent, step: Any) -> str:
        def fails() -> None:
            calls.append(1)
            raise Odd("why")

        try:
            await step.do("s", {"retries": {"limit": 0, "delay": 1}}, fails)
        except Exception as error:  # noqa: BLE001 - both forms of it are looked at
            seen.append((type(error), str(error), getattr(error, "name", None)))
        await step.sleep("n", "1 hour")
        return "fine"

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) == "fine"
    assert calls == [1]
    assert seen == [(Odd, "why", None), (StepError, "why", "Odd")]


@pytest.mark.parametrize(
    "error", [NonRetryableError(), NonRetryableError("x", name="Mine"), RuntimeError("NonRetryableError: told by text")]
)
async def test_row_15_a_non_retryable_error_is_not_retried(open_engine_here: OpenEngine, error: Exception) -> None:
    calls = []

    async def fails() -> None:
        calls.append(1)
        raise error

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", fails)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    failure = await engine.introspect(workflow, "one").get_error()
    assert calls == [1]
    assert (failure.name, failure.message) == (getattr(error, "name", type(error).__name__), str(error))


def _raises(given: Any) -> int:
    raise KeyError("no")


async def _is_late(given: Any) -> int:
    await asyncio.sleep(60)
    return 1


@pytest.mark.parametrize(
    "function", [_raises, _is_late, lambda given: -1, lambda given: "x", lambda given: float("inf")]
)
async def test_row_16_a_delay_function_that_gives_no_delay_ends_the_step(
    open_engine_here: OpenEngine, function: Any
) -> None:
    calls = []

    async def fails() -> None:
        calls.append(1)
        raise OSError

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": {"limit": 4, "delay": function}}, fails)

    workflow = flow(body)
    engine = await open_engine_here(workflow, timing=Timing(delay_function_ms=100, drain_ms=300))
    with pytest.raises(NonRetryableDelayError):
        await run_once(engine, workflow)
    assert calls == [1]


async def test_a_delay_function_is_told_the_error_and_its_delay_is_used(open_engine_here: OpenEngine) -> None:
    seen = []

    async def fails() -> None:
        raise OSError("gone")

    def delay(given: Any) -> str:
        seen.append((given["ctx"].attempt, str(given["error"]), "delay" in given["ctx"].config["retries"]))
        return "7 seconds"

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": {"limit": 2, "delay": delay, "backoff": "linear"}}, fails)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(OSError, match="gone"):
        await run_once(engine, workflow)
    assert seen == [(1, "gone", False), (2, "gone", False)]
    assert [attempt.retry_delay_ms for attempt in step_of(engine, workflow, "s").attempts] == [7000, 14_000, None]


async def test_row_17_a_callback_that_changes_its_config_changes_nothing(open_engine_here: OpenEngine) -> None:
    attempts = []

    async def fails(ctx: StepContext) -> None:
        attempts.append(ctx.attempt)
        ctx.config["retries"]["limit"] = 100
        raise OSError

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": {"limit": 1, "delay": 1}}, fails)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(OSError, match=r"^$"):
        await run_once(engine, workflow)
    assert attempts == [1, 2]


async def test_row_18_the_stored_config_stays_in_force_when_the_code_changes(open_engine_here: OpenEngine) -> None:
    limit = [2]
    attempts = []

    async def fails(ctx: StepContext) -> None:
        attempts.append(ctx.attempt)
        raise OSError

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": {"limit": limit[0], "delay": "1 hour"}}, fails)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await engine.advance("10 minutes")
    limit[0] = 50
    await engine.advance("10 days")
    with pytest.raises(OSError, match=r"^$"):
        await handle.result(timeout=5)
    assert attempts == [1, 2, 3]


async def test_row_19_a_callback_that_ends_after_its_timeout_is_not_heard(open_engine_here: OpenEngine) -> None:
    late = threading.Event()
    ended = threading.Event()

    def slow(ctx: StepContext) -> str:
        if ctx.attempt == 1:
            late.wait(10)
            ended.set()
            return "late"
        return "second"

    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("s", {"timeout": "1 minute", "retries": {"limit": 1, "delay": 1}}, slow)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    while not described(engine, workflow).steps:
        await asyncio.sleep(0.001)
    engine.virtual.move_to(engine.virtual.now_ms() + 61_000)
    while len(step_of(engine, workflow, "s").attempts) < 1 or step_of(engine, workflow, "s").attempts[0].error is None:
        await asyncio.sleep(0.001)
    await engine.advance("1 second")
    late.set()
    assert await handle.result(timeout=5) == "second"
    await asyncio.to_thread(ended.wait, 5)
    await engine.settle()
    feed = engine.reads.feed(described(engine, workflow).instance.seq)
    assert [event.type for event in feed].count("attempt_completed") == 1
    assert step_of(engine, workflow, "s").step.result == b'"second"'


async def test_row_20_a_timed_out_attempt_is_retried(open_engine_here: OpenEngine) -> None:
    async def slow(ctx: StepContext) -> str:
        if ctx.attempt == 1:
            await asyncio.sleep(3600)
        return "second"

    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("s", {"timeout": 100, "retries": {"limit": 1, "delay": 1}}, slow)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    while not described(engine, workflow).steps:
        await asyncio.sleep(0.001)
    engine.virtual.move_to(engine.virtual.now_ms() + 100)
    await engine.advance("1 second")
    assert await handle.result(timeout=5) == "second"
    first = step_of(engine, workflow, "s").attempts[0]
    assert first.error is not None
    assert first.error.name == WorkflowTimeoutError.__name__
    assert "100ms" in first.error.message


@pytest.mark.parametrize(("calls", "ends"), [(5, "complete"), (6, "errored")])
async def test_row_21_the_limit_of_steps_is_exact(open_engine_here: OpenEngine, calls: int, ends: str) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        for _ in range(calls):
            await step.do("s", lambda: 1)
        await step.sleep("n", 1)

    workflow = flow(body, steps_max=5)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    await engine.advance("1 minute")
    assert described(engine, workflow).instance.status.api_name == ends


async def test_row_22_replayed_steps_count_in_their_lifetime_alone(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        for number in range(4):
            await step.do("s", lambda: 1)
            await step.sleep("n", f"{number + 1} hours")  # each a lifetime of its own
        with contextlib.suppress(WorkflowFatalError):
            await step.do("s", lambda: 1)
            await step.do("s", lambda: 1)
            return "passed the limit"
        return "held"

    workflow = flow(body, steps_max=5)
    assert await run_once(await open_engine_here(workflow), workflow) == "held"


@pytest.mark.parametrize(("duration", "ends"), [(0, "complete"), (-1, "errored"), ("400 days", "errored")])
async def test_row_51_bounds_of_a_sleep(open_engine_here: OpenEngine, duration: Any, ends: str) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.sleep("s", duration)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    await engine.settle()
    assert described(engine, workflow).instance.status.api_name == ends


async def test_row_52_sleep_until_refuses_the_past_at_its_first_call_only(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        await step.sleep_until("soon", event.payload)
        await step.sleep("then", "2 hours")
        with contextlib.suppress(WorkflowFatalError):
            await step.sleep_until("past", event.payload)
            return "accepted"
        return "refused"

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow, engine.virtual.now_ms() + 3_600_000) == "refused"
    slept = step_of(engine, workflow, "soon", kind="sleep").step
    assert slept.ended_on is not None
    assert slept.ended_on - slept.started_on == 3_600_000


async def test_row_64_a_step_within_a_callback_has_its_own_row_and_is_warned_of(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        async def outer() -> Any:
            return await step.do("inner", lambda: 2) + 1

        return await step.do("outer", outer)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == 3
    assert [one.step.name for one in described(engine, workflow).steps] == ["outer", "inner"]
    feed = engine.reads.feed(described(engine, workflow).instance.seq)
    assert "warning" in [event.type for event in feed]


async def test_row_70_names_that_look_like_others_keys_never_meet(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        first = await step.do("w-1", lambda: "do")
        event_ = await step.wait_for_event("w", type="t")
        second = await step.do("a1000", lambda: "do too")
        await step.sleep("a", 1000)
        return [first, event_.payload, second]

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await handle.send_event("t", "event")
    await engine.advance("1 minute")
    assert await handle.result(timeout=5) == ["do", "event", "do too"]
    assert len(described(engine, workflow).steps) == 4


async def test_a_plain_function_runs_off_the_loop(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("s", lambda: threading.current_thread() is threading.main_thread())

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) is False


async def test_a_lambda_that_gives_a_coroutine_is_awaited(open_engine_here: OpenEngine) -> None:
    async def work(n: int) -> int:
        await asyncio.sleep(0)
        return n

    async def body(event: WorkflowEvent, step: Any) -> Any:
        return [await step.do("s", lambda n=n: work(n)) for n in range(3)]

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) == [0, 1, 2]


async def test_a_result_is_what_a_replay_reads(open_engine_here: OpenEngine) -> None:
    """A live lifetime and a replay see equal values, and no two readers share one object."""
    seen = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        value = await step.do("s", lambda: {"t": (1, 2), "b": b"x", 3: {4}})
        seen.append(dict(value))
        value["t"] = None
        await step.sleep("n", "1 hour")

    workflow = flow(body)
    await run_once(await open_engine_here(workflow), workflow)
    assert seen == [{"t": (1, 2), "b": b"x", 3: {4}}] * 2
