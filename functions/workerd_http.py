"""HTTP/1.1 to workerd over its Unix socket: requests rendered from parsed fields, answers parsed by llhttp.

    WorkerdSocket.ask(head) → Conversation: send_body… , answer head, body part by part, or a tunnel after 101

Connections are kept and used again. Nothing is buffered without bound: a body part is asked for before more is read,
and writing waits while workerd doesn't take what was written. A conversation that isn't carried to its end closes
its connection, by which workerd learns that nobody waits any more.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httptools

Fields = Sequence[tuple[bytes, bytes]]

IDLE_CONNECTIONS_MAX: Final = 256
UNREAD_BYTES_MAX: Final = 256 * 1024
ANSWER_HEAD_BYTES_MAX: Final = 256 * 1024
NO_BODY_STATUSES: Final = (204, 304)
SWITCHING: Final = 101


class WorkerdGone(Exception):
    """The connection ended before the answer did, or none could be made: the process is gone or broken."""


@dataclass(frozen=True, slots=True)
class AskHead:
    """`body_bytes`: None for a chunked body, 0 without one. `fields` have no framing fields in them."""

    method: bytes
    target: bytes
    fields: Fields
    body_bytes: int | None = 0

    def render(self) -> bytes:
        lines = [b"%b %b HTTP/1.1\r\n" % (self.method, self.target)]
        lines += [b"%b: %b\r\n" % field for field in self.fields]
        if self.body_bytes is None:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif self.body_bytes:
            lines.append(b"content-length: %d\r\n" % self.body_bytes)
        elif self.method in (b"POST", b"PUT", b"PATCH"):
            lines.append(b"content-length: 0\r\n")
        return b"".join((*lines, b"\r\n"))


@dataclass(frozen=True, slots=True)
class AnswerStart:
    """`fields` as they came, names in lower case."""

    status: int
    fields: list[tuple[bytes, bytes]]


class WorkerdSocket:
    """The way to one workerd process, and the idle connections to it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.heard_count = 0
        """How often something has come from the process; only ever grows."""
        self._idle: deque[WorkerdConnection] = deque()
        self._is_closed = False

    async def ask(self, head: AskHead) -> "WorkerdConnection":
        """Sends the head. Raises WorkerdGone."""
        connection = await self._connection()
        connection.begin(head)
        return connection

    def give_back(self, connection: "WorkerdConnection") -> None:
        """Keeps it for the next request where that is possible."""
        if connection.is_reusable and not self._is_closed and len(self._idle) < IDLE_CONNECTIONS_MAX:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    async def _connection(self) -> "WorkerdConnection":
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        try:
            _, made = await asyncio.get_running_loop().create_unix_connection(
                lambda: WorkerdConnection(self), self._path
            )
        except OSError as error:
            raise WorkerdGone(f"can't connect: {error.strerror}") from None
        return made


class WorkerdConnection(asyncio.Protocol):
    """One connection and the one request that is under way on it."""

    def __init__(self, way: WorkerdSocket) -> None:
        self._way = way
        self._transport: asyncio.Transport
        self.is_open = False
        self._parser: Any = None
        self._is_head_request = False
        self._is_sent = True
        self._fields: list[tuple[bytes, bytes]] = []
        self._field_bytes = 0
        self._start: AnswerStart | None = None
        self._parts: deque[bytes] = deque()
        self._unread_bytes = 0
        self._is_answered = True
        self._is_tunnel = False
        self._keeps_alive = True
        self._is_read_paused = False
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._chunked = False

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport by name
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._way.heard_count += 1
        if self._is_tunnel:
            self._take_part(data)
            return
        if self._parser is None:
            self.close()  # nothing was asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.close()
        self._changed.set()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        self.is_open = False
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value)
        if self._field_bytes > ANSWER_HEAD_BYTES_MAX:
            raise ValueError("the head of the answer is too long")
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._start = AnswerStart(status, self._fields)
        self._keeps_alive = self._parser.should_keep_alive()
        self._is_tunnel = status == SWITCHING
        if self._is_head_request or status in NO_BODY_STATUSES:
            # llhttp doesn't know what was asked and would wait for a body.
            self._is_answered = True

    def on_body(self, body: bytes) -> None:
        self._take_part(body)

    def on_message_complete(self) -> None:
        # After 101 llhttp is done, but not the conversation.
        self._is_answered = not self._is_tunnel

    # The request

    def begin(self, head: AskHead) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._is_head_request = head.method == b"HEAD"
        self._fields, self._field_bytes, self._start = [], 0, None
        self._is_answered, self._is_sent, self._chunked = False, head.body_bytes == 0, head.body_bytes is None
        self._changed.clear()
        self._transport.write(head.render())

    async def send_body(self, part: bytes, *, is_last: bool) -> None:
        """Waits while workerd is behind. What workerd no longer wants is dropped."""
        if not self.is_open:
            return
        if self._chunked:
            if part:
                self._transport.write(b"".join((b"%x\r\n" % len(part), part, b"\r\n")))
            if is_last:
                self._transport.write(b"0\r\n\r\n")
        elif part:
            self._transport.write(part)
        self._is_sent = self._is_sent or is_last
        await self._writable.wait()

    # The answer

    async def answer_start(self) -> AnswerStart:
        """Raises WorkerdGone."""
        while self._start is None:
            if not self.is_open:
                raise WorkerdGone("it closed the connection before it answered")
            self._changed.clear()
            await self._changed.wait()
        return self._start

    async def next_part(self) -> bytes | None:
        """None after the last. Raises WorkerdGone when the answer broke off."""
        while not self._parts:
            if self._is_answered:
                return None
            if not self.is_open:
                if self._is_tunnel:
                    return None
                raise WorkerdGone("it closed the connection within its answer")
            self._changed.clear()
            await self._changed.wait()
        parts, self._parts, self._unread_bytes = self._parts, deque(), 0
        if self._is_read_paused and self.is_open:
            self._is_read_paused = False
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @property
    def is_exhausted(self) -> bool:
        """The answer is complete and all of it was taken."""
        return self._is_answered and not self._parts

    @property
    def is_reusable(self) -> bool:
        return (
            self.is_open
            and self._is_answered
            and self._is_sent
            and self._keeps_alive
            and not self._is_tunnel
            and not self._parts
        )

    async def send_raw(self, data: bytes) -> None:
        """After 101."""
        if self.is_open:
            self._transport.write(data)
            await self._writable.wait()

    def close(self) -> None:
        if self.is_open:
            self._transport.abort()
            self.is_open = False
            self._changed.set()

    def _take_upgraded(self, rest: bytes) -> None:
        if self._is_tunnel and rest:
            self._take_part(rest)

    def _take_part(self, part: bytes) -> None:
        self._parts.append(bytes(part))
        self._unread_bytes += len(part)
        if self._unread_bytes > UNREAD_BYTES_MAX and not self._is_read_paused and self.is_open:
            self._is_read_paused = True
            self._transport.pause_reading()
        self._changed.set()
