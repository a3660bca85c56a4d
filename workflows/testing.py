"""For authors' tests: an engine whose clock stands still until it is told to move, and steps that can be stood in for.

    async with open_test_engine([Purchase], tmp_path / "test.db") as engine:
        instance = engine.introspect(Purchase, "order-1")
        instance.mock_step_result("charge", {"tx": "t-1"})
        await engine.create(Purchase, id="order-1", params={"cart": 7})
        await engine.advance("3 days")
        assert await instance.get_output() == {"by": "ann"}

A step is named by its name, or by (name, occurrence from 1). Interventions hold from when they are asked for; ask
before `create` to have them from the first step.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from workflows.client import InstanceHandle
from workflows.duration import Duration, parse_duration_ms
from workflows.engine import Engine, open_engine
from workflows.errors import Failure, WorkflowError, WorkflowTimeoutError
from workflows.interventions import Planned, Selector
from workflows.limits import Limits, Timing
from workflows.serialisation import deserialise
from workflows.states import Status
from workflows.stored_stream import result_value
from workflows.workflow import Workflow, name_of

STANDARD_START_MS: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
SETTLE_S: Final = 30.0
PASSES_QUIET: Final = 5
WAIT_S: Final = 30.0
StepSelector = str | Selector


class _VirtualTimer:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class VirtualClock:
    """A Clock that only `VirtualClock.move_to` moves."""

    def __init__(self, now_ms: int = STANDARD_START_MS) -> None:
        self._now_ms = now_ms
        self._order = itertools.count()
        self._timers: list[tuple[int, int, _VirtualTimer, Callable[[], None]]] = []

    def now_ms(self) -> int:
        return self._now_ms

    def call_at(self, when_ms: int, callback: Callable[[], None]) -> _VirtualTimer:
        timer = _VirtualTimer()
        heapq.heappush(self._timers, (when_ms, next(self._order), timer, callback))
        if when_ms <= self._now_ms:
            asyncio.get_running_loop().call_soon(self._fire_due)
        return timer

    def next_due_ms(self) -> int | None:
        while self._timers and self._timers[0][2].is_cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def move_to(self, now_ms: int) -> None:
        """Backwards too, as a system's clock may; timers then come late."""
        self._now_ms = now_ms
        self._fire_due()

    def _fire_due(self) -> None:
        while (due := self.next_due_ms()) is not None and due <= self._now_ms:
            _, _, _, callback = heapq.heappop(self._timers)
            callback()


class Introspector:
    """One instance as a test sees and steers it; it need not exist yet."""

    def __init__(self, engine: "TestEngine", workflow: type[Workflow], instance_id: str, planned: Planned) -> None:
        self._engine = engine
        self._workflow = workflow
        self._id = instance_id
        self._planned = planned

    def disable_sleeps(self, steps: Iterable[StepSelector] | None = None) -> None:
        """These sleeps (None: all) end at once."""
        self._planned.sleeps = None if steps is None else {_selector(step) for step in steps}

    def disable_retry_delays(self, steps: Iterable[StepSelector] | None = None) -> None:
        """These steps (None: all) are retried at once."""
        self._planned.delays = None if steps is None else {_selector(step) for step in steps}

    def mock_step_result(self, step: StepSelector, value: Any) -> None:
        """The step gives `value`; its callback is not called."""
        self._planned.results[_selector(step)] = value

    def mock_step_error(self, step: StepSelector, error: BaseException, times: int | None = None) -> None:
        """The step's next `times` attempts (None: all) raise `error`; its callback is not called for them."""
        self._planned.errors[_selector(step)] = (error, times)

    def force_step_timeout(self, step: StepSelector, times: int | None = None) -> None:
        """The step's next `times` attempts (None: all) time out at once."""
        self.mock_step_error(step, WorkflowTimeoutError("the test forced a timeout"), times)

    def mock_event(self, type: str, payload: Any = None) -> None:
        """The next wait for this type gets the event at once."""
        self._planned.events.append((type, payload))

    def force_event_timeout(self, step: StepSelector) -> None:
        """This wait for an event times out at once."""
        self._planned.wait_timeouts.add(_selector(step))

    @property
    def handle(self) -> InstanceHandle:
        record = self._engine.workflow(self._workflow)
        return InstanceHandle(self._engine, record.id, record.name, self._id)

    async def wait_for_step_result(self, step: StepSelector) -> Any:
        """The step's stored result, once it has one. Raises its stored error, TimeoutError after 30 s."""
        name, index = _selector(step)
        record = self._engine.workflow(self._workflow)
        async with asyncio.timeout(WAIT_S):
            while True:
                result, failure = self._engine.reads.step_result(record.id, self._id, name, index)
                if result is not None:
                    return result_value(self._engine.writer.path, result)
                if failure is not None:
                    raise failure.error()
                await asyncio.sleep(0.001)

    async def wait_for_status(self, status: str) -> None:
        """Raises WorkflowError at once when the instance ended otherwise, TimeoutError after 30 real seconds."""
        wanted = Status.parse(status)
        record = self._engine.workflow(self._workflow)
        async with asyncio.timeout(WAIT_S):
            while True:
                found = self._engine.reads.instance(record.id, self._id)
                if found is not None and found.status is wanted:
                    return
                if found is not None and found.status.is_terminal:
                    raise WorkflowError(
                        "test.unreachable", f"instance {self._id!r} is {found.status.api_name}, and never {status}"
                    )
                await asyncio.sleep(0.001)

    async def get_output(self) -> Any:
        """Waits for the end. Raises WorkflowError unless that is `complete`."""
        await self.wait_for_status("complete")
        output = self.handle.record().output
        assert output is not None
        return deserialise(output)

    async def get_error(self) -> Failure:
        """Waits for the end. Raises WorkflowError unless it is `errored`."""
        await self.wait_for_status("errored")
        error = self.handle.record().error
        assert error is not None
        return error


def _selector(step: StepSelector) -> Selector:
    return (step, 1) if isinstance(step, str) else step


class TestEngine(Engine):
    """An Engine on a VirtualClock. Made by `open_test_engine`."""

    __test__ = False  # no test class, whatever pytest thinks of its name
    virtual: VirtualClock
    plans: dict[tuple[str, str], Planned]

    def introspect(self, workflow: type[Workflow], instance_id: str) -> Introspector:
        planned = self.plans.setdefault((name_of(workflow), instance_id), Planned())
        return Introspector(self, workflow, instance_id, planned)

    async def settle(self) -> None:
        """Until nothing more happens without time: all that can run has run. Raises TimeoutError after 30 s."""
        quiet = 0
        async with asyncio.timeout(SETTLE_S):
            while quiet < PASSES_QUIET:
                await asyncio.sleep(0 if quiet else 0.001)
                quiet = quiet + 1 if self.worker.is_quiet else 0

    async def advance(self, duration: Duration) -> None:
        """Moves the clock on, stopping at each timer on the way until what it began has settled."""
        target = self.virtual.now_ms() + parse_duration_ms(duration)
        while True:
            await self.settle()
            coming = [due for due in (self.virtual.next_due_ms(), self.reads.next_wake_ms()) if due is not None]
            due = min(coming, default=None)
            if due is None or due > target:
                break
            self.virtual.move_to(max(due, self.virtual.now_ms()))
            self.worker.ring()
        self.virtual.move_to(target)
        self.worker.ring()
        await self.settle()


@asynccontextmanager
async def open_test_engine(
    workflows: Iterable[type[Workflow]], path: Path, *, limits: Limits | None = None, timing: Timing | None = None,
    clock: VirtualClock | None = None, chance: Callable[[], float] = lambda: 0.5,
) -> AsyncIterator[TestEngine]:  # fmt: skip
    """Opens the store at `path` for a test; it may be one that another engine left there. `chance` stands in for the
    random numbers of `Timing.retry_jitter`."""
    clock = clock or VirtualClock()
    plans: dict[tuple[str, str], Planned] = {}
    async with open_engine(
        path, workflows, limits=limits, timing=timing, clock=clock, engine_class=TestEngine, chance=chance,
        interventions=lambda workflow, instance_id: plans.get((workflow, instance_id)),
    ) as engine:  # fmt: skip
        assert isinstance(engine, TestEngine)
        engine.virtual, engine.plans = clock, plans
        yield engine
