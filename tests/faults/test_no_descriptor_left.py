"""31: a worker may open nothing any more, not even what the event loop holds in reserve for this. It pauses."""

import resource
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from router.metrics.catalogue import ACCEPT_PAUSES
from router.metrics.reading import read_metrics
from tests.conftest import STOP_TIMEOUT_S, serving

NEWCOMERS_COUNT: Final = 20
FILES_TOO_FEW: Final = 4
GET: Final = b"GET / HTTP/1.1\r\nHost: absent.pages.localhost\r\n\r\n"


def ask(client: socket.socket) -> None:
    client.sendall(GET)
    head, _, body = client.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += client.recv(65536)


def test_31_newcomers_wait_while_there_is_no_descriptor_and_the_others_are_served(tmp_path: Path) -> None:
    metrics = tmp_path / "data" / "metrics"
    with serving(tmp_path / "data", "--drain", "1") as server, ExitStack() as stack:

        def connect() -> socket.socket:
            client = socket.create_connection(("127.0.0.1", server.edge_port), timeout=STOP_TIMEOUT_S)
            return stack.enter_context(client)

        known = connect()
        ask(known)
        edge = next(slot.pid for slot in read_metrics(metrics).living if slot.role == "edge 1")
        soft, hard = resource.prlimit(edge, resource.RLIMIT_NOFILE)
        resource.prlimit(edge, resource.RLIMIT_NOFILE, (FILES_TOO_FEW, hard))
        while read_metrics(metrics).count(ACCEPT_PAUSES, listener="edge") == 0:
            ask(known)
        newcomers = [connect() for _ in range(NEWCOMERS_COUNT)]
        for newcomer in newcomers:
            newcomer.sendall(GET)
        for _ in range(100):
            ask(known)
        resource.prlimit(edge, resource.RLIMIT_NOFILE, (soft, hard))
        for newcomer in newcomers:
            assert newcomer.recv(13) == b"HTTP/1.1 404 ", "it had to wait, and no more than that"
        assert read_metrics(metrics).count(ACCEPT_PAUSES) == 1
