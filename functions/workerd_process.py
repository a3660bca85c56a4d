"""One workerd process: started with as few rights as it needs, asked whether it lives, measured, ended.

Its listening socket is made here, in a folder that only we may enter, and handed down; the way back to us is another
socket that it must be able to reach, at which the kernel tells us who calls (the router's function_listener checks).
Started as root it runs as `nobody`. It may write no file, and dies with us.
"""

import asyncio
import contextlib
import ctypes
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from functions.errors import WorkerdUnusable
from functions.workerd_config import CONTROL_FIELD, SOCKET_NAME
from functions.workerd_http import AskHead, WorkerdConnection, WorkerdSocket

BACKLOG: Final = 1024
START_S_MAX: Final = 20.0
SETTLE_S: Final = 0.2
PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
UNPRIVILEGED: Final = "nobody"
COMPLAINT_BYTES_MAX: Final = 16 * 1024
HEARTBEAT: Final = AskHead(b"GET", b"/", [(b"host", b"heartbeat.onehop.invalid"), (CONTROL_FIELD.encode(), b"{}")])


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where the sockets and the configuration of one edge worker's workerd lie; no secret among them."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "workerd.capnp"

    @property
    def edge_socket(self) -> Path:
        return self.root / "edge"

    @property
    def private(self) -> Path:
        return self.root / "own"

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """`cpu_s` counts from the process's start."""

    resident_bytes: int
    cpu_s: float


class WorkerdProcess:
    """A running process and what is under way in it, by bundle."""

    def __init__(self, process: "subprocess.Popen[bytes]", way: WorkerdSocket, socket_path: Path) -> None:
        self._process = process
        self._socket_path = socket_path
        self._pidfd = os.pidfd_open(process.pid)
        self.ended = asyncio.Event()
        self.way = way
        self._under_way: dict[object, tuple[str, float]] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._sent_last_s = 0.0
        self.last_sent_s: dict[str, float] = {}
        """By bundle, when its last request was sent (monotonic)."""
        self.is_draining = False
        self.is_set_aside = False
        """It computes and says nothing: no new request goes to it."""
        self._leavable: set[WorkerdConnection] = set()
        self.first_complaints = b""
        """What it said on stderr at first. Later lines may quote what sites say, and go nowhere."""
        assert process.stderr is not None, "asked for as a pipe"
        self._stderr = process.stderr
        os.set_blocking(self._stderr.fileno(), False)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._stderr, self._read_complaints)
        loop.add_reader(self._pidfd, self._note_end)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self.ended.is_set()

    @property
    def exit_signal(self) -> int:
        """By which signal it ended; 0 when it left by itself."""
        return max(0, -(self._process.returncode or 0))

    def bundles_under_way(self, *, sent_before_s: float = float("inf")) -> Counter[str]:
        return Counter(bundle for bundle, sent_s in self._under_way.values() if sent_s <= sent_before_s)

    @property
    def is_idle(self) -> bool:
        return not self._under_way

    def is_busy(self, since_s: float) -> bool:
        """Something is under way in it, or was sent since then (monotonic)."""
        return bool(self._under_way) or self._sent_last_s > since_s

    @contextlib.contextmanager
    def carrying(self, bundle: str, now_s: float) -> Iterator[None]:
        """A request of `bundle` is under way in it while the block runs."""
        token = object()
        self._under_way[token] = (bundle, now_s)
        self.last_sent_s[bundle] = self._sent_last_s = now_s
        self._idle.clear()
        try:
            yield
        finally:
            del self._under_way[token]
            if not self._under_way:
                self._idle.set()

    @contextlib.contextmanager
    def waiting(self, conversation: WorkerdConnection) -> Iterator[None]:
        """While the block runs, the conversation may be given up for one with another process."""
        self._leavable.add(conversation)
        try:
            yield
        finally:
            self._leavable.discard(conversation)

    def set_aside(self) -> None:
        """Those who may ask elsewhere do: to them the process is gone."""
        self.is_set_aside = True
        for conversation in list(self._leavable):
            conversation.close()

    async def drained(self, *, wait_s: float) -> None:
        """Until nothing is under way in it, or it has ended, or the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._idle.wait()

    async def beats(self) -> None:
        """Returns when it has answered a heartbeat. Raises WorkerdGone."""
        conversation = await self.way.ask(HEARTBEAT)
        try:
            await conversation.answer_start()
        finally:
            self.way.give_back(conversation)

    async def settled(self) -> None:
        """After a conversation broke off: until it is known whether the process has ended, or was given up."""
        if self.is_set_aside:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ended.wait(), SETTLE_S)

    def measure(self) -> Measured | None:
        """None once it is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            return None
        user_ticks, system_ticks, resident_pages = int(fields[11]), int(fields[12]), int(fields[21])
        return Measured(resident_pages * PAGE_BYTES, (user_ticks + system_ticks) / CLOCK_TICKS)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _read_complaints(self) -> None:
        said = self._stderr.read(COMPLAINT_BYTES_MAX)
        if said == b"":
            asyncio.get_running_loop().remove_reader(self._stderr)
        elif said:
            self.first_complaints += said[: COMPLAINT_BYTES_MAX - len(self.first_complaints)]

    def _note_end(self) -> None:
        loop = asyncio.get_running_loop()
        self._read_complaints()
        loop.remove_reader(self._stderr)
        self._stderr.close()
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        self._socket_path.unlink(missing_ok=True)
        self.way.close()
        self.ended.set()


async def start_workerd(
    program: Path, folder: RunFolder, number: int, *, on_made: Callable[[WorkerdProcess], object]
) -> WorkerdProcess:
    """Returns once it answers; `on_made` has it before. Raises WorkerdUnusable."""
    socket_path = folder.private / str(number)
    running = WorkerdProcess(launch(program, folder, socket_path), WorkerdSocket(str(socket_path)), socket_path)
    on_made(running)
    try:
        await _until_ready(running)
    except BaseException:
        running.kill()
        raise
    return running


def launch(program: Path, folder: RunFolder, socket_path: Path) -> "subprocess.Popen[bytes]":
    """A fork of a few milliseconds. Raises WorkerdUnusable."""
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with listener, program.open("rb") as binary:
            listener.bind(str(socket_path))
            listener.listen(BACKLOG)
            return subprocess.Popen(  # noqa: S603  # the operator named the program
                [program.name, "serve", "--experimental", f"--socket-fd={SOCKET_NAME}={listener.fileno()}",
                 str(folder.config)],
                # By descriptor: the path to it may lead through folders that its user can't enter.
                executable=f"/proc/self/fd/{binary.fileno()}", pass_fds=(listener.fileno(), binary.fileno()),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", env={},
                preexec_fn=confinement(os.getpid()), **identity(),
            )  # fmt: skip
    except OSError as error:
        raise WorkerdUnusable(f"{program} can't be started: {error.strerror}") from None


async def _until_ready(running: WorkerdProcess) -> None:
    """The listener is ours, so that the heartbeat waits in its queue until the process takes it."""
    beat = asyncio.ensure_future(running.beats())
    ended = asyncio.ensure_future(running.ended.wait())
    try:
        await asyncio.wait((beat, ended), timeout=START_S_MAX, return_when=asyncio.FIRST_COMPLETED)
        if beat.done() and beat.exception() is None:
            return
    finally:
        for each in (beat, ended):
            each.cancel()
        await asyncio.gather(beat, ended, return_exceptions=True)
    said = running.first_complaints.decode("utf-8", "replace").strip().splitlines()
    raise WorkerdUnusable(f"workerd didn't start: {said[0][:500] if said else f'no answer in {START_S_MAX:.0f} s'}")


def identity() -> dict[str, Any]:
    """Who it runs as, for Popen: nobody, where we could be anyone."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def confinement(parent: int) -> Callable[[], None]:
    """What the child does to itself before it becomes workerd."""
    libc = ctypes.CDLL(None, use_errno=True)

    def confine() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
            resource.setrlimit(limit, (0, 0))
        os.setsid()
        if os.getppid() != parent:
            os._exit(1)

    return confine
