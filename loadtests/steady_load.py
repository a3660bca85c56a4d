"""Visitors who come at a fixed rate, whatever the answers take, and what each of them saw.

A request is timed from the moment that it was due: one that had to wait for those before it has waited. They run in a
thread of their own, so that whoever measures can do other things meanwhile.
"""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

CONNECTIONS: Final = 8
PRIORITY: Final = 5
"""Any of the real-time ones: they all come before what has none."""


@dataclass(slots=True)
class SteadyLoad:
    """`per_s` 0: as fast as they are answered. `seen` are (when it was answered by `time.perf_counter`, seconds that it
    took). It `comes_first` at its processor where the system lets it: visitors have machines of their own. `bodies` are
    the first that each host answered, or what it is known to answer; `changed` counts others."""

    port: int
    per_s: float
    hosts: Sequence[str]
    bodies: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[float, float]] = field(default_factory=list)
    failed: int = 0
    changed: int = 0
    comes_first: bool = False
    ending: threading.Event = field(default_factory=threading.Event)

    async def run(self) -> None:
        if self.per_s:  # without a rate it would leave the processor to nobody else
            self.comes_first = come_first()
        began = time.perf_counter()
        gap_s = CONNECTIONS / self.per_s if self.per_s else 0.0
        await asyncio.gather(*(self._client(number, began, gap_s) for number in range(CONNECTIONS)))

    async def _client(self, number: int, began: float, gap_s: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        due = began + gap_s * number / CONNECTIONS
        turn = number
        while not self.ending.is_set():
            now = time.perf_counter()
            if gap_s and due > now:
                await asyncio.sleep(due - now)
            sent = due if gap_s else now
            host = self.hosts[turn % len(self.hosts)]
            turn += CONNECTIONS
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii"))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(each[16:]) for each in head.lower().split(b"\r\n") if each.startswith(b"content-length: ")
            )
            body = await reader.readexactly(length)
            answered = time.perf_counter()
            self.seen.append((answered, answered - sent))
            self.failed += not head.startswith(b"HTTP/1.1 200")
            self.changed += self.bodies.setdefault(host, body) != body
            due += gap_s
        writer.close()

    def p99_s(self, begin: float, end: float) -> float:
        """Of what was answered between these moments."""
        latencies_s = sorted(took for at, took in list(self.seen) if begin <= at < end)
        return latencies_s[round(len(latencies_s) * 0.99) - 1]


def come_first() -> bool:
    """Whether the thread may, from now on."""
    try:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_FIFO, os.sched_param(PRIORITY))
    except PermissionError:
        return False
    return True


@contextmanager
def offered(load: SteadyLoad) -> Iterator[SteadyLoad]:
    """While the block runs. Raises what a connection raised: one that is lost is a failed request."""
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(lambda: asyncio.run(load.run()))
        try:
            yield load
        finally:
            load.ending.set()
        running.result()


def load_for(load: SteadyLoad, seconds: float) -> SteadyLoad:
    with offered(load):
        time.sleep(seconds)
    return load
