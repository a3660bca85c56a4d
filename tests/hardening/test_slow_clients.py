"""Clients that stall, each at another place. Deadlines are short here; what is claimed is the outcome, not the time."""

import select
import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from router.http1.limits import HttpLimits
from router.metrics.catalogue import ENDINGS, Ending
from router.metrics.reading import Reading
from tests.hardening.listener import ENDLESS_PIECES, PIECE_BYTES, TIMEOUT_S, Client, listening, split_answers

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
SHORT_S = 0.15


def trickle_until_answered(client: Client, data: bytes) -> bytes:
    """A byte at a time, for as long as the server bears it; then all that it says."""
    for position in range(len(data)):
        if select.select([client.socket], [], [], 0.005)[0]:
            return client.read_to_end()
        client.send(data[position : position + 1])
    raise AssertionError("the server took everything")


def send_for_ever(client: Client) -> None:
    while True:
        client.send(b"x")


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a.example\r\nX: ", GET + b"GET "]
)
def test_30_a_head_that_trickles_is_refused_at_its_deadline(start: bytes) -> None:
    with listening(HttpLimits(head_s=SHORT_S)) as listener, listener.connect() as client:
        client.send(start)
        data = client.read_until(b"}") if start.startswith(GET) else b""
        data += trickle_until_answered(client, b"GET /" + b"a" * 10_000)
        *_, answer = split_answers(data)
        assert (answer.status, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize("framing", ["Content-Length: 100000", "Transfer-Encoding: chunked"])
def test_30_a_body_that_stalls_is_refused(framing: str) -> None:
    with listening(HttpLimits(window_s=SHORT_S)) as listener:
        (answer,) = split_answers(
            listener.exchange(f"POST / HTTP/1.1\r\nHost: a.example\r\n{framing}\r\n\r\n2".encode())
        )
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert listener.echo.seen[0]["body"] is None, "the application was told that its client is gone"


def test_30_a_body_that_trickles_is_refused() -> None:
    with listening(HttpLimits(window_s=SHORT_S)) as listener, listener.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n")
        (answer,) = split_answers(trickle_until_answered(client, b"x" * 100_000))
    assert answer.status == 408


def test_19_a_body_that_was_asked_for_and_never_comes_is_refused() -> None:
    with listening(HttpLimits(window_s=SHORT_S)) as listener, listener.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        client.read_until(b"100 Continue\r\n\r\n")
        (answer,) = split_answers(client.read_to_end())
    assert answer.status == 408


def test_18_a_body_that_nobody_reads_and_that_stalls_ends_the_connection_without_a_second_answer() -> None:
    with listening(HttpLimits(window_s=SHORT_S, linger_s=SHORT_S)) as listener:
        (answer,) = split_answers(
            listener.exchange(b"POST /unread HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nxx")
        )
    assert answer.status == 200


@pytest.mark.parametrize("first", [b"", GET])
def test_30_an_idle_connection_is_closed_without_a_word(first: bytes) -> None:
    with listening(HttpLimits(idle_s=SHORT_S)) as listener:
        assert [answer.status for answer in split_answers(listener.exchange(first))] == ([200] if first else [])


def test_30_a_client_that_does_not_read_is_given_up() -> None:
    with listening(HttpLimits(window_s=SHORT_S)) as listener, listener.connect() as client:
        client.send(b"GET /endless HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert listener.echo.ended.wait(TIMEOUT_S)
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


def test_30_a_client_that_reads_gets_everything_under_the_same_deadline() -> None:
    with listening(HttpLimits(window_s=SHORT_S)) as listener:
        data = listener.exchange(b"GET /endless HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
    assert data.endswith(b"\r\n0\r\n\r\n")
    assert data.count(b"x") == ENDLESS_PIECES * PIECE_BYTES


def test_30_a_refused_client_that_goes_on_sending_is_cut_off() -> None:
    with listening(HttpLimits(linger_s=TIMEOUT_S, linger_bytes_max=1 << 20)) as listener, listener.connect() as client:
        client.send(b"nonsense")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            client.send(b"x" * (256 << 20))
        assert Reading(tuple(listener.cells)).count(ENDINGS, limit=Ending.LINGERED) == 1


def test_30_a_client_that_does_not_close_after_the_last_answer_is_cut_off() -> None:
    with listening(HttpLimits(linger_s=SHORT_S)) as listener, listener.connect() as client:
        client.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert client.read_to_end()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            send_for_ever(client)
        assert Reading(tuple(listener.cells)).count(ENDINGS, limit=Ending.LINGERED) == 1


def is_closed(client: Client) -> bool:
    try:
        return client.socket.recv(1) == b""
    except ConnectionResetError:
        return True


def is_answered(address: tuple[str, int]) -> bool:
    """False for as long as the server hasn't yet seen that the crowd has gone."""
    try:
        with Client(socket.create_connection(address, timeout=TIMEOUT_S)) as client:
            client.send(GET)
            return client.read_answer().status == 200
    except (EOFError, ConnectionResetError, BrokenPipeError):
        return False


def test_31_without_file_descriptors_the_listener_survives_and_recovers() -> None:
    few_files = subprocess.Popen(
        [sys.executable, "-m", "tests.hardening.few_files", "40"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert few_files.stdin is not None
    assert few_files.stdout is not None
    try:
        address = ("127.0.0.1", int(few_files.stdout.readline()))
        with ExitStack() as stack:
            crowd = [Client(socket.create_connection(address, timeout=TIMEOUT_S)) for _ in range(100)]
            for client in crowd:
                stack.enter_context(client)
            crowd[0].send(GET)
            assert crowd[0].read_answer().status == 200
            assert is_closed(crowd[-1]), "one too many is closed, not left waiting"
        assert any(is_answered(address) for _ in range(1000))
    finally:
        few_files.stdin.close()
        few_files.stdout.close()
        assert few_files.wait(TIMEOUT_S) == 0
