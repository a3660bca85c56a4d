"""A long body leaves from its file as far as the kernel takes it, and nothing is lost where it doesn't."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asset_server.mapped_file import MappedFile, file_of
from router.file_sending import PIECE_BYTES, FileSender

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
BODY = os.urandom(1 << 20) * 8
"""More than a socket's buffers take."""
BEFORE = b"what lies before the body in its file"


@pytest.fixture
def file(tmp_path: Path) -> MappedFile:
    path = tmp_path / "blob"
    path.write_bytes(BEFORE + BODY + b"and after")
    with path.open("rb") as opened:
        return MappedFile.of(opened.fileno(), body_at=len(BEFORE), body_bytes=len(BODY))


def open_files_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Near(asyncio.Protocol):
    """The sending side, with a sender that is driven as a connection drives it."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.resumed_count = 0
        self.sender = FileSender(transport, transport.get_extra_info("socket"), loop.call_soon, self.resume_writing)

    def resume_writing(self) -> None:
        self.resumed_count += 1
        self.sender.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.sender.drop()
        self.ended.set_result(None)


def between(act: Callable[[Near, socket.socket], Awaitable[None]]) -> None:
    """Runs `act` with both ends of a connection, on the loop that serves."""

    async def connected() -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        with far:
            loop = asyncio.get_running_loop()
            _, protocol = await loop.create_connection(Near, sock=near)
            await act(protocol, far)
            protocol.transport.abort()
            await protocol.ended

    uvloop.run(connected())


async def receive(far: socket.socket, bytes_count: int) -> bytes:
    received = bytearray()
    while len(received) < bytes_count:
        part = await asyncio.get_running_loop().sock_recv(far, 1 << 16)
        if not part:
            break
        received += part
    return bytes(received)


def test_a_body_larger_than_the_socket_goes_on_when_there_is_room(file: MappedFile) -> None:
    async def act(near: Near, far: socket.socket) -> None:
        for _ in range(2):
            near.sender.send(HEAD, file.body, file)
            assert near.sender.left_bytes > 0
            assert near.transport.get_write_buffer_size() <= PIECE_BYTES, "the transport has no more than one piece"
            assert await receive(far, len(HEAD) + len(BODY)) == HEAD + BODY
            assert near.sender.left_bytes == 0
            assert near.transport.get_write_buffer_limits()[1] > 0, "as it was before"
        assert near.resumed_count > 2

    between(act)


@pytest.mark.parametrize("waits", [0, 3])
def test_what_is_handed_over_leaves_before_what_is_written_after_it(file: MappedFile, waits: int) -> None:
    async def act(near: Near, far: socket.socket) -> None:
        near.sender.send(HEAD, file.body, file)
        begun = await receive(far, waits * 400_000)
        near.sender.hand_over()
        near.transport.write(b"the next")
        assert near.sender.left_bytes == 0
        rest = await receive(far, len(HEAD) + len(BODY) + 8 - len(begun))
        assert begun + rest == HEAD + BODY + b"the next"

    between(act)


def test_where_bytes_wait_already_a_body_waits_behind_them(file: MappedFile) -> None:
    async def act(near: Near, far: socket.socket) -> None:
        near.transport.write(BODY)
        near.sender.send(HEAD, file.body, file)
        assert near.sender.left_bytes == 0
        assert await receive(far, 2 * len(BODY) + len(HEAD)) == BODY + HEAD + BODY

    between(act)


def test_a_client_that_went_away_ends_it(file: MappedFile) -> None:
    async def act(near: Near, far: socket.socket) -> None:
        near.sender.send(HEAD, file.body, file)
        far.close()
        await near.ended
        assert near.sender.left_bytes == 0

    between(act)


def test_a_part_of_a_body_has_no_file(file: MappedFile) -> None:
    assert file_of(file.body) is file
    assert file_of(file.body[1:]) is None
    assert file_of(memoryview(b"x")) is None


def test_a_map_gives_its_descriptor_back(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"x" * 5000)
    before = open_files_count()
    with path.open("rb") as opened:
        maps = [MappedFile.of(opened.fileno(), body_at=0, body_bytes=10) for _ in range(20)]
        bodies = [each.body for each in maps]
    assert open_files_count() > before
    del maps, bodies
    assert open_files_count() == before
