"""One request and its answer, as an ASGI application sees them.

The connection feeds the body in and carries the answer out; an exchange knows neither sockets nor what came before.
An answer's head waits for the first of its body (as ASGI allows): a length may then be known, both leave as one
write, and an application that fails in between still gets a clean 500.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, Protocol

from router.event_log import event_log
from router.http1.answer_head import (
    AnswerHead,
    AnswerInvalid,
    AnswerTerms,
    BodyFraming,
    render_answer_head,
    render_upgrade_head,
)
from router.http1.head import RequestHead

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
AsgiApp = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

RECEIVED_NS: Final = "onehop.received_ns"
"""The scope's key for when a request's head was whole, by time.monotonic_ns. Other servers don't say."""
UPGRADE: Final = "onehop.upgrade"
"""An ASGI extension of ours: a message of this type, sent in place of a response's start, answers 101 with its headers.
From then on the bodies of messages are the bytes of the other protocol, both ways, until the application's last."""
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
JOINED_BYTES_MAX: Final = 16 * 1024
"""Up to here copying costs less than a system call, and the client isn't woken twice (uvloop doesn't join writes)."""
FAILURE_BODY: Final = b"500 Internal Server Error\n"
FAILURE_FIELDS: Final = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]


class AnswerBrokenOff(Exception):
    """Raised by an application that can't go on with an answer that it has begun, for reasons that aren't its own."""


class Connection(Protocol):
    """What an exchange asks of the connection under it."""

    is_write_paused: bool

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]: ...

    def write(self, data: bytes | memoryview) -> None: ...
    async def drained(self) -> None:
        """Until the client has taken most of what was written, or is gone."""

    def body_wanted(self) -> None:
        """The application waits for more of the request's body."""

    def may_keep_alive(self) -> bool:
        """Whether another request can follow, as far as the rest of this one's body goes."""

    def begin_tunnel(self) -> bytes:
        """What comes from now on is fed as it comes. Returns what was there already."""

    def answered(self, *, keep_alive: bool) -> None: ...
    def failed(self) -> None:
        """The application did, or gave no answer."""

    def abort(self) -> None: ...


class Exchange:
    """Lives from a head's arrival to its answer's end; `run` is the root of its task."""

    def __init__(self, connection: Connection, head: RequestHead, *, keep_alive: bool) -> None:
        self._connection = connection
        self._head = head
        self.began_ns = time.monotonic_ns()
        self.keep_alive = keep_alive
        self._is_connected = True
        self._changed: asyncio.Event | None = None

        self._body: list[bytes] = []
        self.buffered_bytes = 0
        self._body_is_complete = head.content_length == 0
        self.body_was_delivered = False
        self._awaits_continue = head.expects_continue
        self.is_awaiting_body = False

        self._start: Message | None = None
        self._answer: AnswerHead | None = None
        self._answer_bytes_left = 0
        self.body_bytes_sent = 0
        self.is_answered = False

    @property
    def head(self) -> RequestHead:
        return self._head

    @property
    def status(self) -> int | None:
        """The answer's, once some of it was sent."""
        if self._start is None or self._answer is None:
            return None
        status: int = self._start.get("status", HTTPStatus.SWITCHING_PROTOCOLS)
        return status

    @property
    def has_started_answer(self) -> bool:
        """The client has seen some of it: another answer would be read as a part of this one."""
        return self._answer is not None

    @property
    def is_for_head(self) -> bool:
        return self._head.method == "HEAD"

    @property
    def awaits_continue(self) -> bool:
        """The client may be holding its body back, or may not: what comes next can't be told."""
        return self._awaits_continue

    def feed(self, part: bytes, *, is_last: bool) -> None:
        if part:
            self._awaits_continue = False
            if not self.is_answered:
                self._body.append(part)
                self.buffered_bytes += len(part)
        self._body_is_complete = is_last
        self._notify()

    def disconnect(self) -> None:
        """Nothing more will come, and nothing more will be sent."""
        self._is_connected = False
        self._notify()

    async def run(self, app: AsgiApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
            if self._is_connected and not self.is_answered:
                event_log().error("request.unanswered", method=self._head.method)
        except AnswerBrokenOff:
            pass  # torn off below
        except Exception:  # noqa: BLE001  # the root of a task: whatever the application raised, the client gets a 500
            event_log().error("request.failed", method=self._head.method, exc_info=True)
        finally:
            if self._is_connected and not self.is_answered:
                self._answer_in_its_place()

    async def receive(self) -> Message:
        while self._is_connected and not self.is_answered:
            if self._body or (self._body_is_complete and not self.body_was_delivered):
                return self._take_body()
            if not self._body_is_complete:
                self._ask_for_body()
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._connection.is_write_paused:
            await self._connection.drained()
        if not self._is_connected:
            return
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == UPGRADE and self._start is None:
            self._begin_tunnel(message)
        elif kind == "http.response.body" and self._start is not None and not self.is_answered:
            self._write_body(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise AnswerInvalid(f"{kind} out of order")

    def _notify(self) -> None:
        if self._changed is not None:
            self._changed.set()

    def _take_body(self) -> Message:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body, self.buffered_bytes = [], 0
        self.is_awaiting_body = False
        self.body_was_delivered = self._body_is_complete
        return {"type": "http.request", "body": body, "more_body": not self._body_is_complete}

    def _ask_for_body(self) -> None:
        if self._awaits_continue and self._start is None:
            self._awaits_continue = False
            self._connection.write(CONTINUE)
        self.is_awaiting_body = True
        self._connection.body_wanted()

    def _write_body(self, body: bytes | memoryview, *, is_last: bool) -> None:
        answer = self._answer
        if answer is None:
            answer = self._begin_answer(body, is_last=is_last)
        if answer.framing is BodyFraming.LENGTH:
            if len(body) > self._answer_bytes_left or (is_last and len(body) < self._answer_bytes_left):
                raise AnswerInvalid("the body isn't as long as Content-Length says")
            self._answer_bytes_left -= len(body)
        if answer.framing is not BodyFraming.ABSENT:
            self.body_bytes_sent += len(body)
        if answer is not self._answer:
            self._answer = answer
            if answer.framing is BodyFraming.LENGTH and len(body) <= JOINED_BYTES_MAX:
                self._connection.write(answer.data + body)
                body = b""
            else:
                self._connection.write(answer.data)
        if answer.framing is BodyFraming.CHUNKED:
            if body:
                self._connection.write(b"".join((b"%x\r\n" % len(body), body, b"\r\n")))
            if is_last:
                self._connection.write(b"0\r\n\r\n")
        elif body and answer.framing is not BodyFraming.ABSENT:
            self._connection.write(body)
        if is_last:
            self._finish(keep_alive=answer.keep_alive and self.keep_alive)

    def _begin_tunnel(self, message: Message) -> None:
        self._start = message
        self._answer = render_upgrade_head([*self._connection.default_headers, *message["headers"]])
        self._connection.write(self._answer.data)
        self._body_is_complete = self.body_was_delivered = False
        self.feed(self._connection.begin_tunnel(), is_last=False)

    def _begin_answer(self, body: bytes | memoryview, *, is_last: bool) -> AnswerHead:
        assert self._start is not None
        answer = render_answer_head(
            self._start["status"],
            [*self._connection.default_headers, *self._start.get("headers", ())],
            self._terms(keep_alive=self.keep_alive and self._connection.may_keep_alive()),
            whole_body_bytes=len(body) if is_last else None,
        )
        self._answer_bytes_left = answer.content_length
        return answer

    def _terms(self, *, keep_alive: bool) -> AnswerTerms:
        return AnswerTerms(self.is_for_head, self._head.minor_version, keep_alive)

    def _finish(self, *, keep_alive: bool) -> None:
        self.is_answered = True
        self._body, self.buffered_bytes = [], 0
        self._notify()
        self._connection.answered(keep_alive=keep_alive)

    def _answer_in_its_place(self) -> None:
        """For an application that failed. An answer already begun is torn off, so that it can't pass for whole."""
        self._connection.failed()
        if self.has_started_answer:
            self._connection.abort()
            return
        self._start = {
            "status": HTTPStatus.INTERNAL_SERVER_ERROR.value,
            "headers": [*FAILURE_FIELDS, (b"connection", b"close")],
        }
        self._write_body(FAILURE_BODY, is_last=True)


async def answer_server_options(scope: Scope, receive: object, send: Callable[[Message], Awaitable[None]]) -> None:
    """`OPTIONS *` asks about the server, not about a site (RFC 9110 9.3.7): a ping, answered without looking one up."""
    await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT.value, "headers": []})
    await send({"type": "http.response.body", "body": b""})
