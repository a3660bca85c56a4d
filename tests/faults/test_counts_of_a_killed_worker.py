"""Workers are killed while they are asked; what they had counted is there, once, and so is all that came after."""

import os
import select
import signal
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from router.metrics.catalogue import CONNECTIONS, REFUSALS, REQUESTS, cell
from router.metrics.reading import read_metrics
from tests.conftest import STOP_TIMEOUT_S, LiveServer, Serve, exchange

ROUNDS: Final = 4
REQUESTS_A_ROUND: Final = 25
ABSENT: Final = "absent.pages.localhost"


def metrics_of(server: LiveServer) -> Path:
    return server.data / "metrics"


def answered(server: LiveServer) -> int:
    return read_metrics(metrics_of(server)).count(REQUESTS)


def edges_of(server: LiveServer) -> dict[str, int]:
    return {slot.role: slot.pid for slot in read_metrics(metrics_of(server)).living if slot.role.startswith("edge")}


def ask(server: LiveServer, count: int) -> int:
    """How many were answered: one that was on its way to a dying worker may not be."""
    answers = 0
    while answers < count:
        with suppress(OSError, HTTPException):
            assert server.get(ABSENT).status == 404
            answers += 1
    return answers


def told(server: LiveServer) -> float:
    """All requests, as Prometheus is told."""
    answer = exchange(
        server.api_port, "GET", "/metrics", {"Host": "127.0.0.1", "Authorization": f"Bearer {server.token}"}
    )
    families = text_string_to_metric_families(answer.body.decode())
    return sum(each.value for family in families for each in family.samples if each.name == REQUESTS.name)


def test_a_killed_worker_loses_and_repeats_no_count(serve: Serve) -> None:
    server = serve("--workers", "2")
    before = answered(server)
    asked = 0
    for number in range(ROUNDS):
        asked += ask(server, REQUESTS_A_ROUND)
        assert answered(server) - before == asked
        victim = edges_of(server)[f"edge {number % 2 + 1}"]
        os.kill(victim, signal.SIGKILL)
        asked += ask(server, REQUESTS_A_ROUND)
        assert answered(server) - before >= asked
        before, asked = answered(server), 0
    assert told(server) == answered(server)
    assert len(list(metrics_of(server).iterdir())) == 3


def test_counts_go_on_after_a_restart_and_gauges_begin_anew(serve: Serve) -> None:
    server = serve()
    ask(server, 10)
    before = answered(server)
    processes = [os.pidfd_open(slot.pid) for slot in read_metrics(metrics_of(server)).living]
    server.kill()
    for process in processes:
        assert select.select([process], [], [], STOP_TIMEOUT_S)[0]  # readable once it has ended
        os.close(process)
    assert answered(server) == before
    assert read_metrics(metrics_of(server)).living == ()
    again = serve(data=server.data)
    ask(again, 5)
    reading = read_metrics(metrics_of(again))
    assert reading.count(REQUESTS) >= before + 5
    assert all(slot.cells[cell(CONNECTIONS)] <= 1 for slot in reading.living)


def test_a_refused_request_is_counted_by_its_reason_and_as_no_request(serve: Serve) -> None:
    server = serve()
    before = read_metrics(metrics_of(server))
    assert exchange(server.edge_port, "GET", "/" + "a" * 20_000, {"Host": ABSENT}).status == 414
    passed = read_metrics(metrics_of(server)).since(before)
    assert passed.count(REFUSALS, listener="edge", reason="target too long") == 1
    assert passed.count(REQUESTS) == 0
