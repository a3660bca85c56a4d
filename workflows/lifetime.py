"""One lifetime of an instance: one run of its code, from the top, in this process.

It knows what was stored (`steps`), answers step calls from it or does the work, and ends in one of four ways: `run`
returned or raised (`Outcome`), it only waits and was sent to sleep, a command took it, or its lease is gone. After its
end no step call returns: each raises LifetimeEnded, and nothing is written any more.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn, TypeVar

from workflows.callbacks import CallbackExit, CallbackThreads, Returned, in_this_process
from workflows.calls import StepCalls
from workflows.clock import Clock, from_ms
from workflows.context import current_step
from workflows.errors import (
    Failure,
    LifetimeEnded,
    PayloadTooLarge,
    StoreError,
    WorkflowFatalError,
    WorkflowInternalError,
)
from workflows.identity import StepKind, rollback_key
from workflows.interventions import Interventions
from workflows.limits import Limits, Timing
from workflows.retry import jittered_ms
from workflows.serialisation import deserialise, serialise_limited, stored_bytes
from workflows.states import LogEvent, StepState
from workflows.step import Rollback, WorkflowStep
from workflows.store import journal
from workflows.store.leases import Claimed
from workflows.store.records import StepRecord
from workflows.store.transaction import Transaction
from workflows.store.writer import Commit, LeaseLost, Writer
from workflows.sync_step import SyncWorkflowStep
from workflows.waiting import Waits
from workflows.workflow import Definition, WorkflowEvent

Result = TypeVar("Result")
ENDING_S: Final = 1.0  # how long code may take to unwind once its lifetime has ended


@dataclass(frozen=True, slots=True)
class Services:
    """What a worker lends to its lifetimes. `writer` puts their commands under the worker's lease; `chunk_room` bounds
    the chunks of streams that one commit takes along; `chance` gives numbers in [0, 1) for the retries' jitter."""

    writer: Writer
    clock: Clock
    limits: Limits
    timing: Timing
    threads: CallbackThreads
    run_threads: CallbackThreads
    chunk_room: asyncio.Semaphore
    chance: Callable[[], float]
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
        self.threads, self.chunk_room = services.threads, services.chunk_room
        self.path = services.writer.path
        self._services = services
        self.interventions = services.interventions(definition.name, claimed.instance.id)
        self._on_change = on_change
        self.steps = {step.key: step for step in claimed.steps}
        self.rollbacks: dict[str, Rollback] = {}
        self.waits = Waits(services.clock, self._changed)
        self.is_closed = False
        self.is_undoing = False
        self.is_rehearsal = claimed.instance.rollback_json is not None
        self.lease_is_lost = False
        self.pause_asked_on: int | None = None
        self.state_bytes = sum(stored_bytes(step.result) for step in claimed.steps) + len(claimed.instance.params)
        self._gate = asyncio.Event()
        self._gate.set()
        self._busy_count = 0
        self.calls = StepCalls(self, claimed.steps)
        self._next_ord = max((step.ord for step in claimed.steps), default=0) + 1
        self._callbacks: set[asyncio.Task[Any]] = set()
        self.fatal: Failure | None = None
        self.warned: set[str] = set()
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
        if self.calls.has_left_out and self.definition.workflow.strict:
            return self._errored(self.calls.non_determinism())
        try:
            return Completed(serialise_limited(output, "the instance's output", self.limits.result_bytes))
        except PayloadTooLarge as problem:
            return self._errored(WorkflowInternalError(problem.why))
        except Exception as problem:  # noqa: BLE001 - it may be an author's own kind of list or dict
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
            return await in_this_process(workflow.run(event, WorkflowStep(self.calls)))
        facade = SyncWorkflowStep(WorkflowStep(self.calls), asyncio.get_running_loop())
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
        for task in self.calls.open_tasks:
            if task is not self.task:
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

    def submit(
        self, command: Callable[[Transaction], Result], *, synced: bool = True, brief: bool = False
    ) -> Commit[Result]:
        self.check_open()
        return self._services.writer.submit(command, leased=True, synced=synced, brief=brief)

    async def commit(self, command: Callable[[Transaction], Result], *, synced: bool = True) -> Result:
        """Raises LifetimeEnded if it ended meanwhile."""
        commit = self.submit(command, synced=synced)
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
        if message in self.warned or self.is_closed:
            return
        self.warned.add(message)
        self.submit(journal.note(self.instance, LogEvent.WARNING, {"message": message})).add_done_callback(_forget)

    def adopt(self, step: StepRecord) -> None:
        self.steps[step.key] = step

    # ---- what its steps ask

    def new_step(self, kind: StepKind, name: str, count: int, key: str) -> StepRecord:
        step = StepRecord(
            id=0, key=key, kind=kind, name=name, count=count, ord=self._next_ord, state=StepState.PENDING,
            config_json=None, has_rollback=False, attempts=0, attempt_started_on=None, result=None, error=None,
            event_type=None, due=None, started_on=0, ended_on=None,
        )  # fmt: skip
        self._next_ord += 1
        return step

    async def wait_until(self, step: StepRecord) -> None:
        """Until the step's `due` has come, which a pause may move."""
        while step.due is not None and step.due > self.clock.now_ms():
            await self.waits.until(step.due)

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
        return None if self.interventions is None else self.interventions.outcome((step.name, step.count))

    def delay_in_force_ms(self, step: StepRecord, delay_ms: int) -> int:
        """What the engine and a test make of the delay that the step's config gives."""
        skips = self.interventions is not None and self.interventions.skips_delay((step.name, step.count))
        return 0 if skips else jittered_ms(delay_ms, self.timing.retry_jitter, self._services.chance())

    @property
    def must_undo(self) -> bool:
        return any(step.kind == "do" and step.has_rollback and step.id for step in self.steps.values())

    def rollback_step(self, step: StepRecord, rollback: Rollback) -> StepRecord:
        undoing = self.new_step("rollback", step.name, step.count, rollback_key(step.key))
        undoing.config_json = rollback.config.encode()
        return undoing

    def check_state_size(self, more_bytes: int) -> None:
        self.state_bytes += more_bytes
        if self.state_bytes > self.limits.state_bytes:
            raise WorkflowFatalError(f"the instance's state is over its limit of {self.limits.state_bytes} bytes")


def _forget(task: "asyncio.Future[Any]") -> None:
    """Takes the outcome of a task that nobody waits for, so that asyncio does not log it as lost."""
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()
