"""A long body leaves from its file as far as the kernel takes it, and nothing is lost where it doesn't."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from asset_server.mapped_file import MappedFile, file_of
from router.file_sending import send_at_once

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
BODY = os.urandom(1 << 20) * 8
BEFORE = b"what lies before the body in its file"


@pytest.fixture
def file(tmp_path: Path) -> MappedFile:
    path = tmp_path / "blob"
    path.write_bytes(BEFORE + BODY + b"and after")
    with path.open("rb") as opened:
        return MappedFile.of(opened.fileno(), body_at=len(BEFORE), body_bytes=len(BODY))


def open_files_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        yield near, far


def test_what_is_sent_and_what_is_left_are_the_whole(
    file: MappedFile, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    received, left = b"", (HEAD, file.body)
    left = send_at_once(near.fileno(), near.family, *left, file)
    assert left[0] == b""
    assert 0 < len(left[1]) < len(BODY)
    near.setblocking(True)
    sent = len(HEAD) + len(BODY) - len(left[1])
    while len(received) < sent:
        received += far.recv(1 << 20)
    assert received + bytes(left[1]) == HEAD + BODY


def test_a_full_connection_takes_nothing(file: MappedFile, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    with suppress(BlockingIOError):
        while True:
            near.send(BODY)
    head, body = send_at_once(near.fileno(), near.family, HEAD, file.body, file)
    assert HEAD.endswith(head)
    assert bytes(body) == BODY
    assert far.fileno() >= 0


def test_a_broken_connection_takes_nothing_and_stays_its_owners(
    file: MappedFile, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    far.close()
    assert send_at_once(near.fileno(), near.family, HEAD, file.body, file) == (HEAD, file.body)
    assert near.fileno() >= 0
    os.fstat(near.fileno())


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
