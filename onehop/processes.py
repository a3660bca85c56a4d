"""Child processes of one `onehop serve`: started by fork, replaced when they die, drained when asked to stop.

The parent opens neither the store nor an event loop, so a fork copies nothing that may not be copied and costs a
few milliseconds: the children share the parent's imported code, and a replacement is answering at once. The parent
only waits: for a child to say that it is ready, for one to end, for a signal.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.event_log import event_log

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
EXIT_START_REFUSED: Final = 3
"""A child's exit code for "the configuration or the data can't be used": starting it again wouldn't help."""
RESTART_DELAY_S: Final = 0.05
RESTART_DELAY_S_MAX: Final = 5.0
SHORT_LIFE_S: Final = 10.0
KILL_AFTER_DRAIN_S: Final = 2.0
PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Role:
    """What one child does: `run` gets a callable to call once when it serves, and returns when it has drained."""

    name: str
    run: Callable[[Callable[[], object]], None]


@dataclass(slots=True)
class Child:
    """One slot of the supervisor: the process that plays a role now, and how its predecessors fared."""

    role: Role
    pid: int = 0
    started_s: float = 0.0
    short_lives: int = 0
    restart_at_s: float | None = None


class Supervisor:
    """Runs every role that it is given in a process of its own, until told to stop. From the first on, the process's
    signals are its own; one that comes before `run` isn't lost. `on_ready` is called once, when all serve."""

    def __init__(self, *, drain_s: float, on_ready: Callable[[], None]) -> None:
        self.children: list[Child] = []
        self._drain_s = drain_s
        self._on_ready = on_ready
        self._ready: set[int] = set()
        self._announced = False
        self._ready_read, self._ready_write = os.pipe()
        self._wake_read, wake_write = os.pipe()
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda _number, _frame: None)  # the wake-up pipe tells which

    def start(self, role: Role) -> None:
        self.children.append(Child(role))
        self._start(len(self.children) - 1)

    def run(self) -> int:
        """Returns the exit code of the whole: 0 after an orderly stop, 1 when a role could not start."""
        while True:
            readable, _, _ = select.select([self._ready_read, self._wake_read], [], [], self._wait_s())
            signals = os.read(self._wake_read, 4096) if self._wake_read in readable else b""
            if self._ready_read in readable:
                self._note_ready(os.read(self._ready_read, 4096))
            if any(number in signals for number in STOP_SIGNALS):
                return self._stop()
            if not self._replace_the_dead():
                self._stop()
                return 1

    def _wait_s(self) -> float | None:
        due = [child.restart_at_s for child in self.children if child.restart_at_s is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _start(self, index: int) -> None:
        child = self.children[index]
        gc.freeze()  # no child's collector walks, and thereby copies, what they all share
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # Held back until the child has its own way with them: before, our handler would take one, and it would be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        child.pid = os.fork()
        if child.pid == 0:
            become_child(child.role, parent, lambda: os.write(self._ready_write, bytes([index])))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        child.started_s, child.restart_at_s = time.monotonic(), None

    def _note_ready(self, indexes: bytes) -> None:
        self._ready.update(indexes)
        if not self._announced and len(self._ready) == len(self.children):
            self._announced = True
            self._on_ready()

    def _replace_the_dead(self) -> bool:
        """False when a child ended before everything served once: a start that fails must not look like one that
        takes long."""
        now_s = time.monotonic()
        for pid, status in reap():
            child = next((child for child in self.children if child.pid == pid), None)
            if child is None:
                continue
            code = os.waitstatus_to_exitcode(status)
            child.pid = 0
            if not self._announced:
                return False
            child.short_lives = child.short_lives + 1 if now_s - child.started_s < SHORT_LIFE_S else 0
            delay_s = min(RESTART_DELAY_S * 2**child.short_lives, RESTART_DELAY_S_MAX)
            child.restart_at_s = now_s + delay_s
            event_log().warning("process.died", role=child.role.name, pid=pid, exit_code=code, restart_in_s=delay_s)
        for index, child in enumerate(self.children):
            if child.restart_at_s is not None and child.restart_at_s <= now_s:
                self._start(index)
        return True

    def _stop(self) -> int:
        """Asks every child to drain, waits for them, and kills what is still there after the deadline."""
        living = {child.pid for child in self.children if child.pid}
        signal_all(living, signal.SIGTERM)
        deadline_s = time.monotonic() + self._drain_s + KILL_AFTER_DRAIN_S
        while living and time.monotonic() < deadline_s:
            living -= {pid for pid, _ in reap()}
            if living and select.select([self._wake_read], [], [], deadline_s - time.monotonic())[0]:
                os.read(self._wake_read, 4096)
        signal_all(living, signal.SIGKILL)
        for pid in living:
            event_log().warning("process.killed", pid=pid, reason="it did not drain in time", drain_s=self._drain_s)
            os.waitpid(pid, 0)
        return 0


def reap() -> list[tuple[int, int]]:
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append(found)
    return ended


def signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def become_child(role: Role, parent: int, ready: Callable[[], object]) -> None:
    """Plays the role and never returns. The kernel ends the child when its parent is gone, however that ended."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        die_with_parent(parent)
        role.run(ready)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = 0
    except Exception:  # noqa: BLE001  # the root of a process: the log has it, the parent restarts it
        event_log().exception("process.failed", role=role.name)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def die_with_parent(parent: int) -> None:
    """Linux only; elsewhere an orphan ends at its next failed write to the parent's pipes."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
