"""One worker's event loop: listens at a shared socket, drains when told to stop.

uvicorn's server without its accepting and ending. A worker that ends takes in what waits in the socket's queue first:
where no other worker is left, those connections would be reset.
"""

import asyncio
import errno
import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from router.event_log import event_log
from router.metrics.meter import ListenerMeter

BACKLOG: Final = 4096
QUEUE_TURNS_MAX: Final = 1_000
"""Of the loop, in which an ending worker takes in what waits in the queue."""
DRAIN_LOOK_S: Final = 0.02
LAST_TURNS_S: Final = 0.5
"""What cancelled requests get to clean up."""
EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


@dataclass(frozen=True, slots=True)
class Served:
    """What a worker serves, and how. `before_drain` ends the answers that would never end by themselves."""

    app: Any
    http: type[asyncio.Protocol]
    meter: ListenerMeter
    drain_s: float
    before_drain: Callable[[], object] = lambda: None


def serve_app(served: Served, listener: socket.socket, ready: Callable[[], object]) -> None:
    """Until SIGTERM has been honoured. The app is told of its start and end."""
    settings = uvicorn.Config(
        served.app,
        loop="uvloop",
        http=served.http,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )
    server = WorkerServer(settings, served, listener, ready)
    asyncio.Runner(loop_factory=settings.get_loop_factory()).run(server._serve())


class WorkerServer(uvicorn.Server):
    """`listener` stays open for as long as this does; each time of listening has a descriptor of its own."""

    def __init__(
        self, config: uvicorn.Config, served: Served, listener: socket.socket, ready: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._served = served
        self._listener = listener
        self._ready = ready
        self.servers = []
        self._pause_reason: str | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        await self._listen()
        self.started = True
        self._ready()
        gc.freeze()  # all that is there now stays: collections needn't walk it
        gc.enable()

    def _stop(self) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        await self._heed_descriptors()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._served.before_drain()
        await self._take_in_the_queue()
        self._stop_listening()
        self._listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if not await self._drained(self._served.drain_s):
            event_log().warning(
                "drain.cut", connections_count=len(self.server_state.connections), drain_s=self._served.drain_s
            )
            for task in self.server_state.tasks:
                task.cancel()
            await self._drained(LAST_TURNS_S)
        await self.lifespan.shutdown()

    # Listening

    async def _listen(self) -> None:
        """Raises OSError."""
        listener = self._listener.dup()
        loop = asyncio.get_running_loop()
        self.servers = [await loop.create_server(self._connection, sock=listener, backlog=BACKLOG)]

    def _connection(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(self.config, self.server_state, self.lifespan.state)  # type: ignore[call-arg]

    def _stop_listening(self) -> None:
        for server in self.servers:
            server.close()
        self.servers = []

    async def _heed_descriptors(self) -> None:
        """While there is no descriptor left, none is accepted: libuv would close newcomers, or where even that takes a
        descriptor, try again and again. They wait in the queue, or go to another worker."""
        try:
            os.close(os.dup(self._listener.fileno()))
            if not self.servers:
                await self._listen()
                event_log().warning("listener.resumed", reason_of_pause=self._pause_reason)
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            if self.servers:
                self._stop_listening()
                self._served.meter.paused()
                self._pause_reason = error.strerror  # said afterwards: to load the log's library takes descriptors

    async def _take_in_the_queue(self) -> None:
        waiting = select.poll()
        waiting.register(self._listener, select.POLLIN)
        for _ in range(QUEUE_TURNS_MAX):
            if not self.servers or not waiting.poll(0):
                break
            await asyncio.sleep(0)

    # The end

    async def _drained(self, within_s: float) -> bool:
        """Whether every connection and request has ended by then."""
        end_s = time.monotonic() + within_s
        while self.server_state.connections or self.server_state.tasks:
            if time.monotonic() >= end_s:
                return False
            await asyncio.sleep(DRAIN_LOOK_S)
        return True
