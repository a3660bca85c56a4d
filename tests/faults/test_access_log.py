"""The access log of a real server: every request of it, rotated under load, and without a place to write to."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from router.metrics.catalogue import ACCESS_LINES_LOST
from router.metrics.reading import read_metrics
from tests.conftest import Serve
from tests.faults.steady_load import steady_load
from tests.faults.test_process_life import BODIES, HOST, deployed, edges_of, wait_for_heirs
from tests.hardening.listener import Client, split_answers
from tests.real_parts import small_disk

__all__ = ["deployed"]


def lines_of(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_each_request_has_its_line_also_across_a_rotation(deployed: Path, serve: Serve, tmp_path: Path) -> None:
    log, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    server = serve("--workers", "2", "--access-log", str(log), data=deployed)
    with steady_load(server.edge_port, HOST, BODIES) as load:
        load.wait_for(200)
        log.rename(rotated)
        edges = edges_of(deployed)
        server.process.send_signal(signal.SIGHUP)
        wait_for_heirs(load, deployed, edges)
        load.wait_for(200)
    server.stop()
    assert not load.failures
    lines = lines_of(rotated, log)
    assert len(lines) == load.answers_count
    assert {(line["host"], line["method"], line["status"]) for line in lines} == {(HOST, "GET", 200)}
    assert all(line["bytes"] == len(BODIES[line["path"]]) for line in lines)
    assert log.stat().st_size > 0
    assert rotated.stat().st_size > 0
    assert log.stat().st_mode & 0o007 == 0


def test_nothing_that_a_client_sends_makes_a_line_of_its_own_or_tells_a_query(
    deployed: Path, serve: Serve, tmp_path: Path
) -> None:
    log = tmp_path / "access.log"
    server = serve("--access-log", str(log), data=deployed)
    head = f'Host: {HOST}\r\nUser-Agent: \x1b[2J"}}\\n{{"status":1\x7f\r\n\r\n'.encode().replace(b"\x1b", b"\x9b")
    requests = [
        b"GET /?token=secret HTTP/1.1\r\n" + head,
        b"GET /\xe2\x80\xa8%0a?secret HTTP/1.1\r\n" + head,
        b"GET /absent?secret=secret HTTP/1.1\r\n" + head,
        b"POST /?secret HTTP/1.1\r\nContent-Length: 0\r\n" + head,
        b"GET /secret\nInjected: yes HTTP/1.1\r\n\r\n",
    ]
    for request in requests:
        for _ in range(3):
            with Client(socket_to(server.edge_port)) as client:
                client.send(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
                assert split_answers(client.read_to_end())
    server.stop()
    data = log.read_bytes()
    assert b"secret" not in data
    assert all(byte == 0x0A or 0x20 <= byte < 0x7F for byte in data)
    statuses = [line["status"] for line in lines_of(log)]
    assert statuses == [200] * 3 + [400] * 3 + [200] * 3 + [405] * 3 + [400] * 3


def socket_to(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def test_a_full_disk_fails_no_request_and_is_counted(deployed: Path, serve: Serve, tmp_path: Path) -> None:
    before = read_metrics(deployed / "metrics")
    with small_disk(tmp_path / "disk", size_bytes=16 * 1024) as disk:
        server = serve("--access-log", str(disk / "access.log"), data=deployed)
        with steady_load(server.edge_port, HOST, BODIES) as load:
            while not read_metrics(deployed / "metrics").since(before).count(ACCESS_LINES_LOST, reason="write failed"):
                load.wait_for(50)
        assert not load.failures
        server.stop()


def test_a_file_that_cannot_be_written_is_refused_at_the_start_in_one_line(serve: Serve, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (tmp_path / "absent" / "access.log", fifo):
        done = subprocess.run(
            [sys.executable, "-m", "onehop", "serve", "--data", str(tmp_path / "data"), "--access-log", str(path)],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert str(path) in done.stderr
