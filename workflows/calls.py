"""What happens when `run` calls a step: which step it is, what is known of it, and the work if there is any left.

check the call -> identify (kind, name, occurrence) -> finished earlier? give that -> else begin, wait, commit
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from workflows.attempts import run_attempts, work_of
from workflows.clock import from_ms
from workflows.context import current_step
from workflows.duration import DurationRefused, parse_sleep_ms
from workflows.errors import (
    Failure,
    LifetimeEnded,
    NonDeterminismError,
    StoreError,
    WorkflowError,
    WorkflowFatalError,
    WorkflowTimeoutError,
)
from workflows.identity import StepCounters, StepKind, check_event_type, check_step_name, step_key
from workflows.interventions import Interventions
from workflows.serialisation import deserialise, serialise
from workflows.states import LogEvent, StepState
from workflows.step import ReceivedEvent, Rollback
from workflows.step_config import StepConfig
from workflows.store import journal
from workflows.store.instances import add_event
from workflows.store.records import StepRecord
from workflows.store.transaction import Transaction
from workflows.store.writer import LeaseLost
from workflows.stored_stream import result_value

if TYPE_CHECKING:
    from workflows.lifetime import Lifetime

SECONDS_BELOW: Final = 10**11  # a number below it is seconds since the epoch, above it milliseconds
DEFAULT_WAIT: Final = "24 hours"
RAISES_QUICK_MAX: Final = 100
NAMES_TOLD_MAX: Final = 10
PASSES_FOR_SIBLINGS: Final = 5
SWALLOWED_S: Final = 0.05  # code that swallows LifetimeEnded in a loop must not spin


class StepCalls:
    """The step calls of one lifetime, `known` being the steps that were stored before it."""

    def __init__(self, lifetime: "Lifetime", known: Sequence[StepRecord]) -> None:
        self._life = lifetime
        self._counters = StepCounters()
        self._left_out = {step.key for step in known if step.kind != "rollback" and journal.is_over(step.state)}
        self._do_count = 0
        self._raises_count = 0
        self._open: dict[asyncio.Task[Any] | None, int] = {}
        self._asked: dict[tuple[StepKind, str], int] = {}  # calls that were made, and haven't begun

    @property
    def open_tasks(self) -> list[asyncio.Task[Any]]:
        """The tasks in which a step call stands."""
        return [task for task in self._open if task is not None]

    @property
    def has_left_out(self) -> bool:
        """Whether a step that an earlier lifetime finished has not been asked for."""
        return bool(self._left_out) and not self._life.is_rehearsal

    @contextmanager
    def _calling(self) -> Iterator[None]:
        task = asyncio.current_task()
        self._open[task] = self._open.get(task, 0) + 1
        try:
            yield
        except (LeaseLost, StoreError) as lost:
            self._life.lose(lost)
            raise LifetimeEnded from lost
        finally:
            self._open[task] -= 1
            if not self._open[task]:
                del self._open[task]

    def ask(self, kind: StepKind, name: object) -> None:
        """A call is made. It begins once it is awaited: one that never is, is found here at the end."""
        if isinstance(name, str):
            self._asked[kind, name] = self._asked.get((kind, name), 0) + 1

    async def _enter(self, kind: StepKind, name: object) -> None:
        if isinstance(name, str) and (left := self._asked.pop((kind, name), 1) - 1):
            self._asked[kind, name] = left
        if self._life.is_undoing:
            raise WorkflowFatalError("no step can begin while the workflow is rolled back")
        if self._life.is_closed:
            self._raises_count += 1
            await asyncio.sleep(0 if self._raises_count < RAISES_QUICK_MAX else SWALLOWED_S)
            raise LifetimeEnded

    def _identify(self, kind: StepKind, name: object) -> tuple[str, int, str]:
        checked = check_step_name(name)
        count = self._counters.next(kind, checked)
        key = step_key(kind, checked, count)
        self._left_out.discard(key)
        return checked, count, key

    async def _look_for_left_out(self) -> None:
        """A new step is reached: what earlier lifetimes finished should have been asked for by now.

        Steps that run side by side get a few passes of the loop to ask for theirs.
        """
        for _ in range(PASSES_FOR_SIBLINGS):
            if not self._left_out or self._life.is_rehearsal:
                return
            await asyncio.sleep(0)
        if self._life.definition.workflow.strict:
            raise self.non_determinism()
        self._life.warn(self.non_determinism().args[0])

    def non_determinism(self) -> NonDeterminismError:
        names = ", ".join(f"{step.name}-{step.count}" for step in self.left_out[:NAMES_TOLD_MAX])
        return NonDeterminismError(f"this run of the code left out steps that an earlier one finished: {names}")

    async def do(
        self, name: object, options: object, callback: object, rollback: object, rollback_options: object
    ) -> Any:
        await self._enter("do", name)
        config = StepConfig.parse(options)
        if not callable(callback):
            raise WorkflowFatalError(f"step {name!r}: its callback is a {type(callback).__name__}, not a function")
        undo = _parse_rollback(rollback, rollback_options)
        self._do_count += 1
        steps_max = self._life.definition.workflow.steps_max or self._life.limits.steps
        if self._do_count > steps_max:
            raise WorkflowFatalError(f"the workflow asked for more than {steps_max} steps, its limit")
        name, count, key = self._identify("do", name)
        outer = current_step.get()
        if outer is not None and outer[0] is self._life:
            self._life.warn(
                f"step {name!r} is called within the callback of step {outer[1].name!r}; their timeout is one"
            )
        if undo is not None:
            self._life.rollbacks[key] = undo
        step = self._life.steps.get(key)
        if step is None and not self._life.is_rehearsal:
            await self._look_for_left_out()
            step = self._life.new_step("do", name, count, key)
            step.config_json, step.has_rollback = config.encode(), undo is not None
        if step is None or (self._life.is_rehearsal and not journal.is_over(step.state)):
            return None
        if step.state is StepState.DONE:
            assert step.result is not None
            return result_value(self._life.path, step.result)
        if step.state is StepState.FAILED:
            assert step.error is not None
            raise step.error.error()
        if step.id and step.config_json is not None:
            config = StepConfig.decode(step.config_json, config)
        with self._calling():
            return await run_attempts(self._life, step, work_of(callback, config))

    async def sleep(self, name: object, duration: Any) -> None:
        await self._enter("sleep", name)
        try:
            ms = parse_sleep_ms(duration)
        except DurationRefused as problem:
            raise WorkflowFatalError(f"sleep {name!r}: {problem}") from problem
        await self._sleep(name, lambda _: ms)

    async def sleep_until(self, name: object, when: datetime | float) -> None:
        await self._enter("sleep", name)
        due = _epoch_ms(when)

        def left(now_ms: int) -> int:
            if due < now_ms:
                raise WorkflowFatalError(f"sleep {name!r}: its time has passed by {now_ms - due} ms")
            try:
                return parse_sleep_ms(due - now_ms)
            except DurationRefused as problem:
                raise WorkflowFatalError(f"sleep {name!r}: {problem}") from problem

        await self._sleep(name, left, due)

    async def _sleep(self, name: object, duration_ms: Callable[[int], int], due: int | None = None) -> None:
        checked, count, key = self._identify("sleep", name)
        step = self._life.steps.get(key)
        if self._life.is_rehearsal or (step is not None and step.state is StepState.DONE):
            return
        with self._calling():
            await self._life.pass_gate()
            if step is None:
                ms = duration_ms(self._life.clock.now_ms())
                await self._look_for_left_out()
                step = self._life.new_step("sleep", checked, count, key)
                step.due = due
                if self._life.interventions is not None and self._life.interventions.skips_sleep((checked, count)):
                    step.due = self._life.clock.now_ms()
                await self._begin_wait(step, ms)
            await self._life.wait_until(step)
            await self._life.pass_gate()
            with self._life.busy():
                await self._life.commit(journal.finish_sleep(self._life.instance, step))
            step.state, step.due = StepState.DONE, None

    async def _begin_wait(self, step: StepRecord, duration_ms: int) -> None:
        with self._life.busy():
            commit = self._life.submit(journal.begin_wait(self._life.instance, step, duration_ms))
            try:
                await commit
            finally:
                if commit.done() and commit.exception() is None:
                    began = commit.result()
                    step.id, step.started_on = began.step_id, began.at_ms
                    step.due = step.due if step.due is not None else began.at_ms + duration_ms
                    self._life.adopt(step)
            self._life.check_open()

    async def wait_for_event(self, name: object, event_type: object, timeout: Any) -> ReceivedEvent | None:
        await self._enter("waitForEvent", name)
        try:
            check_event_type(event_type)
            ms = parse_sleep_ms(timeout or DEFAULT_WAIT) or parse_sleep_ms(DEFAULT_WAIT)
        except (DurationRefused, WorkflowError) as problem:
            raise WorkflowFatalError(f"wait {name!r}: {problem}") from problem
        checked, count, key = self._identify("waitForEvent", name)
        step = self._life.steps.get(key)
        if step is not None and step.state is StepState.DONE:
            assert step.result is not None
            return _received(step.result)
        if self._life.is_rehearsal:
            return None
        if step is not None and step.state is StepState.FAILED:
            assert step.error is not None
            raise step.error.error()
        with self._calling():
            await self._life.pass_gate()
            if step is None:
                await self._look_for_left_out()
                step = self._life.new_step("waitForEvent", checked, count, key)
                step.event_type = str(event_type)
                if self._life.interventions is not None:
                    ms = await self._intervene(self._life.interventions, step, ms)
                await self._begin_wait(step, ms)
            return await self._take_event(step, ms)

    async def _intervene(self, interventions: Interventions, step: StepRecord, timeout_ms: int) -> int:
        """A test's event is stored as if it had just been sent; a forced timeout is a wait of no time."""
        mocked = interventions.event(str(step.event_type))
        if mocked is not None:
            payload = serialise(mocked[0])
            with self._life.busy():
                await self._life.commit(
                    lambda tx: add_event(tx, self._life.instance.seq, str(step.event_type), payload)
                )
        return 0 if interventions.times_out((step.name, step.count)) else timeout_ms

    async def _take_event(self, step: StepRecord, timeout_ms: int) -> ReceivedEvent:
        def encode(taken: journal.EventTaken) -> bytes:
            payload = deserialise(taken.payload)
            return serialise({"type": step.event_type, "payload": payload, "timestamp": from_ms(taken.received_on)})

        while True:
            await self._life.pass_gate()
            with self._life.busy():
                result = await self._life.commit(journal.take_event(self._life.instance, step, encode))
            if result is not None:
                step.state, step.result, step.due = StepState.DONE, result, None
                self._life.check_state_size(len(result))
                return _received(result)
            assert step.due is not None
            if step.due <= self._life.clock.now_ms():
                break
            await self._life.waits.until(step.due, step.event_type)
        error = WorkflowTimeoutError(f"no event of type {step.event_type!r} came within {timeout_ms}ms")
        with self._life.busy():
            await self._life.commit(journal.time_out_wait(self._life.instance, step, Failure.of(error)))
        step.state, step.error, step.due = StepState.FAILED, Failure.of(error), None
        raise error

    def leave_behind(self) -> list[Callable[[Transaction], None]]:
        """What a run that came to its end leaves to be written: a warning for each thing that is odd about it, and an
        unfinished row for a `do` that never began."""
        instance, warnings = self._life.instance, []
        unbegun = [] if self._life.is_rehearsal else list(self._asked)
        rows = [step for kind, name in unbegun[:NAMES_TOLD_MAX] if kind == "do" and (step := self._unbegun(name))]
        if count := sum(self._open.values()):
            warnings.append(f"run ended while {count} of its steps were not awaited")
        if unbegun:
            names = ", ".join(repr(name) for _, name in unbegun[:NAMES_TOLD_MAX])
            warnings.append(f"run ended before steps that it called began, as nothing awaited them: {names}")
        if self.has_left_out and (told := self.non_determinism().args[0]) not in self._life.warned:
            warnings.append(told)
        return [journal.leave_unbegun(instance, step) for step in rows] + [
            journal.note(instance, LogEvent.WARNING, {"message": message}) for message in warnings
        ]

    def _unbegun(self, name: str) -> StepRecord | None:
        """None if it can have no row, or has one from an earlier lifetime."""
        try:
            checked, count, key = self._identify("do", name)
        except WorkflowFatalError:
            return None
        return None if key in self._life.steps else self._life.new_step("do", checked, count, key)

    @property
    def left_out(self) -> list[StepRecord]:
        """Finished steps of earlier lifetimes that this one has not asked for."""
        return [step for key, step in self._life.steps.items() if key in self._left_out]


def _parse_rollback(rollback: object, options: object) -> Rollback | None:
    if rollback is None:
        if options is not None:
            raise WorkflowFatalError("rollback_config without a rollback")
        return None
    if not callable(rollback):
        raise WorkflowFatalError(f"a rollback is a function, not a {type(rollback).__name__}")
    if isinstance(options, dict) and "sensitive" in options:
        raise WorkflowFatalError("rollback_config takes retries and timeout only")
    return Rollback(rollback, StepConfig.parse(options))


def _received(result: bytes) -> ReceivedEvent:
    fields = deserialise(result)
    return ReceivedEvent(fields["type"], fields["payload"], fields["timestamp"])


def _epoch_ms(when: datetime | float) -> int:
    match when:
        case datetime():
            if when.tzinfo is None:
                raise WorkflowFatalError("sleep_until takes an aware datetime; this one has no time zone")
            return int(when.astimezone(UTC).timestamp() * 1000)
        case int() | float() if not isinstance(when, bool) and when == when and abs(when) < 10**16:
            return int(when * 1000 if when < SECONDS_BELOW else when)
    raise WorkflowFatalError(f"sleep_until takes a datetime or a number, not {when!r}")
