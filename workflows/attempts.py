"""Tries a step until it has a result or has failed for good; each outcome is committed before anyone hears of it.

begin (committed) -> callback -> result (synced), or failure and next attempt's time (synced) -> wait -> begin

A beginning is committed before the callback is called, so that an attempt which a killed process leaves counts; it
need not be on the disk by then. A power cut may undo it: the attempt is then begun again under the same number, as if
it had never been, which is what at-least-once allows. Only the first beginning of a step with a rollback is synced:
the step that may have had its effect must be known to whoever undoes the instance without running it again.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workflows.callbacks import Returned, call, takes_argument
from workflows.duration import DurationRefused, parse_sleep_ms
from workflows.errors import (
    Failure,
    LifetimeEnded,
    NonRetryableDelayError,
    PayloadTooLarge,
    WorkflowInternalError,
    WorkflowTimeoutError,
    is_non_retryable,
)
from workflows.retry import may_retry, retry_delay_ms
from workflows.serialisation import StreamMark, Unserialisable, serialise_limited
from workflows.states import StepState
from workflows.step import StepContext, StepName
from workflows.step_config import StepConfig
from workflows.store import journal
from workflows.store.records import StepRecord
from workflows.stored_stream import result_value
from workflows.stream_intake import take_in

if TYPE_CHECKING:
    from workflows.lifetime import Lifetime

CANCELLED: Final = Failure("CancelledError", "the step's caller gave it up")


@dataclass(frozen=True, slots=True)
class Work:
    """What a step does: its function, how to call it (from a StepContext), and its settings."""

    function: Callable[..., Any]
    arguments: Callable[[StepContext], tuple[Any, ...]]
    config: StepConfig


def work_of(callback: Callable[..., Any], config: StepConfig) -> Work:
    if takes_argument(callback):
        return Work(callback, lambda context: (context,), config)
    return Work(callback, lambda _: (), config)


class AttemptTimedOut(Exception):
    pass


async def run_attempts(lifetime: "Lifetime", step: StepRecord, work: Work) -> Any:
    """Returns the step's result as a replay would read it; raises its failure. `step` is kept up to date."""
    while True:
        if step.state is StepState.RETRYING and step.due is not None:
            await lifetime.wait_until(step)
        await lifetime.pass_gate()
        with lifetime.busy():
            await _begin(lifetime, step)
            try:
                returned = await _call(lifetime, step, work)
                result = _stored_form(lifetime, step, returned.value)
            except LifetimeEnded:
                raise
            except asyncio.CancelledError as cancelled:
                await _give_up(lifetime, step, cancelled)
            except Unserialisable as problem:
                await _fail(lifetime, step, work, Failure.of(problem), problem, is_final=True)
                lifetime.fail_at_once(Failure("WorkflowInternalError", f"step {step.name!r}: {problem}"))
            except PayloadTooLarge as problem:
                error: Exception = WorkflowInternalError(f"step {step.name!r}: {problem.why}")
                await _fail(lifetime, step, work, Failure.of(error), error, is_final=True)
                raise error from problem
            except Exception as raised:  # noqa: BLE001 - an author's callback may raise anything
                error = _as_author_sees(raised, work.config)
                if await _fail(lifetime, step, work, Failure.of(error), error):
                    continue
                raise error from None if error is not raised else raised.__cause__
            else:
                await _finish(lifetime, step, result, returned.cpu_ms)
                return result_value(lifetime.path, result)


async def _begin(lifetime: "Lifetime", step: StepRecord) -> None:
    is_new = step.id == 0
    if is_new:
        command = journal.begin_step(lifetime.instance, step)
    else:
        crashed = journal.CRASHED if step.state is StepState.RUNNING else None
        command = journal.begin_attempt(lifetime.instance, step, crashed)
    commit = lifetime.submit(command, synced=is_new and step.has_rollback, brief=True)
    try:
        began = await commit
    except asyncio.CancelledError as cancelled:  # the commit itself was not: it is done by now
        began = commit.result()
        _note_begin(lifetime, step, began, is_new=is_new)
        await _give_up(lifetime, step, cancelled)
    _note_begin(lifetime, step, began, is_new=is_new)
    lifetime.check_open()


def _note_begin(lifetime: "Lifetime", step: StepRecord, began: journal.Began, *, is_new: bool) -> None:
    if is_new:
        step.id, step.started_on = began.step_id, began.at_ms
        lifetime.adopt(step)
    step.attempts += 1
    step.attempt_started_on = began.at_ms
    step.state, step.due = StepState.RUNNING, None


async def _call(lifetime: "Lifetime", step: StepRecord, work: Work) -> Returned[Any]:
    context = StepContext(StepName(step.name, step.count), step.attempts, work.config.for_author())
    forced = lifetime.forced_outcome(step)
    giving = (
        call(work.function, work.arguments(context), lifetime.threads) if forced is None else _in_place_of_call(forced)
    )
    task = lifetime.start_callback(step, take_in(lifetime, step, giving))
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task.add_done_callback(lambda _: None if over.done() else over.set_result(None))
    assert step.attempt_started_on is not None
    deadline_ms = step.attempt_started_on + work.config.timeout_ms
    timer = lifetime.clock.call_at(deadline_ms, lambda: None if over.done() else over.set_exception(AttemptTimedOut()))
    try:
        with lifetime.waits.endable(over):
            await over
    except BaseException:
        task.cancel()  # and is not waited for: whatever it still gives is heard by nobody
        raise
    finally:
        timer.cancel()
    if task.cancelled():  # by itself; to its caller that is an error like others, not a wish to stop
        raise RuntimeError("the callback cancelled itself")
    if isinstance(task.exception(), LifetimeEnded):  # of another instance, or another time: no end of this one
        raise RuntimeError("the callback used the steps of a lifetime that is over")
    return task.result()


async def _in_place_of_call(forced: Callable[[], Returned[Any]]) -> Returned[Any]:
    return forced()


def _stored_form(lifetime: "Lifetime", step: StepRecord, value: Any) -> bytes:
    if isinstance(value, StreamMark):
        return value.encode()
    return serialise_limited(value, "its result", lifetime.limits.result_bytes)


def _as_author_sees(raised: Exception, config: StepConfig) -> Exception:
    if isinstance(raised, AttemptTimedOut):
        return WorkflowTimeoutError(f"the attempt took longer than its timeout of {config.timeout_ms}ms")
    return raised


async def _finish(lifetime: "Lifetime", step: StepRecord, result: bytes, cpu_ms: int) -> None:
    lifetime.check_state_size(len(result))
    commit = lifetime.submit(journal.finish_step(lifetime.instance, step, result, cpu_ms))
    try:
        step.ended_on = await commit
    finally:
        if commit.done() and commit.exception() is None:
            step.state, step.result, step.ended_on = StepState.DONE, result, commit.result()
    lifetime.check_open()


async def _fail(
    lifetime: "Lifetime",
    step: StepRecord,
    work: Work,
    failure: Failure,
    error: BaseException,
    *,
    is_final: bool = False,
) -> bool:
    """Stores the failed attempt. True: there will be another. Raises NonRetryableDelayError."""
    will_retry = not is_final and not is_non_retryable(error) and may_retry(step.attempts, work.config.retries_limit)
    delay_ms: int | None = None
    if will_retry:
        delay_ms = lifetime.delay_in_force_ms(
            step, retry_delay_ms(work.config.delay_ms, work.config.backoff, step.attempts)
        )
    now = await lifetime.commit(journal.fail_attempt(lifetime.instance, step, failure, delay_ms))
    if not will_retry or delay_ms is None:
        step.state, step.error, step.ended_on, step.due = StepState.FAILED, failure, now, None
        return False
    step.state, step.due = StepState.RETRYING, now + delay_ms
    if work.config.delay_function is not None:
        await _ask_delay(lifetime, step, work, error)
    return True


async def _ask_delay(lifetime: "Lifetime", step: StepRecord, work: Work, error: BaseException) -> None:
    """The default delay is stored by now, so that a crash in here does not lose the retry."""
    context = StepContext(StepName(step.name, step.count), step.attempts, work.config.for_author())
    function = work.config.delay_function
    assert function is not None
    try:
        async with asyncio.timeout(lifetime.timing.delay_function_ms / 1000):
            returned = await call(function, ({"ctx": context, "error": error},), lifetime.threads)
        base_ms = parse_sleep_ms(returned.value)
    except DurationRefused as problem:
        why = f"the delay function gave no delay: {problem}"
    except TimeoutError:
        why = f"the delay function took longer than {lifetime.timing.delay_function_ms} ms"
    except Exception as raised:  # noqa: BLE001 - an author's function may raise anything
        told = Failure.of(raised)  # the text of which may not be made
        why = f"the delay function raised {told.name}: {told.message}"
    else:
        delay_ms = lifetime.delay_in_force_ms(step, retry_delay_ms(base_ms, work.config.backoff, step.attempts))
        step.due = lifetime.clock.now_ms() + delay_ms
        await lifetime.commit(journal.set_retry(lifetime.instance, step, step.due, delay_ms))
        return
    failed = NonRetryableDelayError(why)
    failure = Failure.of(failed)
    step.ended_on = await lifetime.commit(journal.fail_step(lifetime.instance, step, failure))
    step.state, step.error, step.due = StepState.FAILED, failure, None
    raise failed


async def _give_up(lifetime: "Lifetime", step: StepRecord, cancelled: asyncio.CancelledError) -> None:
    """The author cancelled this call: the attempt is closed, the step stays unfinished. Raises."""
    if lifetime.is_closed:
        raise LifetimeEnded from cancelled
    await lifetime.commit(journal.close_attempt(lifetime.instance, step, CANCELLED))
    step.state, step.due = StepState.RETRYING, None
    raise cancelled
