"""The processes of one `onehop serve`: started, replaced when they die, handed over at a reload, drained at a stop.

    start ─ all ready → serving ─ SIGHUP → a roll: heir of each process in turn, ready → the one before it drains
                        serving ─ SIGTERM, SIGINT → stop: all drain; a second one: all are killed

The parent only waits: for a child to say that it is ready, for one to end, for a signal, for the next time at which
something is due. A process that was told to drain is killed when it hasn't ended by its deadline.
"""

import gc
import os
import select
import signal
import struct
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from onehop.processes import (
    RELOAD_SIGNAL,
    STOP_SIGNALS,
    Process,
    Role,
    fork_into,
    has_terminal,
    is_in_foreground,
    reap,
)
from onehop.service_manager import ServiceManager
from router.event_log import event_log

RESTART_DELAY_S: Final = 0.05
RESTART_DELAY_S_MAX: Final = 5.0
SHORT_LIFE_S: Final = 10.0
SHORT_LIVES_MAX: Final = 16
"""Far past the one at which the delay is at its most."""
START_S_MAX: Final = 60.0
"""How long an heir may take to serve: a workerd, and a store of millions from a slow disk, lie in it."""
KILL_AFTER_DRAIN_S: Final = 2.0
EXIT_FAILED: Final = 1
READY_MESSAGE: Final = struct.Struct("=I")
PIPE_BYTES: Final = 4096


class ReloadRefused(Exception):
    """What should run from now on can't: its one line says why. All goes on as before."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs: each role in a process of its own, and how long a process may drain."""

    roles: Sequence[Role]
    drain_s: float


@dataclass(slots=True)
class Place:
    """A role, the process that plays it now, and how its predecessors fared."""

    role: Role
    process: Process
    short_lives: int = 0
    restart_at_s: float | None = None


@dataclass(slots=True)
class Supervisor:
    """Runs a plan until told to stop. `on_ready` is called once, when all serve; `replan` at each reload, which may
    raise ReloadRefused; `on_stop` when no more connections are to come; `meanwhile` while the first process begins."""

    plan: Plan
    on_ready: Callable[[], None]
    replan: Callable[[], Plan]
    on_stop: Callable[[], None] = lambda: None
    meanwhile: Callable[[], None] = lambda: None
    manager: ServiceManager = field(default_factory=ServiceManager)
    _places: list[Place] = field(default_factory=list)
    _processes: dict[int, Process] = field(default_factory=dict)
    _announced: bool = False
    _roll: Iterator[float] | None = None
    _roll_look_at_s: float | None = None
    _reload_is_due: bool = False
    _ends_with_terminal: bool = False
    _ready_read: int = -1
    _ready_write: int = -1
    _wake_read: int = -1

    def run(self) -> int:
        """Returns the exit code of the whole: 0 after an orderly stop, 1 when a role could not start, and when a stop
        was cut short."""
        self._ready_read, self._ready_write = os.pipe()
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        self._ends_with_terminal = is_in_foreground()
        for number in (*STOP_SIGNALS, RELOAD_SIGNAL, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)  # the wake-up pipe tells which
        for index, role in enumerate(self.plan.roles):
            self._places.append(Place(role, self._start(role)))
            if index == 0:
                self.meanwhile()
        while True:
            signals = self._wait()
            if self._asks_to_stop(signals):
                return self._stop()
            if not self._replace_the_dead():
                self._stop()
                return EXIT_FAILED
            self._kill_overdue()
            self._reload_is_due |= RELOAD_SIGNAL in signals
            self._go_on_rolling()

    # Waiting

    def _wait(self, until_s: float | None = None) -> bytes:
        """Until something happens or is due. The signals that came."""
        due = [place.restart_at_s for place in self._places]
        due += [process.kill_at_s for process in self._processes.values()]
        due += [until_s, self._roll_look_at_s, self.manager.ping_at_s]
        nearest_s = min((each for each in due if each is not None), default=None)
        timeout_s = None if nearest_s is None else max(0.0, nearest_s - time.monotonic())
        readable, _, _ = select.select([self._ready_read, self._wake_read], [], [], timeout_s)
        self.manager.ping()
        if self._ready_read in readable:
            self._note_ready(os.read(self._ready_read, PIPE_BYTES))
        signals = os.read(self._wake_read, PIPE_BYTES) if self._wake_read in readable else b""
        for pid, code in reap():
            if (process := self._processes.pop(pid, None)) is not None:
                process.exit_code = code
        return signals

    def _asks_to_stop(self, signals: bytes) -> bool:
        """A terminal that goes away sends SIGHUP too, and means an end: nobody could stop us by Ctrl-C any more."""
        hung_up = RELOAD_SIGNAL in signals and self._ends_with_terminal and not has_terminal()
        return hung_up or any(number in signals for number in STOP_SIGNALS)

    # Processes

    def _start(self, role: Role) -> Process:
        def ready() -> None:
            os.write(self._ready_write, READY_MESSAGE.pack(os.getpid()))

        gc.freeze()  # no child's collector walks, and thereby copies, what they all share
        process = fork_into(role, time.monotonic(), ready)
        self._processes[process.pid] = process
        return process

    def _note_ready(self, messages: bytes) -> None:
        for (pid,) in READY_MESSAGE.iter_unpack(messages):
            if (process := self._processes.get(pid)) is not None:
                process.is_ready = True
        if not self._announced and all(place.process.is_ready for place in self._places):
            self._announced = True
            self.on_ready()
            self.manager.ready()

    def _replace_the_dead(self) -> bool:
        """False when a child ended before everything served once: a start that fails must not look like one that
        takes long."""
        now_s = time.monotonic()
        for place in self._places:
            process = place.process
            if process.exit_code is not None and process.kill_at_s is None and place.restart_at_s is None:
                if not self._announced:
                    return False
                short = now_s - process.started_s < SHORT_LIFE_S
                place.short_lives = min(place.short_lives + 1, SHORT_LIVES_MAX) if short else 0
                delay_s = min(RESTART_DELAY_S * 2**place.short_lives, RESTART_DELAY_S_MAX)
                place.restart_at_s = now_s + delay_s
                event_log().warning(
                    "process.died", role=place.role.name, pid=process.pid, exit_code=process.exit_code,
                    restart_in_s=delay_s,
                )  # fmt: skip
            if place.restart_at_s is not None and place.restart_at_s <= now_s:
                place.restart_at_s, place.process = None, self._start(place.role)
        return True

    def _drain(self, process: Process) -> None:
        process.signal(signal.SIGTERM)
        process.kill_at_s = time.monotonic() + self.plan.drain_s + KILL_AFTER_DRAIN_S

    def _kill_overdue(self) -> None:
        now_s = time.monotonic()
        for process in self._processes.values():
            if process.kill_at_s is not None and process.kill_at_s <= now_s:
                process.kill_at_s = now_s + KILL_AFTER_DRAIN_S
                process.signal(signal.SIGKILL)
                event_log().warning(
                    "process.killed", role=process.role.name, pid=process.pid, reason="it did not drain in time",
                    drain_s=self.plan.drain_s,
                )  # fmt: skip

    # Reload

    def _go_on_rolling(self) -> None:
        if self._roll is None and self._reload_is_due and self._announced:
            self._reload_is_due = False
            self._roll = self._reload()
        if self._roll is not None:
            self._roll_look_at_s = next(self._roll, None)
            if self._roll_look_at_s is None:
                self._roll = None
                self._go_on_rolling()

    def _reload(self) -> Iterator[float]:
        """Goes on as things happen; yields the time at which to look even if nothing did."""
        self.manager.reloading()
        began_s = time.monotonic()
        try:
            plan = self.replan()
            yield from self._replace_all(plan)
        except ReloadRefused as refused:
            reason = " ".join(str(refused).split())
            event_log().error("reload.refused", reason=reason)
            self.manager.ready(f"reload refused: {reason}")
        else:
            elapsed_s = round(time.monotonic() - began_s, 3)
            event_log().info("reload.done", processes_count=len(plan.roles), elapsed_s=elapsed_s)
            self.manager.ready()

    def _replace_all(self, plan: Plan) -> Iterator[float]:
        """One after another, so that all but one serve at each moment. Raises ReloadRefused where an heir doesn't
        serve: it, and those whose turn hadn't come, then stay what they were."""
        self.plan = Plan(self.plan.roles, plan.drain_s)
        known = {place.role.name: place for place in self._places}
        for role in plan.roles:
            place = known.pop(role.name, None)
            if place is None:
                self._places.append(Place(role, (yield from self._heir(role))))
            elif role.overlaps:
                heir = yield from self._heir(role)
                self._hand_over(place, heir)
            else:
                yield from self._replace_in_turn(place, role)
        for place in known.values():
            self._places.remove(place)
            self._drain(place.process)
        self.plan = plan

    def _heir(self, role: Role) -> Generator[float, None, Process]:
        """A process that serves. Raises ReloadRefused."""
        heir = self._start(role)
        give_up_s = heir.started_s + START_S_MAX
        while not heir.is_ready:
            if heir.exit_code is not None:
                raise ReloadRefused(f"the new {role.name} ended with {heir.exit_code} before it served")
            if time.monotonic() >= give_up_s:
                heir.kill_at_s = time.monotonic()
                raise ReloadRefused(f"the new {role.name} didn't serve within {START_S_MAX:.0f} s")
            yield give_up_s
        return heir

    def _hand_over(self, place: Place, heir: Process) -> None:
        before, place.process, place.role = place.process, heir, heir.role
        place.short_lives, place.restart_at_s = 0, None
        self._drain(before)

    def _replace_in_turn(self, place: Place, role: Role) -> Iterator[float]:
        """For a role that one process at a time may have. Connections wait in the socket's queue meanwhile."""
        before = place.process
        self._drain(before)
        while before.exit_code is None:
            yield before.kill_at_s or time.monotonic()
        place.restart_at_s = None
        try:
            self._hand_over(place, (yield from self._heir(role)))
        except ReloadRefused:
            place.restart_at_s = time.monotonic()  # as it was
            raise

    # Stop

    def _stop(self) -> int:
        """Asks every child to drain, waits for them, and kills what is still there after the deadline, or when asked
        again."""
        self.manager.stopping()
        self._places.clear()  # nothing is replaced any more
        self._roll_look_at_s = None
        self.on_stop()
        for process in self._processes.values():
            self._drain(process)
        while self._processes:
            if self._asks_to_stop(self._wait()):
                for process in self._processes.values():
                    process.signal(signal.SIGKILL)
                    os.waitpid(process.pid, 0)
                return EXIT_FAILED
            self._kill_overdue()
        return 0
