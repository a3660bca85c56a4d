"""What a fault costs the others: p99 of visitors who have done nothing, before and while it lasts.

Visitors ask for one page at a fixed rate over kept connections, each request timed from the moment that it was due, on
a server of two workers on one processor; they and the fault have the other. Faults: slowhttptest's four modes, 10,000
idle connections (and what one takes of memory), readers of a byte a second, a worker killed twice a second, a worker
without a descriptor left, reloads without a pause. Goal: p99 at most twice what it was, no wrong answer, and no failed
one except those that were under way in a worker that was killed.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.faults` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import asyncio
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from typing import Final

from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data
from router.metrics.process_info import read_process_info
from router.metrics.slot import read_slots

SERVER_CPU: Final = 0
OTHER_CPU: Final = 1
WORKERS: Final = 2
VISITORS: Final = 16
PER_S: Final = 800.0
PAGE: Final = ("<!doctype html><title>faults</title>" + "x" * 4_000).encode()
HOST: Final = "faults.pages.localhost"
GET: Final = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
END_OF_HEAD: Final = b"\r\n\r\n"
IDLE_COUNT: Final = 10_000
SPARE_FILES: Final = 500
CROWD: Final = 200
READERS: Final = 100
LARGE_BYTES: Final = 16 * 1024 * 1024
KILL_EVERY_S: Final = 0.5
GOAL_RATIO: Final = 2.0
SLOW_MODES: Final = {
    "slow_headers": ("-H", "-i", "1"),
    "slow_bodies": ("-B", "-i", "1", "-s", "8192"),
    "many_ranges": ("-R", "-a", "5", "-b", "2000"),
    "slow_reading": ("-X", "-k", "5", "-n", "1", "-w", "16", "-y", "64", "-z", "1"),
}


@dataclass(slots=True)
class Visitors:
    """`cut` counts requests whose connection ended before their answer; `wrong` answers that aren't the page."""

    port: int
    seconds: float
    latencies_s: list[float] = field(default_factory=list)
    cut: int = 0
    wrong: int = 0

    def ask(self) -> "Visitors":
        asyncio.run(self._ask_all())
        return self

    async def _ask_all(self) -> None:
        began_s = time.perf_counter()
        await asyncio.gather(*(self._visit(number, began_s) for number in range(VISITORS)))

    async def _visit(self, number: int, began_s: float) -> None:
        gap_s = VISITORS / PER_S
        due_s = began_s + gap_s * number / VISITORS
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while due_s < began_s + self.seconds:
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            try:
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                if not await self._ask_once(*streams):
                    streams[1].close()
                    streams = None
                self.latencies_s.append(time.perf_counter() - due_s)
            except (OSError, asyncio.IncompleteReadError):
                self.cut += 1
                streams = None
            due_s += gap_s
        if streams is not None:
            streams[1].close()

    async def _ask_once(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether another request may follow."""
        writer.write(GET)
        head = (await reader.readuntil(END_OF_HEAD)).lower()
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        self.wrong += not head.startswith(b"http/1.1 200 ") or body != PAGE
        return b"connection: close" not in head

    @property
    def p99_s(self) -> float:
        return sorted(self.latencies_s)[round(len(self.latencies_s) * 0.99) - 1]


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one fault, over all rounds."""

    before_s: tuple[float, ...]
    during_s: tuple[float, ...]
    cut: int
    wrong: int

    @property
    def ratios(self) -> Measured:
        ratios = tuple(during / before for before, during in zip(self.before_s, self.during_s, strict=True))
        return Measured(ratios, "× the p99 before")


@contextmanager
def attacked(server: Server, options: tuple[str, ...], seconds: float) -> Iterator[None]:
    command = ["slowhttptest", *options, "-c", str(CROWD), "-r", str(CROWD), "-l", str(max(1, round(seconds)))]
    attack = subprocess.Popen(
        [*command, "-u", f"http://127.0.0.1:{server.edge_port}/", "-v", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with attack:
        yield
        attack.terminate()


@contextmanager
def crowded(server: Server, count: int, per_connection: list[float]) -> Iterator[None]:
    """Each has asked once, and then is idle. Adds what one takes of the workers' memory, in bytes."""
    before = own_bytes(server)
    with ExitStack() as stack:
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.edge_port), timeout=30))
            client.sendall(GET)
            client.recv(65536)
        per_connection.append((own_bytes(server) - before) / count)
        yield


@contextmanager
def read_slowly(server: Server) -> Iterator[None]:
    """A byte a second each, of a file that fills every buffer between. They have the first byte when it begins: until
    then it is a burst of 100 downloads, and that isn't what is asked about."""
    with ExitStack() as stack:
        readers = [stack.enter_context(socket.socket()) for _ in range(READERS)]
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", server.edge_port))
            reader.sendall(GET.replace(b"/ ", b"/large.bin ", 1))
        for reader in readers:
            reader.recv(1)
        with repeating(lambda: [reader.recv(1) for reader in readers], every_s=1.0):
            yield


@contextmanager
def killed(server: Server) -> Iterator[None]:
    def kill_one() -> None:
        os.kill(edges(server)[0], signal.SIGKILL)

    with repeating(kill_one, every_s=KILL_EVERY_S):
        yield


@contextmanager
def without_descriptors(server: Server) -> Iterator[None]:
    """One of the two workers."""
    pid = edges(server)[0]
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, hard))
    yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def reloaded(server: Server) -> Iterator[None]:
    with repeating(lambda: os.kill(server.pid, signal.SIGHUP), every_s=1.0):
        yield


@contextmanager
def repeating(act: Callable[[], object], *, every_s: float) -> Iterator[None]:
    done = Event()

    def repeat() -> None:
        while not done.wait(every_s):
            act()

    thread = Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def edges(server: Server) -> list[int]:
    slots = read_slots(server.data / "metrics")
    return [slot.pid for slot in slots if slot.is_alive and slot.role.startswith("edge")]


def own_bytes(server: Server) -> int:
    return sum(info.own_bytes for pid in edges(server) if (info := read_process_info(pid)) is not None)


def watch(server: Server, fault: Callable[[Server], object], *, seconds: float, rounds: int) -> Seen:
    before_s, during_s, cut, wrong = [], [], 0, 0
    for _ in range(rounds):
        before = Visitors(server.edge_port, seconds / 2).ask()
        with fault(server):  # type: ignore[attr-defined]  # each is a context manager
            during = Visitors(server.edge_port, seconds).ask()
        before_s.append(before.p99_s)
        during_s.append(during.p99_s)
        cut += before.cut + during.cut
        wrong += before.wrong + during.wrong
    return Seen(tuple(before_s), tuple(during_s), cut, wrong)


def main() -> None:
    options = parse_options(__doc__)
    if shutil.which("slowhttptest") is None:
        raise SystemExit("no slowhttptest here: apt-get install slowhttptest")
    seconds, rounds = (1.5, 1) if options.quick else (6.0, 5)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle_count = min(IDLE_COUNT, hard - SPARE_FILES)
    os.sched_setaffinity(0, {OTHER_CPU})
    per_connection: list[float] = []
    faults: dict[str, Callable[[Server], object]] = {
        **{name: partial(attacked, options=mode, seconds=seconds) for name, mode in SLOW_MODES.items()},
        "idle": partial(crowded, count=idle_count, per_connection=per_connection),
        "byte_readers": read_slowly,
        "killed": killed,
        "no_descriptors": without_descriptors,
        "reloaded": reloaded,
    }
    seen: dict[str, Seen] = {}
    with temporary_data() as data:
        with serving(data) as server:
            deploy_page(server, data)
        for name, fault in faults.items():
            # A server for each, or the next would begin with what the last left behind.
            with serving(data, workers=WORKERS, cpu=SERVER_CPU, options=("--drain", "1")) as server:
                Visitors(server.edge_port, seconds / 2).ask()  # warm
                seen[name] = watch(server, fault, seconds=seconds, rounds=rounds)
    figures = {f"{name}_p99_ratio": each.ratios for name, each in seen.items()}
    figures["idle_connection_bytes"] = Measured(tuple(per_connection), "bytes of memory each")
    cut_without_a_kill = sum(each.cut for name, each in seen.items() if name != "killed")
    worst = max(figures[f"{name}_p99_ratio"].median for name in seen)
    conclude(
        "faults", options, figures,
        goals={
            **{f"{name}_p99_ratio": Goal(figures[f"{name}_p99_ratio"].median, at_most=GOAL_RATIO) for name in seen},
            "wrong": Goal(sum(each.wrong for each in seen.values()), at_most=0, must_hold=True),
            "cut_without_a_kill": Goal(cut_without_a_kill, at_most=0, must_hold=True),
        },
        extra={
            "p99_before_ms": {name: [round(each * 1e3, 3) for each in one.before_s] for name, one in seen.items()},
            "p99_during_ms": {name: [round(each * 1e3, 3) for each in one.during_s] for name, one in seen.items()},
            "cut_by_kills": seen["killed"].cut,
            "idle_connections": idle_count,
        },
        sentence="p99 of visitors beside a fault, over that before: "
        + ", ".join(f"{name.replace('_', ' ')} {figures[f'{name}_p99_ratio'].median:.2g} ×" for name in seen)
        + f" (worst {worst:.2g} ×); {idle_count:,} idle connections take {per_connection[-1] / 1024:.1f} KiB each; "
        f"{seen['killed'].cut} requests cut by kills, none wrong",
        draw=lambda path: bars(path, "p99 beside a fault", [name.replace("_", "\n") for name in seen],
                               [figures[f"{name}_p99_ratio"] for name in seen], goal=GOAL_RATIO),
    )  # fmt: skip


def deploy_page(server: Server, data: Path) -> None:
    folder = data.with_name("page")
    folder.mkdir()
    (folder / "index.html").write_bytes(PAGE)
    (folder / "large.bin").write_bytes(os.urandom(LARGE_BYTES))
    server.onehop("deploy", str(folder), "--project", "faults")


if __name__ == "__main__":
    main()
