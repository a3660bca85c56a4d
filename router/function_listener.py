"""The Unix socket at which workerd reaches this edge worker, and the proof that it is workerd who calls.

workerd may run as another user, so the socket's mode can't keep others out. The kernel remembers which process
connected (unix(7), SO_PEERCRED); any but our own children are turned away before they are heard.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from router.admission import Admission
from router.http1.limits import MIB, HttpLimits
from router.metrics.meter import ListenerMeter
from router.metrics.slot import unshared_cells
from router.protocol import StrictProtocol

CREDENTIALS: Final = struct.Struct("3i")
LIMITS: Final = HttpLimits(
    target_bytes_max=64 * 1024,
    header_bytes_max=256 * 1024,
    header_count_max=1_000,
    body_bytes_max=128 * MIB,
    requests_count_max=10**9,
    idle_s=600.0,
)
"""The peer is ours; what it carries was within a visitor's limits, with our own fields added."""
OPEN_TO_ALL: Final = 0o666


@asynccontextmanager
async def listening(path: Path, app: Any, may_call: Callable[[int], bool]) -> AsyncIterator[None]:
    """`may_call` is asked with the caller's process id."""
    config = Config(app, lifespan="off", log_config=None, server_header=False, date_header=False)
    config.load()
    state = ServerState()
    meter = ListenerMeter(unshared_cells(), "edge")  # the edge's own tells of clients; these connections are ours

    class FunctionProtocol(StrictProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            if may_call(peer_pid(transport)):
                super().connection_made(transport)
            else:
                self._transport = transport
                transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            if self in state.connections:
                super().connection_lost(exc)

    loop = asyncio.get_running_loop()
    admission = Admission(LIMITS)

    def protocol() -> FunctionProtocol:
        return FunctionProtocol(config, state, {}, LIMITS, meter, admission)

    server = await loop.create_unix_server(protocol, str(path))
    open_to_all(path)
    try:
        yield
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()


def open_to_all(path: Path) -> None:
    path.chmod(OPEN_TO_ALL)


def peer_pid(transport: asyncio.BaseTransport) -> int:
    descriptor = transport.get_extra_info("socket").fileno()
    with socket.socket(fileno=socket.dup(descriptor)) as peer:
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    pid: int = CREDENTIALS.unpack(credentials)[0]
    return pid
