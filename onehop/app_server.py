"""One process's event loop: an ASGI app served at a socket that its parent bound, until SIGTERM has been honoured."""

import asyncio
import gc
import socket
from collections.abc import Callable
from typing import Any, Final

import uvicorn

BACKLOG: Final = 4096


class ReadyServer(uvicorn.Server):
    """uvicorn's server that says when it accepts connections."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object], before_drain: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready
        self._before_drain = before_drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
        gc.freeze()  # all that is there now stays: collections needn't walk it
        gc.enable()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before_drain()
        await super().shutdown(sockets)


def serve_app(
    app: Any,
    listener: socket.socket,
    drain_s: float,
    ready: Callable[[], object],
    *,
    http: type[asyncio.Protocol],
    before_drain: Callable[[], object] = lambda: None,
) -> None:
    """The app is told of its start and end. `ready` is called once connections are accepted."""
    settings = uvicorn.Config(
        app,
        loop="uvloop",
        http=http,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )
    server = ReadyServer(settings, ready, before_drain)
    with server.capture_signals():
        asyncio.Runner(loop_factory=settings.get_loop_factory()).run(server._serve([listener]))
