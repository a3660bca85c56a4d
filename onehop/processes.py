"""Child processes of one `onehop serve`: what one does, how it is forked, how its end is learned of.

The parent opens neither the store nor an event loop, so a fork copies nothing that may not be copied and costs a
few milliseconds: the children share the parent's imported code, and a replacement is answering at once. When one is
started, replaced and ended is the supervisor's to say (supervisor.py).
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from router.event_log import event_log

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
RELOAD_SIGNAL: Final = signal.SIGHUP
EXIT_START_REFUSED: Final = 3
"""A child's exit code for "the configuration or the data can't be used": starting it again wouldn't help."""
PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Role:
    """What one child does: `run` gets a callable to call once when it serves, and returns when it has drained.
    `overlaps`: the process that takes it over may serve before the one that had it has ended."""

    name: str
    run: Callable[[Callable[[], object]], None]
    overlaps: bool = True


@dataclass(slots=True)
class Process:
    """One child, as its parent knows it. `exit_code` is minus the signal's number where one ended it, None while it
    runs; `kill_at_s` is when it will have had the time to drain that it gets."""

    role: Role
    pid: int
    started_s: float
    is_ready: bool = False
    exit_code: int | None = None
    kill_at_s: float | None = None

    def signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def reap() -> list[tuple[int, int]]:
    """(process id, exit code) of each child that has ended."""
    ended = []
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended.append((found[0], os.waitstatus_to_exitcode(found[1])))
    return ended


def fork_into(role: Role, now_s: float, ready: Callable[[], object]) -> Process:
    """`ready` is what the child calls when it serves."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    # What the parent is told in between would be lost in a child that still has the parent's handlers.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, RELOAD_SIGNAL, signal.SIGCHLD))
    pid = os.fork()
    if pid == 0:
        become_child(role, parent, ready, mask)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return Process(role, pid, now_s)


def become_child(role: Role, parent: int, ready: Callable[[], object], mask: Iterable[int]) -> None:
    """Plays the role and never returns. The kernel ends the child when its parent is gone, however that ended."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGINT, RELOAD_SIGNAL):
            signal.signal(number, signal.SIG_IGN)  # a terminal sends them to all; what they mean is the parent's to say
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        die_with_parent(parent)
        role.run(ready)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
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


def has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def is_in_foreground() -> bool:
    """Whether somebody sits before this process, and has it end with the terminal."""
    if signal.getsignal(RELOAD_SIGNAL) is signal.SIG_IGN:
        return False  # nohup(1)
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
