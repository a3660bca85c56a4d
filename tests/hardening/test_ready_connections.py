"""Connections that are answered from ready bytes, at a real listener: their ends, their stalls, long bodies."""

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from router.app import EdgeApp
from router.http1.limits import HttpLimits
from tests.hardening.listener import TIMEOUT_S, Client, Listener, listening, split_answers
from tests.router.doors import built_doors, request

SHORT_S = 0.2
LARGE = bytes(range(256)) * 4096 * 20  # 20 MiB: more than the kernel's buffers between us take
MEDIUM = LARGE[: 1 << 20]


@contextmanager
def serving_ready(folder: Path, limits: HttpLimits = HttpLimits()) -> Iterator[Listener]:  # noqa: B008  # frozen
    with built_doors(folder) as doors:
        doors.built.publish("a.example", {"/index.html": b"front", "/large.bin": LARGE, "/medium.bin": MEDIUM})
        with listening(limits, app=EdgeApp(doors.edge), door=doors.door) as listener:
            yield listener


def warm(client: Client, data: bytes, times: int = 4) -> None:
    for _ in range(times):
        client.send(data)
        assert client.read_answer().status == 200


def test_30_an_idle_connection_is_closed_after_its_last_ready_answer(tmp_path: Path) -> None:
    with serving_ready(tmp_path, HttpLimits(idle_s=SHORT_S)) as listener, listener.connect() as client:
        started = time.monotonic()
        while time.monotonic() - started < 2 * SHORT_S:  # it isn't idle meanwhile
            warm(client, request(), times=1)
        assert client.read_to_end() == b""


def test_30_a_head_that_stops_after_ready_answers_is_refused(tmp_path: Path) -> None:
    with serving_ready(tmp_path, HttpLimits(head_s=SHORT_S)) as listener, listener.connect() as client:
        warm(client, request())
        client.send(request()[:-2])
        (answer,) = split_answers(client.read_to_end())
        assert (answer.status, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize("times", [1, 3])
def test_30_a_client_that_stops_taking_a_ready_body_is_given_up(tmp_path: Path, times: int) -> None:
    """Also where it has sent further requests, which wait behind that body."""
    with serving_ready(tmp_path, HttpLimits(window_s=1.0)) as listener, listener.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        warm(client, request("/large.bin"))
        client.send(request("/large.bin") * times)
        poller = select.poll()
        poller.register(client.socket, select.POLLHUP | select.POLLERR)
        assert poller.poll(TIMEOUT_S * 1000), "the connection was reset"


@pytest.mark.parametrize("target", ["/medium.bin", "/large.bin"])
def test_long_bodies_arrive_whole_and_in_order_however_slowly_they_are_taken(tmp_path: Path, target: str) -> None:
    body = MEDIUM if target == "/medium.bin" else LARGE
    asked = [request(target), request(), request(target, "Range: bytes=5-"), request(target, method="HEAD")]
    with serving_ready(tmp_path) as listener, listener.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        warm(client, request(target))
        client.send(b"".join(asked) * 3 + request(target, "Connection: close"))
        for _ in range(3):
            assert client.read_answer().body == body
            assert client.read_answer().body == b"front"
            assert client.read_answer().body == body[5:]
            assert client.read_answer(to_head=True).headers["content-length"] == str(len(body))
        assert client.read_answer().body == body
        assert client.read_to_end() == b""


@pytest.mark.parametrize("fields", [(), ("Connection: close",)])
def test_a_half_closed_client_gets_a_long_body_whole(tmp_path: Path, fields: tuple[str, ...]) -> None:
    with serving_ready(tmp_path) as listener, listener.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        warm(client, request("/large.bin"), times=2)
        client.send(request("/large.bin", *fields))
        client.read_until(b"\r\n\r\n")  # it is on its way
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_to_end() == LARGE


@pytest.mark.parametrize(
    ("limits", "first"),
    [
        (HttpLimits(), request("/medium.bin", "Connection: close")),
        (HttpLimits(), request("/medium.bin", version="1.0")),
        (HttpLimits(), request("/medium.bin", "Range: bytes=0-", "Connection: close")),
        (HttpLimits(requests_count_max=5), request("/medium.bin")),
    ],
)
def test_20_the_last_answer_arrives_whole_whatever_the_client_has_sent_after_it(
    tmp_path: Path, limits: HttpLimits, first: bytes
) -> None:
    with serving_ready(tmp_path, limits) as listener, listener.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        warm(client, request("/medium.bin"))
        client.send(first)
        head = client.read_until(b"\r\n\r\n")
        received = bytearray(client.unread)
        while piece := client.socket.recv(4096):
            received += piece
            if len(received) < len(MEDIUM) // 2:
                client.send(request())
        assert b"connection: close" in head
        assert bytes(received) == MEDIUM


def test_64_requests_that_cross_a_drain_take_nothing_from_the_answer_before_them(tmp_path: Path) -> None:
    with serving_ready(tmp_path, HttpLimits(drain_idle_s=TIMEOUT_S)) as listener, listener.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        warm(client, request("/medium.bin"))
        listener.server.should_exit = True
        while is_listening(listener):
            pass
        client.send(request("/medium.bin"))
        client.read_until(b"\r\n\r\n")
        for _ in range(50):
            client.send(request())
            client.unread += client.socket.recv(4096)
        assert client.read_to_end() == MEDIUM


def test_a_refusal_comes_after_the_long_body_before_it(tmp_path: Path) -> None:
    with serving_ready(tmp_path) as listener, listener.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        warm(client, request("/large.bin"), times=2)
        client.send(request("/large.bin") + b"no request\r\n\r\n")
        assert client.read_answer().body == LARGE
        (answer,) = split_answers(client.read_to_end())
        assert (answer.status, answer.headers["connection"]) == (400, "close")


def test_20_a_thousand_pipelined_requests_are_answered_in_order_until_the_bad_one(tmp_path: Path) -> None:
    asked = [request(f"/?{number}") if number % 3 else request(f"/{number}") for number in range(1000)]
    with serving_ready(tmp_path) as listener:
        data = listener.exchange(b"".join(asked) + request("/ bad") + request())
    answers = split_answers(data)
    assert [answer.status for answer in answers] == [200] * 1000 + [400]
    assert {answer.body for answer in answers[:-1]} == {b"front"}


def test_64_a_worker_that_ends_lets_a_ready_body_go_out(tmp_path: Path) -> None:
    with serving_ready(tmp_path) as listener, listener.connect() as client:
        warm(client, request("/large.bin"))
        client.send(request("/large.bin"))
        client.read_until(b"\r\n\r\n")
        listener.server.should_exit = True
        assert len(client.read_to_end()) == len(LARGE)


def test_64_a_connection_that_was_idle_when_its_worker_was_told_to_end_is_answered_once_more(tmp_path: Path) -> None:
    with serving_ready(tmp_path, HttpLimits(drain_idle_s=TIMEOUT_S)) as listener, listener.connect() as client:
        warm(client, request())
        listener.server.should_exit = True
        while is_listening(listener):
            pass
        client.send(request() * 2)
        (answer,) = split_answers(client.read_to_end())
        assert (answer.status, answer.headers["connection"]) == (200, "close")


def is_listening(listener: Listener) -> bool:
    """Once it isn't, its connections have been told, too: that is one step of the server's."""
    try:
        listener.connect().socket.close()
    except OSError as error:
        return not isinstance(error, ConnectionRefusedError)
    return True
