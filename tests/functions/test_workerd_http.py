"""HTTP to workerd: rendered anew, read strictly, kept for the next request only when nothing is left over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from functions.workerd_http import UNREAD_BYTES_MAX, AskHead, WorkerdConnection, WorkerdGone, WorkerdSocket

GET = AskHead(b"GET", b"/", [(b"host", b"a")])
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def peer(tmp_path: Path, handler: Handler) -> AsyncIterator[WorkerdSocket]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(handle, str(tmp_path / "s"))
    way = WorkerdSocket(str(tmp_path / "s"))
    try:
        yield way
    finally:
        way.close()
        server.close()


def answering(*answers: bytes) -> Handler:
    """One connection's answers, each after a head."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

    return handle


async def whole(conversation: WorkerdConnection) -> bytes:
    parts = []
    while (part := await conversation.next_part()) is not None:
        parts.append(part)
    return b"".join(parts)


async def start_and_whole(conversation: WorkerdConnection) -> bytes:
    await conversation.answer_start()
    return await whole(conversation)


def test_a_head_is_rendered_from_its_parts_with_one_framing() -> None:
    assert GET.render() == b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    assert AskHead(b"POST", b"/", [], 5).render() == b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"
    assert AskHead(b"POST", b"/", [], 0).render() == b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
    assert AskHead(b"PUT", b"/", [], None).render() == b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"


async def test_an_answer_comes_whole_and_its_connection_is_used_again(tmp_path: Path) -> None:
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n\r\none",
        b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n2\r\n!!\r\n0\r\n\r\n",
    )
    async with peer(tmp_path, answering(*answers)) as way:
        first = await way.ask(GET)
        start = await first.answer_start()
        assert (start.status, start.fields) == (200, [(b"content-length", b"3"), (b"x-a", b"b")])
        assert await whole(first) == b"one"
        way.give_back(first)
        second = await way.ask(GET)
        assert second is first
        assert (await second.answer_start()).status == 201
        assert await whole(second) == b"two!!"


async def test_answers_without_a_body_end_with_their_head(tmp_path: Path) -> None:
    async with peer(tmp_path, answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as way:
        conversation = await way.ask(AskHead(b"HEAD", b"/", [(b"host", b"a")]))
        await conversation.answer_start()
        assert await conversation.next_part() is None
        assert conversation.is_reusable


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"nonsense\r\n\r\n"])
async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(tmp_path: Path, answer: bytes) -> None:
    async with peer(tmp_path, answering(answer)) as way:
        conversation = await way.ask(GET)
        with pytest.raises(WorkerdGone):
            await start_and_whole(conversation)
        assert not conversation.is_reusable


async def test_no_peer_is_a_peer_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(WorkerdGone):
        await WorkerdSocket(str(tmp_path / "nobody")).ask(GET)


async def test_a_reader_that_waits_holds_the_sender_up(tmp_path: Path) -> None:
    sent = 0
    total = 64 * UNREAD_BYTES_MAX

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * UNREAD_BYTES_MAX)
            await writer.drain()
            sent += UNREAD_BYTES_MAX

    async with peer(tmp_path, flood) as way:
        conversation = await way.ask(GET)
        await conversation.answer_start()
        before = -1
        while sent != before:  # until the sender has stood still for many turns of the loop
            before = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < total / 2
        assert len(await whole(conversation)) == total


async def test_after_101_bytes_pass_both_ways_as_they_are(tmp_path: Path) -> None:
    async def upgrade(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
        writer.write(await reader.readexactly(4))
        await writer.drain()

    async with peer(tmp_path, upgrade) as way:
        conversation = await way.ask(GET)
        assert (await conversation.answer_start()).status == 101
        await conversation.send_raw(b"\x00ok\xff")
        assert await whole(conversation) == b"first\x00ok\xff"
        assert not conversation.is_reusable
