"""Requests that look odd and are right: what of them reaches the application, and what doesn't."""

import pytest

from tests.hardening.listener import Listener, split_answers

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n"
CLOSE = b"Connection: close\r\n\r\n"


def told(listener: Listener, data: bytes) -> dict[str, object]:
    (answer,) = split_answers(listener.exchange(data))
    assert answer.status == 200
    return answer.told()


def test_10_trailers_are_never_merged_into_the_headers(listener: Listener) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"5\r\nhello\r\n0\r\n"
        b"Host: b.example\r\nContent-Length: 7\r\nX-Trailer: y\r\n\r\n"
    )
    seen = told(listener, request)
    assert seen["body"] == "hello"
    assert seen["headers"] == [["host", "a.example"], ["transfer-encoding", "chunked"], ["connection", "close"]]


def test_09_chunk_extensions_within_bounds_are_ignored(listener: Listener) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: Chunked\r\n" + CLOSE + b'5;a;b=c ; d="e;\\""\r\n'
        b"hello\r\nA\r\n, everyone\r\n0;last\r\n\r\n"
    )
    assert told(listener, request)["body"] == "hello, everyone"


def test_14_bytes_above_0x7e_in_a_value_are_opaque(listener: Listener) -> None:
    seen = told(listener, GET + b"X: \x7f\x80\x85\xa0\xff\r\n" + CLOSE)
    assert ["x", "\x7f\x80\x85\xa0\xff"] in seen["headers"]  # type: ignore[operator]


def test_76_only_blanks_and_tabs_are_stripped_from_a_value(listener: Listener) -> None:
    seen = told(listener, GET + b"X: \t \xa0a\x85 \t\r\n" + CLOSE)
    assert ["x", "\xa0a\x85"] in seen["headers"]  # type: ignore[operator]


def test_15_names_are_lower_cased_and_keep_their_underscores(listener: Listener) -> None:
    seen = told(listener, GET + b"X_Y-Z: a\r\nEmpty:\r\n" + CLOSE)
    assert ["x_y-z", "a"] in seen["headers"]  # type: ignore[operator]
    assert ["empty", ""] in seen["headers"]  # type: ignore[operator]


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND", "M-SEARCH", "VERSION-CONTROL", "QUERY"])
def test_16_other_methods_are_the_application_s_to_refuse(listener: Listener, method: str) -> None:
    seen = told(listener, method.encode() + b" /x HTTP/1.1\r\nHost: a.example\r\n" + CLOSE)
    assert (seen["method"], seen["target"]) == (method, "/x")


@pytest.mark.parametrize(
    ("target", "origin_form"),
    [
        (b"http://b.example/x?y", "/x?y"),
        (b"HTTPS://b.example", "/"),
        (b"http://b.example?y", "/?y"),
        (b"http://b.example//c.example/", "//c.example/"),
    ],
)
def test_22_the_host_of_an_absolute_target_wins(listener: Listener, target: bytes, origin_form: str) -> None:
    seen = told(listener, b"GET " + target + b" HTTP/1.1\r\nX: y\r\nHost: a.example\r\n" + CLOSE)
    assert seen["target"] == origin_form
    assert [value for name, value in seen["headers"] if name == "host"] == ["b.example"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("host", ["a.example", "A.Example.", "a.example:8787", "a:", "[::1]:80", "127.0.0.1", "x_y"])
def test_23_24_a_valid_host_arrives_as_it_was_sent(listener: Listener, host: str) -> None:
    seen = told(listener, b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\n" + CLOSE)
    assert seen["headers"] == [["host", host], ["connection", "close"]]


@pytest.mark.parametrize("target", [b"*", b"http://a.example"])
def test_27_options_for_the_server_is_answered_without_the_application(listener: Listener, target: bytes) -> None:
    ping = b"OPTIONS " + target + b" HTTP/1.1\r\nHost: a.example\r\n\r\n"
    first, second = split_answers(listener.exchange(ping + GET + CLOSE))
    assert (first.status, second.status) == (204, 200)
    assert listener.echo.targets == ["/"]


def test_29_what_a_client_says_of_proxies_changes_nothing(listener: Listener) -> None:
    claims = (
        b"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=9.9.9.9\r\n"
    )
    seen = told(listener, GET + claims + CLOSE)
    assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")
    assert ["host", "a.example"] in seen["headers"]  # type: ignore[operator]


def test_32_limits_are_of_what_is_above_them(listener: Listener) -> None:
    seen = told(listener, b"GET /" + b"a" * 16383 + b" HTTP/1.1\r\nHost: a.example\r\n" + b"X: y\r\n" * 98 + CLOSE)
    assert len(str(seen["target"])) == 16384
    assert len(seen["headers"]) == 100  # type: ignore[arg-type]


def test_one_empty_line_before_a_request_is_skipped(listener: Listener) -> None:
    first, second = split_answers(listener.exchange(b"\r\n" + GET + b"\r\n" + b"\r\n" + GET + CLOSE))
    assert (first.status, second.status) == (200, 200)
    (answer,) = split_answers(listener.exchange(b"\r\n\r\n" + GET + CLOSE))
    assert answer.status == 400
