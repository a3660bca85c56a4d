"""An exchange between an application and a connection that keeps what is written to it."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from router.exchange import Exchange
from router.http1.head import RequestHead

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


@dataclass
class KeptConnection:
    """Takes everything at once."""

    written: bytes = b""
    is_write_paused: bool = False
    keeps_alive: list[bool] = field(default_factory=list)
    was_aborted: bool = False
    failures_count: int = 0

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return []

    def write(self, data: bytes | memoryview) -> None:
        self.written += data

    async def drained(self) -> None:
        raise AssertionError("never paused")

    def body_wanted(self) -> None:
        pass

    def may_keep_alive(self) -> bool:
        return True

    def answered(self, *, keep_alive: bool) -> None:
        self.keeps_alive.append(keep_alive)

    def failed(self) -> None:
        self.failures_count += 1

    def abort(self) -> None:
        self.was_aborted = True


async def run(app: Callable[[Any, Receive, Send], Awaitable[None]], *, method: str = "GET") -> KeptConnection:
    head = RequestHead(
        method=method,
        path=b"/",
        query=None,
        minor_version=1,
        fields=[],
        content_length=0,
        keep_alive=True,
        expects_continue=False,
    )
    connection = KeptConnection()
    await Exchange(connection, head, keep_alive=True).run(app, {})
    return connection


def answering(*messages: Message) -> Callable[[Any, Receive, Send], Awaitable[None]]:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_an_answer_of_one_piece_gets_a_length_and_keeps_the_connection() -> None:
    connection = await run(answering(START, body(b"hello")))
    assert connection.written == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    assert connection.keeps_alive == [True]


async def test_a_memory_view_is_written_as_its_bytes() -> None:
    connection = await run(answering(START, body(memoryview(b"hello"), more=True), body(memoryview(b""))))  # type: ignore[arg-type]
    assert connection.written.endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


async def test_head_sends_no_body_whatever_the_application_gives() -> None:
    to_get = await run(answering(START, body(b"hello")))
    to_head = await run(answering(START, body(b"hello")), method="HEAD")
    assert to_head.written == to_get.written.removesuffix(b"hello")


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (body(b"early"),),
        (START,),
        (START, START),
        ({**START, "headers": [(b"content-length", b"9")]}, body(b"short")),
        ({**START, "headers": [(b"content-length", b"1")]}, body(b"long")),
        ({**START, "headers": [(b"x", b"a\r\nb: c")]}, body(b"")),
        ({**START, "status": 101}, body(b"")),
    ],
)
async def test_an_application_that_breaks_the_rules_before_its_first_byte_is_answered_500(
    messages: tuple[Message, ...],
) -> None:
    connection = await run(answering(*messages))
    assert connection.written.startswith(b"HTTP/1.1 500 ")
    assert connection.keeps_alive == [False]


@pytest.mark.parametrize("rest", [(), (START,), (body(b"x" * 9),)])
async def test_an_answer_that_fails_midway_is_torn_off(rest: tuple[Message, ...]) -> None:
    start = {**START, "headers": [(b"content-length", b"9")]}
    connection = await run(answering(start, body(b"hello", more=True), *rest))
    assert connection.was_aborted
    assert connection.written.count(b"HTTP/1.1") == 1
    assert connection.written.endswith(b"hello")


async def test_a_second_body_after_the_last_changes_nothing() -> None:
    connection = await run(answering(START, body(b"hello"), body(b"again")))
    assert connection.written.endswith(b"hello")
    assert connection.keeps_alive == [True]


async def test_after_its_answer_an_application_hears_of_the_end() -> None:
    heard = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        heard.append(await receive())
        await send(START)
        await send(body(b""))
        heard.append(await receive())

    await run(app)
    assert heard == [{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}]
