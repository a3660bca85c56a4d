"""A real listener on loopback whose application tells what reached it, and raw sockets to talk to it."""

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn

from router.http1.limits import HttpLimits
from router.metrics.meter import ListenerMeter
from router.metrics.slot import Cells, unshared_cells
from router.protocol import strict_protocol
from router.ready_door import ReadyDoor
from router.ready_protocol import ready_protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

TIMEOUT_S: Final = 20
PIECE_BYTES: Final = 256 * 1024
ENDLESS_PIECES: Final = 256


@dataclass
class Echo:
    """Answers 200 with what it saw as JSON, and keeps it. Paths choose what else it does."""

    seen: list[dict[str, Any]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/endless":
            await answer_endlessly(send, self.ended)
            return
        body = None if path.startswith("/unread") else await read_body(receive)
        told = {
            "method": scope["method"],
            "scheme": scope["scheme"],
            "client": scope["client"][0],
            "target": (scope["raw_path"] + b"?" + scope["query_string"]).decode("latin-1").removesuffix("?"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "body": body.decode("latin-1") if body is not None else None,
        }
        self.seen.append(told)
        if path == "/broken":
            raise RuntimeError("asked for")
        content = json.dumps(told).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        if path == "/streamed":
            await send({"type": "http.response.body", "body": content[:10], "more_body": True})
            await send({"type": "http.response.body", "body": content[10:], "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        elif path == "/torn":
            await send({"type": "http.response.body", "body": content[:10], "more_body": True})
            raise RuntimeError("asked for")
        else:
            await send({"type": "http.response.body", "body": content})

    @property
    def targets(self) -> list[str]:
        return [told["target"] for told in self.seen]


async def answer_endlessly(send: Send, ended: threading.Event) -> None:
    """64 MiB a piece at a time, more than any buffer between us takes; `ended` when all was sent or nobody is left."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(ENDLESS_PIECES):
        await send({"type": "http.response.body", "body": b"x" * PIECE_BYTES, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    ended.set()


async def read_body(receive: Receive) -> bytes | None:
    """None when the client went away before its end."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


@dataclass
class Listener:
    port: int
    echo: Echo
    server: uvicorn.Server
    cells: Cells

    def connect(self) -> "Client":
        return Client(socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_S))

    def exchange(self, data: bytes, *, end: bool = False) -> bytes:
        """All that comes back for `data` until the server closes; `end` closes our way first."""
        with self.connect() as client:
            client.send(data)
            if end:
                client.socket.shutdown(socket.SHUT_WR)
            return client.read_to_end()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def told(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told


@dataclass
class Client:
    """One raw connection; a timeout in any of its waits fails the test."""

    socket: socket.socket
    unread: bytes = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *raised: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read_to_end(self) -> bytes:
        pieces, self.unread = [self.unread], b""
        while piece := self.socket.recv(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def _fill(self) -> None:
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise EOFError("the server closed")
        self.unread += piece

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.unread:
            self._fill()
        end = self.unread.index(mark) + len(mark)
        data, self.unread = self.unread[:end], self.unread[end:]
        return data

    def read_answer(self, *, to_head: bool = False) -> Answer:
        status_line, *lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        headers = dict(line.split(": ", 1) for line in lines)
        body = b""
        if not to_head and headers.get("transfer-encoding") == "chunked":
            while size := int(self.read_until(b"\r\n"), 16):
                body += self._read(size + 2)[:-2]
            self._read(2)
        elif not to_head:
            body = self._read(int(headers.get("content-length", 0)))
        return Answer(int(status_line.split(" ")[1]), headers, body)

    def _read(self, size: int) -> bytes:
        while len(self.unread) < size:
            self._fill()
        data, self.unread = self.unread[:size], self.unread[size:]
        return data


def split_answers(data: bytes, *, heads: tuple[int, ...] = ()) -> list[Answer]:
    """Every answer in `data`; those numbered in `heads` are to HEAD. Anything left over fails the test."""
    near, far = socket.socketpair()
    far.close()
    answers = []
    with Client(near, data) as client:
        while client.unread:
            answers.append(client.read_answer(to_head=len(answers) in heads))
    return answers


class ReadyServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self._ready = ready

    async def on_tick(self, counter: int) -> bool:
        should_exit = await super().on_tick(counter)  # its first call sets the Date header
        self._ready.set()
        return should_exit


@contextmanager
def listening(
    limits: HttpLimits = HttpLimits(),  # noqa: B008  # frozen
    *,
    app: Any = None,
    door: ReadyDoor | None = None,
) -> Iterator[Listener]:
    """With an Echo, unless there is an `app`."""
    echo, ready, cells = Echo(), threading.Event(), unshared_cells()
    meter = ListenerMeter(cells, "edge")
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        settings = uvicorn.Config(
            app if app is not None else echo,
            loop="uvloop",
            http=ready_protocol(limits, meter, door) if door is not None else strict_protocol(limits, meter),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        server = ReadyServer(settings, ready)
        runner = asyncio.Runner(loop_factory=settings.get_loop_factory())
        thread = threading.Thread(target=lambda: runner.run(server.serve([listener])))
        thread.start()
        try:
            assert ready.wait(TIMEOUT_S)
            yield Listener(listener.getsockname()[1], echo, server, cells)
        finally:
            server.should_exit = True
            thread.join()
            runner.close()
