"""What becomes of a connection: order, reuse, bodies nobody reads, expectations, ends of every kind."""

import json
from contextlib import ExitStack, suppress

import pytest

from router.http1.limits import HttpLimits
from router.metrics.catalogue import REFUSALS
from router.metrics.reading import Reading
from tests.hardening.listener import Listener, listening, split_answers

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
TRIES_MAX = 500
LAST = b"GET /last HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


def get(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a.example", *lines, "", ""]).encode()


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    return get(path, *lines).replace(b"GET", b"POST", 1) + body


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", ["/read", "/unread"])
def test_18_a_body_is_never_taken_for_the_next_request(listener: Listener, method: str, path: str) -> None:
    body = get("/smuggled")
    for framed in (
        f"Content-Length: {len(body)}\r\n\r\n".encode() + body,
        b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
    ):
        listener.echo.seen.clear()
        request = f"{method} {path} HTTP/1.1\r\nHost: a.example\r\n".encode() + framed
        answers = split_answers(listener.exchange(request + LAST), heads=(0,) if method == "HEAD" else ())
        is_last = path == "/unread" and b"chunked" in framed
        assert [answer.status for answer in answers] == ([200] if is_last else [200, 200])
        assert listener.echo.targets == ([path] if is_last else [path, "/last"])


def test_18_an_answer_before_the_body_arrived_keeps_the_connection_in_step(listener: Listener) -> None:
    with listener.connect() as client:
        client.send(post("/unread", "Content-Length: 40"))
        assert "connection" not in client.read_answer().headers
        client.send(get("/smuggled")[:40] + LAST)
        assert client.read_answer().told()["target"] == "/last"
    assert listener.echo.targets == ["/unread", "/last"]


@pytest.mark.parametrize("body", [b"", b"0\r\n\r\n"])
def test_18_whether_a_connection_goes_on_after_an_unread_chunked_body_does_not_hang_on_its_arrival(
    listener: Listener, body: bytes
) -> None:
    with listener.connect() as client:
        client.send(post("/unread", "Transfer-Encoding: chunked", body=body))
        assert client.read_answer().headers["connection"] == "close"


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_18_too_long_a_body_that_nobody_reads_ends_the_connection(listener: Listener, framing: str) -> None:
    with listener.connect() as client:
        client.send(post("/unread", framing))
        answer = client.read_answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        client.send(get("/smuggled") * 1000)
        assert client.read_to_end() == b""
    assert listener.echo.targets == ["/unread"]


def test_19_the_body_is_asked_for_only_when_the_application_reads_it(listener: Listener) -> None:
    expecting = ("Expect: 100-Continue", "Content-Length: 5")
    with listener.connect() as client:
        client.send(post("/read", *expecting))
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello" + LAST)
        assert client.read_answer().told()["body"] == "hello"
        assert client.read_answer().told()["target"] == "/last"
    (answer,) = split_answers(listener.exchange(post("/unread", *expecting)))
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_19_nothing_is_asked_for_when_the_body_came_along_or_there_is_none(listener: Listener) -> None:
    first, second = split_answers(
        listener.exchange(post("/a", "Expect: 100-continue", "Content-Length: 5", body=b"hello"), end=True)
        + listener.exchange(get("/b", "Expect: 100-continue", "Connection: close"))
    )
    assert (first.told()["body"], second.told()["target"]) == ("hello", "/b")


def test_20_pipelined_requests_are_answered_in_order_up_to_the_bad_one(listener: Listener) -> None:
    paths = [f"/{number}" for number in range(500)]
    flight = b"".join(map(get, paths)) + b"GET /bad HTTP/1.1\r\nHost : a\r\n\r\n" + b"".join(map(get, paths))
    *answers, last = split_answers(listener.exchange(flight))
    assert [answer.told()["target"] for answer in answers] == paths
    assert (last.status, last.headers["connection"]) == (400, "close")
    assert listener.echo.targets == paths


def test_20_a_flight_larger_than_the_buffer_is_answered_whole(listener: Listener) -> None:
    flight = get("/x", "X: " + "y" * 4000) * 500 + LAST
    with listener.connect() as client:
        client.socket.setblocking(False)
        answers_seen, sent = 0, 0
        client.socket.settimeout(20)
        while answers_seen <= 500:
            sent += client.socket.send(flight[sent : sent + 100_000]) if sent < len(flight) else 0
            if sent == len(flight) or client.unread or answers_seen < sent // 4100:
                client.read_answer()
                answers_seen += 1
        assert client.read_to_end() == b""
    assert len(listener.echo.seen) == 501


def test_79_single_bytes_make_the_same_requests(listener: Listener) -> None:
    flight = post("/a?b", "Content-Length: 5", body=b"hello") + post("/c", "Content-Length: 0") + LAST
    at_once = split_answers(listener.exchange(flight))
    with listener.connect() as client:
        for position in range(len(flight)):
            client.send(flight[position : position + 1])
        one_by_one = split_answers(client.read_to_end())
    assert [answer.told() for answer in one_by_one] == [answer.told() for answer in at_once]
    assert [answer.told()["body"] for answer in at_once] == ["hello", "", ""]


def test_an_http_1_0_connection_ends_after_its_answer_and_never_sees_chunks(listener: Listener) -> None:
    for path in ("/", "/streamed"):
        data = listener.exchange(f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode() + GET)
        head, _, body = data.partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert b"chunked" not in head
        assert json.loads(body)["target"] == path


@pytest.mark.parametrize("option", ["close", "Close", "keep-alive, close", "x,\tclose ,y"])
def test_nothing_is_parsed_after_a_request_that_says_close(listener: Listener, option: str) -> None:
    (answer,) = split_answers(listener.exchange(get("/a", f"Connection: {option}") + GET))
    assert answer.headers["connection"] == "close"
    assert listener.echo.targets == ["/a"]


def test_a_half_closed_client_gets_every_answer_that_it_is_owed(listener: Listener) -> None:
    answers = split_answers(listener.exchange(GET * 3 + get("/streamed"), end=True))
    assert [answer.status for answer in answers] == [200] * 4


@pytest.mark.parametrize(
    "cut", [b"G", b"GET / HTTP/1.1\r\nHost: a.ex", post("/", "Content-Length: 5", body=b"hel"), GET + b"GET / HT"]
)
def test_a_request_that_ends_early_is_refused(listener: Listener, cut: bytes) -> None:
    *_, answer = split_answers(listener.exchange(cut, end=True))
    assert answer.status == 400


def test_a_failed_application_answers_500_and_a_torn_answer_is_not_whole(listener: Listener) -> None:
    (answer,) = split_answers(listener.exchange(get("/broken")))
    assert (answer.status, answer.headers["connection"]) == (500, "close")
    with listener.connect() as client:
        client.send(get("/torn"))
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_answer()


def test_a_refused_client_reads_why_however_much_it_still_sends(listener: Listener) -> None:
    with listener.connect() as client:
        client.send(post("/", "Content-Length: 5", "Content-Length: 6", body=b"x" * 8_000_000))
        (answer,) = split_answers(client.read_to_end())
    assert answer.status == 400


def test_a_malformed_body_is_refused_while_the_application_reads_it(listener: Listener) -> None:
    with listener.connect() as client:
        client.send(post("/", "Transfer-Encoding: chunked", "Expect: 100-continue"))
        client.read_until(b"100 Continue\r\n\r\n")
        client.send(b"5\r\nhelloXX" + LAST)
        (answer,) = split_answers(client.read_to_end())
    assert answer.status == 400
    assert "/last" not in listener.echo.targets


def test_a_connection_ends_after_its_last_request() -> None:
    with listening(HttpLimits(requests_count_max=3)) as listener:
        answers = split_answers(listener.exchange(GET * 5))
    assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]


def test_31_past_the_limit_of_connections_a_client_is_told_and_the_others_go_on() -> None:
    with listening(HttpLimits(connections_count_max=2)) as listener:
        with listener.connect() as first, listener.connect() as second:
            for client in (first, second):
                client.send(GET)
                assert client.read_answer().status == 200
            (answer,) = split_answers(listener.exchange(b""))
            assert answer.status == 503
            first.send(LAST)
            assert first.read_answer().status == 200
            assert first.read_to_end() == b""
        assert split_answers(listener.exchange(LAST))[0].status == 200


def test_a_worker_that_ends_closes_idle_connections_and_answers_the_others() -> None:
    with listening(HttpLimits(drain_idle_s=0.1)) as listener, ExitStack() as stack:
        idle, asking, busy = (stack.enter_context(listener.connect()) for _ in range(3))
        idle.send(GET)
        assert idle.read_answer().status == 200
        asking.send(GET[:20])
        busy.send(post("/", "Content-Length: 5", "Expect: 100-continue"))
        busy.read_until(b"100 Continue\r\n\r\n")
        listener.server.should_exit = True
        assert idle.read_to_end() == b""
        busy.send(b"hello")
        answer = busy.read_answer()
        assert (answer.told()["body"], answer.headers["connection"]) == ("hello", "close")
        asking.send(GET[20:])
        answer = asking.read_answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_connections_of_one_address_are_limited_where_that_is_asked_for() -> None:
    with listening(HttpLimits(connections_per_address_max=2)) as listener:
        with listener.connect() as first, listener.connect() as second:
            for client in (first, second):
                client.send(GET)
                assert client.read_answer().status == 200
            with listener.connect() as third:
                (answer,) = split_answers(third.read_to_end())
                assert (answer.status, answer.headers["connection"]) == (429, "close")
            assert Reading(tuple(listener.cells)).count(REFUSALS, reason="address full") == 1
        assert any(is_answered(listener) for _ in range(TRIES_MAX)), "when they are gone there is room again"


def is_answered(listener: Listener) -> bool:
    with listener.connect() as client, suppress(ConnectionError):
        client.send(GET)
        return client.read_answer().status == 200
    return False
