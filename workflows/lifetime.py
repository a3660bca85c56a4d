"""One lifetime of an instance: one run of its code, from the top, in this process.

It knows what was stored (`steps`), answers step calls from it or does the work, and ends in one of four ways: `run`
returned or raised (`Outcome`), it only waits and was sent to sleep, a command took it, or its lease is gone. After its
end no step call returns: each raises LifetimeEnded, and nothing is written any more.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from workflows.attempts import Work, run_attempts, work_of
from workflows.callbacks import CallbackExit, CallbackThreads, Returned
from workflows.clock import Clock, from_ms
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
from workflows.identity import StepCounters, StepKind, check_event_type, check_step_name, rollback_key, step_key
from workflows.interventions import Interventions
from workflows.limits import Limits, Timing
from workflows.serialisation import deserialise, serialise
from workflows.states import LogEvent, StepState
from workflows.step import ReceivedEvent, Rollback, WorkflowStep
from workflows.step_config import StepConfig
from workflows.store import journal
from workflows.store.instances import add_event
from workflows.store.leases import Claimed
from workflows.store.records import StepRecord
from workflows.store.transaction import Transaction
from workflows.store.writer import Commit, LeaseLost
from workflows.sync_step import SyncWorkflowStep
from workflows.waiting import Waits
from workflows.workflow import Definition, WorkflowEvent

Result = TypeVar("Result")
SECONDS_BELOW: Final = 10**11  # a number below it is seconds since the epoch, above it milliseconds
ENDING_S: Final = 1.0  # how long code may take to unwind once its lifetime has ended
DEFAULT_WAIT: Final = "24 hours"
RAISES_QUICK_MAX: Final = 100
PASSES_FOR_SIBLINGS: Final = 5
SWALLOWED_S: Final = 0.05  # code that swallows LifetimeEnded in a loop must not spin

current_step: contextvars.ContextVar[tuple["Lifetime", StepRecord] | None] = contextvars.ContextVar(
    "workflows_current_step", default=None
)


@dataclass(frozen=True, slots=True)
class Services:
    """What a worker lends to its lifetimes. `submit` puts a command under the worker's lease."""

    submit: Callable[[Callable[[Transaction], Any]], Commit[Any]]
    clock: Clock
    limits: Limits
    timing: Timing
    threads: CallbackThreads
    run_threads: CallbackThreads
    interventions: Callable[[str, str], Interventions | None] = lambda _workflow, _instance_id: None


@dataclass(frozen=True, slots=True)
class Completed:
    output: bytes


@dataclass(frozen=True, slots=True)
class Errored:
    failure: Failure
    error: BaseException


class Lifetime:
    """`on_change` is told when it begins or ceases to only wait, `on_outcome` when `run` is over by itself."""

    def __init__(
        self, definition: Definition, claimed: Claimed, services: Services,
        *, on_change: Callable[["Lifetime"], None],
    ) -> None:  # fmt: skip
        self.definition = definition
        self.instance = claimed.instance
        self.clock, self.limits, self.timing = services.clock, services.limits, services.timing
        self.threads = services.threads
        self._services = services
        self._interventions = services.interventions(definition.name, claimed.instance.id)
        self._on_change = on_change
        self.steps = {step.key: step for step in claimed.steps}
        self.rollbacks: dict[str, Rollback] = {}
        self.waits = Waits(services.clock, self._changed)
        self.is_closed = False
        self.is_undoing = False
        self.is_rehearsal = claimed.instance.rollback_json is not None
        self.lease_is_lost = False
        self.pause_asked_on: int | None = None
        self.state_bytes = sum(len(step.result or b"") for step in claimed.steps) + len(claimed.instance.params)
        self._gate = asyncio.Event()
        self._gate.set()
        self._busy_count = 0
        self._counters = StepCounters()
        self._left_out = {step.key for step in claimed.steps if step.kind != "rollback" and journal.is_over(step.state)}
        self._do_count = 0
        self._next_ord = max((step.ord for step in claimed.steps), default=0) + 1
        self._callbacks: set[asyncio.Task[Any]] = set()
        self._calls: dict[asyncio.Task[Any] | None, int] = {}
        self.fatal: Failure | None = None
        self._raises_count = 0
        self._warned: set[str] = set()
        self.task: asyncio.Task[Completed | Errored | None] | None = None

    # ---- its course

    def start(self) -> "asyncio.Task[Completed | Errored | None]":
        """The task's result is None if the lifetime ended before `run` did."""
        self.task = asyncio.create_task(self._run(), name=f"workflow {self.definition.name} {self.instance.id}")
        return self.task

    async def _run(self) -> Completed | Errored | None:
        try:
            output = await self._call_run()
        except LifetimeEnded as ended:
            return None if self.fatal is None else Errored(self.fatal, ended)
        except asyncio.CancelledError as cancelled:
            if self.is_closed:
                return None
            return Errored(Failure.of(cancelled), cancelled)
        except (SystemExit, KeyboardInterrupt) as exit_:
            return self._errored(CallbackExit(f"run raised {type(exit_).__name__}; a worker does not exit by it"))
        except BaseException as error:  # noqa: BLE001 - the root of the author's code
            return self._errored(error)
        if self.fatal is not None:
            return self._errored(WorkflowFatalError(self.fatal.message))
        if self.is_closed:
            return None
        if self._left_out and self.definition.workflow.strict and not self.is_rehearsal:
            return self._errored(self._non_determinism())
        try:
            return Completed(serialise(output))
        except TypeError as problem:
            return self._errored(problem)

    def _errored(self, error: BaseException) -> Errored | None:
        if self.fatal is not None:
            return Errored(self.fatal, error)
        return None if self.is_closed else Errored(Failure.of(error), error)

    async def _call_run(self) -> Any:
        workflow = self.definition.workflow()
        event = WorkflowEvent(
            deserialise(self.instance.params), timestamp=from_ms(self.instance.created_on),
            instance_id=self.instance.id, workflow_name=self.definition.name,
        )  # fmt: skip
        if self.definition.is_async:
            return await workflow.run(event, WorkflowStep(self))
        facade = SyncWorkflowStep(WorkflowStep(self), asyncio.get_running_loop())
        returned = await self._services.run_threads.run(partial(workflow.run, event, facade))
        return returned.value

    def close(self) -> None:
        """Ends it: nothing is written any more, every step call raises LifetimeEnded, callbacks are cancelled."""
        if self.is_closed:
            return
        self.is_closed = True
        self._gate.set()
        self.waits.end()
        for callback in self._callbacks:
            callback.cancel()
        for task in self._calls:
            if task is not None and task is not self.task:
                task.add_done_callback(_forget)

    async def end(self) -> None:
        """Closes it and lets its code unwind, for a bounded time: code that swallows cancellation is left behind."""
        self.close()
        tasks = {task for task in (self.task, *self._callbacks) if task is not None and not task.done()}
        tasks.discard(asyncio.current_task())
        if not tasks:
            return
        await asyncio.sleep(0)  # what is about to raise LifetimeEnded does so first
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=ENDING_S)

    def fail_at_once(self, failure: Failure) -> NoReturn:
        """The instance fails, whatever its code would catch. Raises LifetimeEnded."""
        self.fatal = failure
        self.close()
        self._on_change(self)
        raise LifetimeEnded

    def successor(self) -> "Lifetime":
        """For the instance's rollback: it has the steps and registered rollbacks of this one, which must be closed."""
        assert self.is_closed
        undoing = Lifetime(self.definition, Claimed(self.instance, []), self._services, on_change=self._on_change)
        undoing.steps, undoing.rollbacks = self.steps, self.rollbacks
        undoing.state_bytes, undoing.is_undoing = self.state_bytes, True
        self.is_undoing = True  # what its code still asks for is refused
        undoing._next_ord = self._next_ord
        return undoing

    @property
    def idle_until_ms(self) -> int | None:
        """When it will have something to do again, if all it does is wait; else None."""
        if self._busy_count or self.is_closed or self._callbacks:
            return None
        return self.waits.next_due_ms()

    @property
    def is_busy(self) -> bool:
        return self._busy_count > 0

    @property
    def is_still(self) -> bool:
        """Whether only time, an event or a command can make it go on."""
        return not self._busy_count and (len(self.waits) > 0 or not self._gate.is_set())

    def _changed(self) -> None:
        self._on_change(self)

    @contextmanager
    def busy(self) -> Iterator[None]:
        self._busy_count += 1
        try:
            yield
        finally:
            self._busy_count -= 1
            if not self._busy_count:
                self._on_change(self)

    # ---- pausing

    def hold(self, since_ms: int) -> None:
        """No new attempt begins, no timer runs out; attempts that run go on to their end."""
        self.pause_asked_on = since_ms
        self._gate.clear()
        self.waits.hold()

    def go_on(self, by_ms: int) -> None:
        self.pause_asked_on = None
        self.waits.go_on(by_ms)
        for step in self.steps.values():
            if step.due is not None:
                step.due += by_ms
        self._gate.set()

    async def pass_gate(self) -> None:
        while not self._gate.is_set():
            await self._gate.wait()
        self.check_open()

    def check_open(self) -> None:
        if self.is_closed:
            raise LifetimeEnded

    # ---- committing

    def submit(self, command: Callable[[Transaction], Result]) -> Commit[Result]:
        self.check_open()
        return self._services.submit(command)

    async def commit(self, command: Callable[[Transaction], Result]) -> Result:
        """Raises LifetimeEnded if it ended meanwhile."""
        commit = self.submit(command)
        try:
            result = await commit
        except (LeaseLost, StoreError) as lost:
            self.lose(lost)
            raise LifetimeEnded from lost
        self.check_open()
        return result

    def lose(self, why: Exception) -> None:
        """It can't write any more, so it is over here; what it had begun counts as crashed."""
        self.lease_is_lost = True
        self.close()
        self._on_change(self)

    def warn(self, message: str) -> None:
        """A row in the log, once for each message."""
        if message in self._warned or self.is_closed:
            return
        self._warned.add(message)
        self.submit(journal.note(self.instance, LogEvent.WARNING, {"message": message})).add_done_callback(_forget)

    def adopt(self, step: StepRecord) -> None:
        self.steps[step.key] = step

    # ---- step calls

    @contextmanager
    def _calling(self) -> Iterator[None]:
        task = asyncio.current_task()
        self._calls[task] = self._calls.get(task, 0) + 1
        try:
            yield
        except (LeaseLost, StoreError) as lost:
            self.lose(lost)
            raise LifetimeEnded from lost
        finally:
            self._calls[task] -= 1
            if not self._calls[task]:
                del self._calls[task]

    async def _enter(self) -> None:
        if self.is_undoing:
            raise WorkflowFatalError("no step can begin while the workflow is rolled back")
        if self.is_closed:
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
            if not self._left_out or self.is_rehearsal:
                return
            await asyncio.sleep(0)
        if self.definition.workflow.strict:
            raise self._non_determinism()
        self.warn(self._non_determinism().args[0])

    def _non_determinism(self) -> NonDeterminismError:
        names = ", ".join(f"{step.name}-{step.count}" for step in self.left_out[:10])
        return NonDeterminismError(f"this run of the code left out steps that an earlier one finished: {names}")

    def _new_step(self, kind: StepKind, name: str, count: int, key: str) -> StepRecord:
        step = StepRecord(
            id=0, key=key, kind=kind, name=name, count=count, ord=self._next_ord, state=StepState.PENDING,
            config_json=None, has_rollback=False, attempts=0, attempt_started_on=None, result=None, error=None,
            event_type=None, due=None, started_on=0, ended_on=None,
        )  # fmt: skip
        self._next_ord += 1
        return step

    async def do(
        self, name: object, options: object, callback: object, rollback: object, rollback_options: object
    ) -> Any:
        await self._enter()
        config = StepConfig.parse(options)
        if not callable(callback):
            raise WorkflowFatalError(f"step {name!r}: its callback is a {type(callback).__name__}, not a function")
        undo = _parse_rollback(rollback, rollback_options)
        self._do_count += 1
        steps_max = self.definition.workflow.steps_max or self.limits.steps
        if self._do_count > steps_max:
            raise WorkflowFatalError(f"the workflow asked for more than {steps_max} steps, its limit")
        name, count, key = self._identify("do", name)
        outer = current_step.get()
        if outer is not None and outer[0] is self:
            self.warn(f"step {name!r} is called within the callback of step {outer[1].name!r}; it shares its timeout")
        if undo is not None:
            self.rollbacks[key] = undo
        step = self.steps.get(key)
        if step is None and not self.is_rehearsal:
            await self._look_for_left_out()
            step = self._new_step("do", name, count, key)
            step.config_json, step.has_rollback = config.encode(), undo is not None
        if step is None or (self.is_rehearsal and not journal.is_over(step.state)):
            return None
        if step.state is StepState.DONE:
            assert step.result is not None
            return deserialise(step.result)
        if step.state is StepState.FAILED:
            assert step.error is not None
            raise step.error.error()
        if step.id and step.config_json is not None:
            config = StepConfig.decode(step.config_json, config)
        with self._calling():
            return await run_attempts(self, step, work_of(callback, config))

    async def sleep(self, name: object, duration: Any) -> None:
        await self._enter()
        try:
            ms = parse_sleep_ms(duration)
        except DurationRefused as problem:
            raise WorkflowFatalError(f"sleep {name!r}: {problem}") from problem
        await self._sleep(name, lambda _: ms)

    async def sleep_until(self, name: object, when: datetime | float) -> None:
        await self._enter()
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
        step = self.steps.get(key)
        if self.is_rehearsal or (step is not None and step.state is StepState.DONE):
            return
        with self._calling():
            await self.pass_gate()
            if step is None:
                ms = duration_ms(self.clock.now_ms())
                await self._look_for_left_out()
                step = self._new_step("sleep", checked, count, key)
                step.due = due
                if self._interventions is not None and self._interventions.skips_sleep((checked, count)):
                    step.due = self.clock.now_ms()
                await self._begin_wait(step, ms)
            await self.wait_until(step)
            await self.pass_gate()
            with self.busy():
                await self.commit(journal.finish_sleep(self.instance, step))
            step.state, step.due = StepState.DONE, None

    async def _begin_wait(self, step: StepRecord, duration_ms: int) -> None:
        with self.busy():
            commit = self.submit(journal.begin_wait(self.instance, step, duration_ms))
            try:
                await commit
            finally:
                if commit.done() and commit.exception() is None:
                    began = commit.result()
                    step.id, step.started_on = began.step_id, began.at_ms
                    step.due = step.due if step.due is not None else began.at_ms + duration_ms
                    self.adopt(step)
            self.check_open()

    async def wait_until(self, step: StepRecord) -> None:
        """Until the step's `due` has come, which a pause may move."""
        while step.due is not None and step.due > self.clock.now_ms():
            await self.waits.until(step.due)

    async def wait_for_event(self, name: object, event_type: object, timeout: Any) -> ReceivedEvent | None:
        await self._enter()
        try:
            check_event_type(event_type)
            ms = parse_sleep_ms(timeout or DEFAULT_WAIT) or parse_sleep_ms(DEFAULT_WAIT)
        except (DurationRefused, WorkflowError) as problem:
            raise WorkflowFatalError(f"wait {name!r}: {problem}") from problem
        checked, count, key = self._identify("waitForEvent", name)
        step = self.steps.get(key)
        if step is not None and step.state is StepState.DONE:
            assert step.result is not None
            return _received(step.result)
        if self.is_rehearsal:
            return None
        if step is not None and step.state is StepState.FAILED:
            assert step.error is not None
            raise step.error.error()
        with self._calling():
            await self.pass_gate()
            if step is None:
                await self._look_for_left_out()
                step = self._new_step("waitForEvent", checked, count, key)
                step.event_type = str(event_type)
                if self._interventions is not None:
                    ms = await self._intervene(self._interventions, step, ms)
                await self._begin_wait(step, ms)
            return await self._take_event(step, ms)

    async def _intervene(self, interventions: Interventions, step: StepRecord, timeout_ms: int) -> int:
        """A test's event is stored as if it had just been sent; a forced timeout is a wait of no time."""
        mocked = interventions.event(str(step.event_type))
        if mocked is not None:
            payload = serialise(mocked[0])
            with self.busy():
                await self.commit(lambda tx: add_event(tx, self.instance.seq, str(step.event_type), payload))
        return 0 if interventions.times_out((step.name, step.count)) else timeout_ms

    async def _take_event(self, step: StepRecord, timeout_ms: int) -> ReceivedEvent:
        def encode(taken: journal.EventTaken) -> bytes:
            payload = deserialise(taken.payload)
            return serialise({"type": step.event_type, "payload": payload, "timestamp": from_ms(taken.received_on)})

        while True:
            await self.pass_gate()
            with self.busy():
                result = await self.commit(journal.take_event(self.instance, step, encode))
            if result is not None:
                step.state, step.result, step.due = StepState.DONE, result, None
                return _received(result)
            assert step.due is not None
            if step.due <= self.clock.now_ms():
                break
            await self.waits.until(step.due, step.event_type)
        error = WorkflowTimeoutError(f"no event of type {step.event_type!r} came within {timeout_ms}ms")
        with self.busy():
            await self.commit(journal.time_out_wait(self.instance, step, Failure.of(error)))
        step.state, step.error, step.due = StepState.FAILED, Failure.of(error), None
        raise error

    # ---- what an attempt asks

    def start_callback(self, step: StepRecord, coroutine: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        token = current_step.set((self, step))
        try:
            task = asyncio.create_task(coroutine)
        finally:
            current_step.reset(token)
        self._callbacks.add(task)
        task.add_done_callback(self._callback_done)
        return task

    def _callback_done(self, task: "asyncio.Task[Any]") -> None:
        self._callbacks.discard(task)
        _forget(task)

    def forced_outcome(self, step: StepRecord) -> Callable[[], Returned[Any]] | None:
        """A test's stand-in for the callback."""
        return None if self._interventions is None else self._interventions.outcome((step.name, step.count))

    def shortened_delay_ms(self, step: StepRecord, delay_ms: int) -> int:
        skips = self._interventions is not None and self._interventions.skips_delay((step.name, step.count))
        return 0 if skips else delay_ms

    @property
    def must_undo(self) -> bool:
        return any(step.kind == "do" and step.has_rollback and step.id for step in self.steps.values())

    def rollback_step(self, step: StepRecord, rollback: Rollback) -> StepRecord:
        undoing = self._new_step("rollback", step.name, step.count, rollback_key(step.key))
        undoing.config_json = rollback.config.encode()
        return undoing

    def check_state_size(self, more_bytes: int) -> None:
        self.state_bytes += more_bytes
        if self.state_bytes > self.limits.state_bytes:
            raise WorkflowFatalError(f"the instance's state is over its limit of {self.limits.state_bytes} bytes")

    @property
    def warnings_at_end(self) -> list[str]:
        """What is odd about a run that came to its end."""
        warnings = []
        if count := sum(self._calls.values()):
            warnings.append(f"run ended while {count} of its steps were not awaited")
        if self._left_out and not self.is_rehearsal and (told := self._non_determinism().args[0]) not in self._warned:
            warnings.append(told)
        return warnings

    @property
    def left_out(self) -> list[StepRecord]:
        """Finished steps of earlier lifetimes that this one has not asked for."""
        return [step for key, step in self.steps.items() if key in self._left_out]


def _forget(task: "asyncio.Future[Any]") -> None:
    """Takes the outcome of a task that nobody waits for, so that asyncio does not log it as lost."""
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()


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


__all__ = ["Completed", "Errored", "Lifetime", "Services", "Work"]
