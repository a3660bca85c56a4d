"""Heads of answers: framing by method, version and status, and no byte that would end a line."""

import pytest

from router.http1.answer_head import AnswerInvalid, AnswerTerms, BodyFraming, render_answer_head

GET = AnswerTerms(is_head=False, minor_version=1, keep_alive=True)
HEAD = AnswerTerms(is_head=True, minor_version=1, keep_alive=True)
OLD = AnswerTerms(is_head=False, minor_version=0, keep_alive=True)


def test_a_body_known_whole_gets_its_length() -> None:
    answer = render_answer_head(200, [(b"X", b"y")], GET, whole_body_bytes=5)
    assert answer.data == b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\n"
    assert (answer.framing, answer.content_length, answer.keep_alive) == (BodyFraming.LENGTH, 5, True)


def test_a_body_of_unknown_length_is_chunked_or_ends_the_connection() -> None:
    assert render_answer_head(200, [], GET, whole_body_bytes=None).framing is BodyFraming.CHUNKED
    answer = render_answer_head(200, [], OLD, whole_body_bytes=None)
    assert (answer.framing, answer.keep_alive) == (BodyFraming.UNTIL_CLOSE, False)
    assert answer.data.endswith(b"connection: close\r\n\r\n")


@pytest.mark.parametrize("status", [200, 301, 404, 405, 500])
def test_39_head_gets_what_get_would(status: int) -> None:
    fields = [(b"content-type", b"text/html"), (b"content-length", b"7")]
    to_head = render_answer_head(status, fields, HEAD, whole_body_bytes=0)
    assert to_head.framing is BodyFraming.ABSENT
    assert to_head.data == render_answer_head(status, fields, GET, whole_body_bytes=7).data


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body_for_any_method(status: int) -> None:
    answer = render_answer_head(status, [], GET, whole_body_bytes=0)
    assert answer.framing is BodyFraming.ABSENT
    assert b"transfer-encoding" not in answer.data
    assert b"content-length" not in render_answer_head(204, [(b"content-length", b"0")], GET, whole_body_bytes=0).data
    assert b"content-length: 9" in render_answer_head(304, [(b"content-length", b"9")], GET, whole_body_bytes=0).data


def test_the_connection_s_own_fields_are_the_connection_s() -> None:
    fields = [(b"Connection", b"Close"), (b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")]
    answer = render_answer_head(200, fields, GET, whole_body_bytes=None)
    assert answer.data == b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n"
    assert not answer.keep_alive


@pytest.mark.parametrize(
    "field",
    [
        (b"location", b"/a\r\nSet-Cookie: b=c"),
        (b"location", b"/a\nb"),
        (b"location", b"/a\rb"),
        (b"x\r\ny", b""),
        (b"x: a\r\ny", b"b"),
        (b"", b"a"),
        (b"a b", b"c"),
        (b"x", b"\x00"),
        (b"content-length", b"+5"),
        (b"content-length", b""),
    ],
)
def test_36_no_header_can_become_two(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(AnswerInvalid):
        render_answer_head(200, [field], GET, whole_body_bytes=0)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600])
def test_only_final_statuses_answer(status: int) -> None:
    with pytest.raises(AnswerInvalid):
        render_answer_head(status, [], GET, whole_body_bytes=0)
