"""Both doors of one edge side by side, fed with raw bytes over a transport that is a list: door 1 with its ready
answers, and the same connection class without them, whose every request goes through the reader and the application."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from asset_server.server import AssetServer
from router.app import EdgeApp
from router.edge import Edge
from router.forwarded import TrustedProxies
from router.http1.limits import HttpLimits
from router.metrics.meter import EdgeMeter, ListenerMeter
from router.metrics.reading import Reading
from router.metrics.slot import Cells, unshared_cells
from router.protocol import strict_protocol
from router.ready import READY_BYTES_MAX, ReadyAnswers
from router.ready_door import ReadyDoor
from router.ready_protocol import ready_protocol
from router.resolve import LOOK_EVERY_S, Resolver
from router.site_names import SiteNames
from tests.router.edge_builder import BuiltEdge, built_edge

DATE: Final = (b"date", b"Tue, 24 Nov 2026 23:17:21 GMT")
NOW_S: Final = 1_800_000_000.0
TURNS_MAX: Final = 200


@dataclass
class Clock:
    """The process's clocks, which a test can move ahead."""

    ahead_s: float = 0.0

    def pass_by(self, seconds: float = LOOK_EVERY_S) -> None:
        self.ahead_s += seconds

    def monotonic_ns(self) -> int:
        return time.monotonic_ns() + round(self.ahead_s * 1e9)

    def monotonic_s(self) -> float:
        return self.monotonic_ns() / 1e9

    def unix_s(self) -> float:
        return NOW_S + self.ahead_s


class ListTransport(asyncio.Transport):
    """Keeps what is written. Never full, unless told to be."""

    def __init__(self, peer: str) -> None:
        super().__init__({"peername": (peer, 1), "sockname": ("127.0.0.1", 80)})
        self.written: list[bytes] = []
        self.has_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.has_ended:
            self.written.append(bytes(data))

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.has_ended = True

    def abort(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return self.has_ended

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@dataclass
class Talk:
    """One connection. `said` is all that came back; `has_ended`: nothing more will."""

    protocol: asyncio.Protocol
    transport: ListTransport

    async def hear(self, data: bytes) -> bytes:
        """What comes back for `data` once everything has settled."""
        before = len(self.transport.written)
        if not self.transport.has_ended:
            self.protocol.data_received(data)
        tasks = self.protocol._server_state.tasks  # type: ignore[attr-defined]
        for _ in range(TURNS_MAX):
            await asyncio.sleep(0)
            if not tasks:
                break
        await asyncio.sleep(0)
        return b"".join(self.transport.written[before:])

    @property
    def said(self) -> bytes:
        return b"".join(self.transport.written)


@dataclass
class Doors:
    """`edge` and `cells` of a process; every connection of both doors is this process's."""

    built: BuiltEdge
    edge: Edge
    clock: Clock
    cells: Cells
    answers: ReadyAnswers
    door: ReadyDoor
    limits: HttpLimits
    default_fields: list[tuple[bytes, bytes]] = field(default_factory=lambda: [DATE])

    def connect(self, *, is_ready: bool = True, peer: str = "192.0.2.1", limits: HttpLimits | None = None) -> Talk:
        """`is_ready` False: a connection that knows no ready answers."""
        limits, meter = limits or self.limits, ListenerMeter(self.cells, "edge")
        make: Any = ready_protocol(limits, meter, self.door) if is_ready else strict_protocol(limits, meter)
        config = SimpleNamespace(loaded_app=EdgeApp(self.edge, proxies=self.door._proxies), root_path="")
        state = SimpleNamespace(total_requests=0, connections=set(), tasks=set(), default_headers=self.default_fields)
        protocol: asyncio.Protocol = make(config, state, {})
        transport = ListTransport(peer)
        protocol.connection_made(transport)
        return Talk(protocol, transport)

    async def say(
        self, pieces: Sequence[bytes], *, is_ready: bool, limits: HttpLimits | None = None
    ) -> tuple[bytes, bool]:
        """All that a new connection says to `pieces`, and whether it has ended."""
        talk = self.connect(is_ready=is_ready, limits=limits)
        for piece in pieces:
            await talk.hear(piece)
        talk.protocol.connection_lost(None)
        return talk.said, talk.transport.has_ended

    def counted(self) -> Reading:
        return Reading(tuple(self.cells))


@contextmanager
def built_doors(
    folder: Path,
    *,
    proxies: TrustedProxies = TrustedProxies(),  # noqa: B008  # frozen
    ready_bytes_max: int = READY_BYTES_MAX,
) -> Iterator[Doors]:
    with built_edge(folder) as built:
        clock, cells = Clock(), unshared_cells()
        meter = EdgeMeter(cells)
        resolver = Resolver(
            built.store,
            read_keys=lambda: built.keys,
            names=SiteNames("pages.test"),
            dc="local",
            now_s=clock.monotonic_s,
            meter=meter,
        )
        assets = AssetServer(built.blobs, clock.unix_s)
        edge = Edge(store=built.store, resolver=resolver, assets=assets, meter=meter, now_ns=clock.monotonic_ns)
        answers = ReadyAnswers(ready_bytes_max)
        door = ReadyDoor(edge, resolver, answers, meter, proxies=proxies, now_ns=clock.monotonic_ns)
        yield Doors(built, edge, clock, cells, answers, door, HttpLimits())


def request(
    target: str = "/", *fields: str, host: str = "a.example", method: str = "GET", version: str = "1.1"
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("utf-8")
