"""Every payload of payloads.py over a real socket: one answer, the connection closed, nothing after it parsed."""

import pytest

from tests.hardening.listener import Listener, split_answers
from tests.hardening.payloads import REFUSED, SMUGGLED, Payload


@pytest.mark.parametrize("payload", REFUSED, ids=str)
def test_is_refused_once_and_nothing_after_it_is_parsed(listener: Listener, payload: Payload) -> None:
    (answer,) = split_answers(listener.exchange(payload.data + SMUGGLED))
    assert answer.status == payload.status
    assert answer.headers["connection"] == "close"
    assert "/smuggled" not in listener.echo.targets


def test_a_refusal_never_repeats_the_client_s_bytes(listener: Listener) -> None:
    (answer,) = split_answers(listener.exchange(b"GET / HTTP/1.1\r\nHost: <script>\r\n\r\n"))
    assert b"script" not in answer.body
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("payload", [b"", b"Host: a, b\r\n", b"Host: a.example\r\nX\r\n"])
def test_39_a_refused_head_gets_the_same_headers_without_a_body(listener: Listener, payload: bytes) -> None:
    (to_get,) = split_answers(listener.exchange(b"GET / HTTP/1.1\r\n" + payload + b"\r\n"))
    (to_head,) = split_answers(listener.exchange(b"HEAD / HTTP/1.1\r\n" + payload + b"\r\n"), heads=(0,))
    del to_get.headers["date"], to_head.headers["date"]
    assert (to_head.status, to_head.headers) == (to_get.status, to_get.headers)
    assert to_get.body
