"""31, on a real server: thousands of idle connections, and a worker that runs out of descriptors while it has them."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import LiveServer, serving

CROWD_COUNT: Final = 10_000
SPARE_FILES: Final = 1_000
"""What the tests' own process needs beside the crowd's sockets."""
CROWD_COUNT_MIN: Final = 2_000
LATE_COUNT: Final = 300
TIMEOUT_S: Final = 60
GET: Final = b"GET / HTTP/1.1\r\nHost: nobody.pages.localhost\r\n\r\n"
END_OF_HEAD: Final = b"\r\n\r\n"


@pytest.fixture
def files_count() -> Iterator[int]:
    """How many descriptors this process may have; as many as it can get while the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def ask(client: socket.socket) -> bool:
    """Whether a whole answer came; the next can then be asked for."""
    try:
        client.sendall(GET)
        data = b""
        while END_OF_HEAD not in data:
            if not (chunk := client.recv(65536)):
                return False
            data += chunk
        head, _, body = data.partition(END_OF_HEAD)
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            body += client.recv(65536)
    except OSError:
        return False
    return head.startswith(b"HTTP/1.1 404 ")


def edge_pid(server: LiveServer) -> int:
    """The child that has the edges' port open and isn't the control plane, by its connections' inodes."""
    children = [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
    return max(children, key=open_files)


def open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def test_31_thousands_of_idle_connections_and_then_no_descriptor_left(tmp_path: Path, files_count: int) -> None:
    count = min(CROWD_COUNT, files_count - SPARE_FILES)
    if count < CROWD_COUNT_MIN:
        pytest.skip(f"this machine lets a process have {files_count} files, too few for a crowd")
    with serving(tmp_path / "data") as server, ExitStack() as stack:

        def connect() -> socket.socket:
            client = socket.create_connection(("127.0.0.1", server.edge_port), timeout=TIMEOUT_S)
            return stack.enter_context(client)

        crowd = [connect() for _ in range(count)]
        assert all(ask(client) for client in crowd)
        assert ask(connect()), "a newcomer is answered beside the crowd"

        pid = edge_pid(server)
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid), hard))
        late = [connect() for _ in range(LATE_COUNT)]
        for client in late:
            client.settimeout(TIMEOUT_S)
        assert all(ask(client) for client in crowd[::100]), "the crowd is served on"
        for client in crowd[: count // 2]:
            client.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert all(ask(client) for client in crowd[count // 2 :: 100])
        assert any(ask(connect()) for _ in range(1_000)), "and newcomers are answered again"
        assert open_files(pid) < count, "what the others held was given back"
        assert server.process.poll() is None
