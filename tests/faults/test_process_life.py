"""64: a server is stopped, reloaded, and loses workers, while clients ask without a pause: none of them notices."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from router.metrics.catalogue import CONNECTIONS_OPENED, REQUESTS
from router.metrics.reading import read_metrics
from tests.conftest import STOP_TIMEOUT_S, LiveServer, Serve, serving
from tests.faults.breakable_site import HOST, SITE, site_files
from tests.faults.steady_load import Load, steady_load
from tests.plain_deploy import create_site, plain_deploy

ANSWERS_BETWEEN: Final = 200
BODIES: Final = {("/" if path == "index.html" else f"/{path}"): body for path, body in site_files(1).items()}
GET: Final = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("life") / "data"
    with serving(data) as server:
        create_site(server, SITE)
        plain_deploy(server, SITE, site_files(1))
    return data


def edges_of(data: Path) -> dict[str, int]:
    return {slot.role: slot.pid for slot in read_metrics(data / "metrics").living if slot.role.startswith("edge")}


def wait_for_heirs(load: Load, data: Path, before: dict[str, int]) -> dict[str, int]:
    """Until those edges have ended and each has an heir; clients go on asking meanwhile."""
    while True:
        now = edges_of(data)
        living = {slot.pid for slot in read_metrics(data / "metrics").living}
        if not living & set(before.values()) and now.keys() == before.keys():
            return now
        load.wait_for(10)


def test_64_sigterm_under_load_fails_no_request(deployed: Path, serve: Serve) -> None:
    server = serve("--workers", "2", data=deployed)
    with steady_load(server.edge_port, HOST, BODIES) as load:
        load.wait_for(ANSWERS_BETWEEN)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_TIMEOUT_S) == 0
    assert not load.failures
    assert load.goodbyes_count >= load.refused_count == 8, "each client was told that its connection ends, then refused"


def test_64_reloads_under_load_fail_no_request_and_lose_no_count(deployed: Path, serve: Serve) -> None:
    server = serve("--workers", "2", data=deployed)
    before = read_metrics(deployed / "metrics")
    with steady_load(server.edge_port, HOST, BODIES) as load:
        edges = edges_of(deployed)
        for _ in range(3):
            load.wait_for(ANSWERS_BETWEEN)
            server.process.send_signal(signal.SIGHUP)
            edges = wait_for_heirs(load, deployed, edges)
    assert not load.failures
    assert load.refused_count == 0
    assert load.goodbyes_count > 0
    server.stop()  # each answer is counted at the end of the turn that it was made in
    passed = read_metrics(deployed / "metrics").since(before)
    assert passed.count(REQUESTS, status="2xx") == load.answers_count
    assert passed.count(CONNECTIONS_OPENED, listener="edge") >= load.goodbyes_count


def test_64_a_killed_worker_is_replaced_under_load_and_no_answer_is_wrong(deployed: Path, serve: Serve) -> None:
    server = serve("--workers", "2", data=deployed)
    with steady_load(server.edge_port, HOST, BODIES) as load:
        for name in ("edge 1", "edge 2"):
            load.wait_for(ANSWERS_BETWEEN)
            victim = edges_of(deployed)[name]
            os.kill(victim, signal.SIGKILL)
            while edges_of(deployed).get(name) in (None, victim):
                load.wait_for(10)
    broken = {"RemoteDisconnected", "ConnectionResetError", "BrokenPipeError", "IncompleteRead"}
    assert {failure.split(":")[0] for failure in load.failures} <= broken, "cut off, and never answered wrongly"
    assert sum(load.failures.values()) <= 2 * 8, "no more than one request of each client and kill"
    assert load.refused_count == 0


@pytest.fixture
def slow_download(deployed: Path, serve: Serve) -> Iterator[tuple[LiveServer, socket.socket]]:
    """An answer that is under way, of which the client hasn't taken the end."""
    server = serve("--drain", "0.2", data=deployed)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.edge_port))
        client.settimeout(STOP_TIMEOUT_S)
        client.sendall(GET.replace(b"/ ", b"/file-5.txt ", 1) * 200)
        assert client.recv(1) == b"H"
        yield server, client


def test_64_what_does_not_end_within_the_drain_is_cut_off(slow_download: tuple[LiveServer, socket.socket]) -> None:
    server, _client = slow_download
    assert server.stop() == 0


def test_64_a_second_signal_cuts_what_is_under_way(deployed: Path, serve: Serve) -> None:
    server = serve("--drain", "3600", data=deployed)
    with socket.create_connection(("127.0.0.1", server.edge_port), timeout=STOP_TIMEOUT_S) as client:
        client.sendall(b"GET / HTTP/1.1\r\n")  # and never its end
        with socket.create_connection(("127.0.0.1", server.edge_port)) as other:
            other.sendall(GET)
            assert other.recv(9) == b"HTTP/1.1 ", "the first is being served, then, by the same worker"
        server.process.send_signal(signal.SIGTERM)
        while True:  # until it has stopped listening, which says that the first signal has come
            try:
                socket.create_connection(("127.0.0.1", server.edge_port)).close()
            except (ConnectionRefusedError, ConnectionResetError):  # reset: it closed in the middle of the handshake
                break
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(STOP_TIMEOUT_S) == 1
