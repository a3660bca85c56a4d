"""The workerd processes of one edge worker: started, watched, replaced, and which bundle's requests go to which.

    bundle → lease → WorkerdProcess … → released;  a watch task looks after every process while there are any

There is one main process for all bundles. It is replaced when it ends by itself, when nothing comes out of it while it
burns processor time (heartbeat.py), and when it grows: past the soft bound a new one takes over and the old one is
drained, past the hard one it is killed. A stalled process is set aside before it counts as hung: what may be asked
again is asked of the next one at once. Bundles that were under way in a process that we lost by their doing (blame.py)
are put on probation (probation.py): they run in cells, processes for one bundle each, or rest.
"""

import asyncio
import contextlib
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from functions.blame import RECENT_S, Blame
from functions.cells import Cells
from functions.errors import FunctionUnavailable, WorkerdUnusable
from functions.heartbeat import HANG_S_MAX, Heartbeat, Pulse, Signs
from functions.probation import Probation
from functions.workerd_process import RunFolder, WorkerdProcess, start_workerd

WATCH_EVERY_S: Final = 0.1
WATCH_IDLE_EVERY: Final = 10
"""A process that was asked for nothing lately is looked at each so many times."""
SENT_SLACK_S: Final = 0.1
RESTART_S: Final = 0.05
RESTART_S_MAX: Final = 5.0
DRAIN_S: Final = 30.0
REQUESTS_OF_A_BUNDLE_MAX: Final = 512
FROM_FUNCTIONS_MAX: Final = 32
"""Of a bundle's requests, those that functions made, beside the others. A function that fetches itself twice asks as
long as there is room: 24,000 times in 49 s for one visitor with room for 512, 140 times in 0.5 s with this."""
MIB: Final = 1024 * 1024
OURS_ALONE: Final = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
"""Signals by which somebody else ended the process: no bundle's doing."""


@dataclass(frozen=True, slots=True)
class SupervisorLimits:
    """`resident_mib` is the soft bound of one process; the hard one is half as much again."""

    resident_mib: int = 768

    @property
    def soft_bytes(self) -> int:
        return self.resident_mib * MIB

    @property
    def hard_bytes(self) -> int:
        return self.resident_mib * MIB * 3 // 2


@dataclass(slots=True)
class Heart:
    """What the watch knows of one process."""

    answer: "asyncio.Task[None]"
    beat: Heartbeat


class ProcessMeter(Protocol):
    """Counts what becomes of the processes."""

    def happened(self, event: str) -> None:
        """started, ended, stalled, hung, oversized or drained: one process each time."""

    def saw(self, *, processes_count: int, resident_bytes: int) -> None: ...


class Supervisor:
    """Made before the loop runs; `close` ends every process."""

    def __init__(
        self,
        program: Path,
        folder: RunFolder,
        *,
        limits: SupervisorLimits,
        now_s: Callable[[], float],
        tell: Callable[[str, dict[str, object]], None],
        meter: ProcessMeter,
    ) -> None:
        """`tell` takes events for the operator: a name and its fields."""
        self._program = program
        self._folder = folder
        self._limits = limits
        self._now_s = now_s
        self._tell = tell
        self._meter = meter
        self._main: WorkerdProcess | None = None
        self._starting: asyncio.Task[WorkerdProcess] | None = None
        self._failed_starts = 0
        self._may_start_at_s = 0.0
        self._failure = ""
        self._processes: set[WorkerdProcess] = set()
        self._hearts: dict[WorkerdProcess, Heart] = {}
        self._watch: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._number = 0
        self._is_closed = False
        self.probation = Probation()
        self._cells = Cells(self._start, self.probation, now_s)
        self._blame = Blame(self._cells, self.probation, now_s)
        self._from_visitors: Counter[str] = Counter()
        self._from_functions: Counter[str] = Counter()

    @property
    def pids(self) -> set[int]:
        return {process.pid for process in self._processes}

    async def start(self) -> None:
        """Starts the main process, so that the first request needn't wait for it."""
        with contextlib.suppress(FunctionUnavailable):
            await self._main_process()

    async def close(self) -> None:
        self._is_closed = True
        self._cells.close()
        for task in (self._watch, self._starting, *self._tasks):
            if task is not None:
                task.cancel()
        for process in list(self._processes):
            process.kill()
            await process.ended.wait()

    @asynccontextmanager
    async def lease(self, bundle: str, *, is_from_function: bool = False) -> AsyncIterator[WorkerdProcess]:
        """A process for one request of `bundle`. Raises FunctionUnavailable."""
        with self._counted(bundle, is_from_function=is_from_function):
            process = await self._process_for(bundle)
            try:
                with process.carrying(bundle, self._now_s()):
                    yield process
            finally:
                self._cells.note_idle()

    @contextlib.contextmanager
    def _counted(self, bundle: str, *, is_from_function: bool) -> Iterator[None]:
        """Raises FunctionUnavailable where too many are under way."""
        under_way = self._from_functions if is_from_function else self._from_visitors
        if under_way[bundle] >= (FROM_FUNCTIONS_MAX if is_from_function else REQUESTS_OF_A_BUNDLE_MAX):
            raise FunctionUnavailable(503, "Too many requests of this site are under way.", retry_after_s=1)
        under_way[bundle] += 1
        try:
            yield
        finally:
            under_way[bundle] -= 1
            if not under_way[bundle]:
                del under_way[bundle]

    def rests(self, bundle: str) -> bool:
        """Nothing of it would run now."""
        return self.probation.resting(bundle, self._now_s()) is not None

    def was_to_blame(self, process: WorkerdProcess, bundle: str) -> bool:
        """Whether this bundle is among those for which a lost process is held against somebody."""
        return self._blame.includes(process, bundle)

    # -- which process ---------------------------------------------------------------------------------------------

    async def _process_for(self, bundle: str) -> WorkerdProcess:
        now_s = self._now_s()
        if (resting := self.probation.resting(bundle, now_s)) is not None:
            raise FunctionUnavailable(
                503,
                "This function has brought its process down and rests for a moment.",
                retry_after_s=max(1, round(resting.left_s)),
            )
        if self.probation.needs_cell(bundle, now_s):
            return await self._cells.process_for(bundle)
        return await self._main_process()

    async def _main_process(self) -> WorkerdProcess:
        if self._main is not None and not self._main.has_ended:
            return self._main
        if self._starting is None:
            wait_s = self._may_start_at_s - self._now_s()
            if wait_s > 1:
                raise FunctionUnavailable(503, self._failure, retry_after_s=round(wait_s))
            self._starting = asyncio.create_task(self._start_main(max(0.0, wait_s)))
        try:
            return await asyncio.shield(self._starting)
        except WorkerdUnusable as error:
            raise FunctionUnavailable(503, str(error), retry_after_s=5) from None

    async def _start_main(self, wait_s: float) -> WorkerdProcess:
        try:
            await asyncio.sleep(wait_s)
            started = await self._start()
            self._main, self._failed_starts = started, 0
            return started
        except WorkerdUnusable as error:
            self._failure = str(error)
            self._failed_starts += 1
            self._may_start_at_s = self._now_s() + min(RESTART_S * 2**self._failed_starts, RESTART_S_MAX)
            self._tell("workerd.unusable", {"reason": str(error)})
            raise
        finally:
            self._starting = None

    async def _start(self) -> WorkerdProcess:
        self._number += 1
        process = await start_workerd(self._program, self._folder, self._number, on_made=self._processes.add)
        self._meter.happened("started")
        self._in_background(self._await_end(process))
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_processes())
        return process

    # -- watching --------------------------------------------------------------------------------------------------

    async def _watch_processes(self) -> None:
        for tick in itertools.count():
            await asyncio.sleep(WATCH_EVERY_S)
            for process in list(self._processes):
                is_due = tick % WATCH_IDLE_EVERY == 0 or process.is_busy(self._now_s() - RECENT_S)
                if is_due and not process.has_ended:
                    self._look_at(process)
            self._cells.end_idle()
            if tick % WATCH_IDLE_EVERY == 0:
                measured = [each for process in self._processes if (each := process.measure()) is not None]
                resident_bytes = sum(each.resident_bytes for each in measured)
                self._meter.saw(processes_count=len(measured), resident_bytes=resident_bytes)

    def _look_at(self, process: WorkerdProcess) -> None:
        measured = process.measure()
        if measured is None:
            return
        if measured.resident_bytes > self._limits.hard_bytes:
            self._end(process, "oversized", resident_mib=measured.resident_bytes // MIB)
            return
        if measured.resident_bytes > self._limits.soft_bytes and process is self._main:
            self._replace_main(measured.resident_bytes)
        signs = Signs(self._now_s(), measured.cpu_s, process.way.heard_count)
        heart = self._hearts.get(process)
        if heart is None or heart.answer.done():
            if heart is not None and not heart.answer.cancelled():
                heart.answer.exception()  # a process that is gone is seen elsewhere
            self._hearts[process] = Heart(asyncio.create_task(process.beats()), Heartbeat(signs))
            return
        pulse = heart.beat.pulse(signs)
        if pulse is Pulse.HUNG:
            self._end(process, "hung", sent_before_s=heart.beat.sent_s + SENT_SLACK_S)
        elif pulse is Pulse.STALLED and process is self._main:
            self._set_aside(process, heart)

    def _set_aside(self, process: WorkerdProcess, heart: Heart) -> None:
        """The others needn't wait until it is known whether what it computes comes to an end. A bundle that was under
        way in it goes on in a cell; what can't be asked again stays."""
        self._meter.happened("stalled")
        suspects = self._blame.hold(process, sent_before_s=heart.beat.sent_s + SENT_SLACK_S, may_be_certain=False)
        self._tell("workerd.stalled", {"pid": process.pid, "suspects": suspects})
        self._start_next_main()
        process.set_aside()
        self._in_background(self._retire(process, heart.answer))

    async def _retire(self, process: WorkerdProcess, answer: "asyncio.Task[None]") -> None:
        await asyncio.wait({answer})
        if not process.has_ended:
            process.is_draining = True
            await self._drain(process)

    def _end(self, process: WorkerdProcess, why: str, *, sent_before_s: float = float("inf"), **fields: object) -> None:
        """Kills a process for what a bundle did in it."""
        self._meter.happened(why)
        suspects = self._blame.hold(process, sent_before_s=sent_before_s)
        self._tell(f"workerd.{why}", {"pid": process.pid, "suspects": suspects, **fields})
        process.kill()

    def _replace_main(self, resident_bytes: int) -> None:
        """This one goes when its last request has."""
        old = self._main
        assert old is not None
        old.is_draining = True
        self._meter.happened("drained")
        self._tell("workerd.drained", {"pid": old.pid, "resident_mib": resident_bytes // MIB})
        self._in_background(self._drain(old))
        self._start_next_main()

    def _start_next_main(self) -> None:
        self._main = None
        if self._starting is None:
            self._starting = asyncio.create_task(self._start_main(0.0))
            self._starting.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _drain(self, process: WorkerdProcess) -> None:
        await process.drained(wait_s=DRAIN_S)
        process.kill()

    async def _await_end(self, process: WorkerdProcess) -> None:
        await process.ended.wait()
        self._processes.discard(process)
        heart = self._hearts.pop(process, None)
        if heart is not None:
            heart.answer.cancel()
        if not self._blame.is_held(process) and not process.is_draining and process.exit_signal not in OURS_ALONE:
            self._blame.hold(process)
        self._cells.forget(process)
        was_main = process is self._main
        if not self._is_closed and not process.is_draining:
            self._meter.happened("ended")
            self._tell("workerd.ended", {"pid": process.pid, "signal": process.exit_signal})
        asyncio.get_running_loop().call_later(HANG_S_MAX, self._blame.forget, process)
        if was_main and not self._is_closed:
            self._start_next_main()

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
