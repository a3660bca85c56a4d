"""Heads: what a line and a field block mean, alone and together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.http1.field_lines import split_field_lines
from router.http1.head import RequestHead, compose_head, parse_field_block
from router.http1.refusal import Refused
from router.http1.request_line import parse_request_line

TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
names = st.text(TOKEN_CHARACTERS, min_size=1, max_size=20).map(str.encode)
value_bytes = st.sampled_from([byte for byte in range(256) if byte == 9 or byte >= 0x20])
values = st.lists(value_bytes, max_size=30).map(bytes)
blanks = st.sampled_from([b"", b" ", b"\t", b" \t "])


def head(line: bytes, *lines: bytes) -> RequestHead:
    block = parse_field_block(b"".join(each + b"\r\n" for each in lines), count_max=100)
    return compose_head(parse_request_line(line + b"\r\n", target_bytes_max=16384), block)


@given(st.lists(st.tuples(names, blanks, values, blanks)))
def test_field_lines_of_the_grammar_split_into_what_was_written(lines: list[tuple[bytes, ...]]) -> None:
    block = b"".join(b"%b:%b%b%b\r\n" % line for line in lines)
    assert split_field_lines(block) == [(name.lower(), value.strip(b" \t")) for name, _, value, _ in lines]


@given(st.lists(st.tuples(names, values), min_size=1), st.data())
def test_one_foreign_byte_in_a_name_or_value_refuses_the_block(
    lines: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    rendered = [b"%b: %b\r\n" % line for line in lines]
    at = data.draw(st.integers(0, len(lines) - 1))
    name, value = lines[at]
    if data.draw(st.booleans()):
        foreign = data.draw(st.sampled_from(b'\x00\r\n\x7f\x80 \t"(),/;<=>?@[]{}\\').map(lambda byte: bytes((byte,))))
        rendered[at] = b"%b%b: %b\r\n" % (name, foreign, value)
    else:
        foreign = data.draw(st.sampled_from(b"\x00\x01\x08\x0b\x0c\x1f\n").map(lambda byte: bytes((byte,))))
        rendered[at] = b"%b: %bx%b\r\n" % (name, value, foreign)
    with pytest.raises(Refused):
        split_field_lines(b"".join(rendered))


@pytest.mark.parametrize("hostile", [b"a" * 30_000, b" " * 30_000, b"a: " + b" \t" * 15_000, b"a:b\r\n" * 6_000 + b"c"])
def test_a_malformed_block_is_refused_without_trying_it_again_and_again(hostile: bytes) -> None:
    with pytest.raises(Refused):
        split_field_lines(hostile)


def test_an_absolute_target_s_host_replaces_the_header_and_keeps_the_others_in_order() -> None:
    seen = head(b"GET http://b.example:81/x?y HTTP/1.1", b"A: 1", b"Host: a.example", b"B: 2")
    assert (seen.path, seen.query) == (b"/x", b"y")
    assert seen.fields == [(b"host", b"b.example:81"), (b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize(
    ("line", "lines", "keep_alive"),
    [
        (b"GET / HTTP/1.1", [b"Host: a"], True),
        (b"GET / HTTP/1.1", [b"Host: a", b"Connection: keep-alive"], True),
        (b"GET / HTTP/1.1", [b"Host: a", b"Connection: closed, not-close"], True),
        (b"GET / HTTP/1.1", [b"Host: a", b"Connection: CLOSE"], False),
        (b"GET / HTTP/1.1", [b"Host: a", b"Connection: x", b"Connection: y, close"], False),
        (b"GET / HTTP/1.0", [b"Host: a", b"Connection: keep-alive"], False),
        (b"GET / HTTP/1.0", [], False),
    ],
)
def test_persistence(line: bytes, lines: list[bytes], keep_alive: bool) -> None:
    assert head(line, *lines).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("lines", "content_length"),
    [([], 0), ([b"Content-Length: 0"], 0), ([b"Content-Length: 0042"], 42), ([b"Transfer-Encoding: CHUNKED"], None)],
)
def test_framing(lines: list[bytes], content_length: int | None) -> None:
    assert head(b"POST / HTTP/1.1", b"Host: a", *lines).content_length == content_length


def test_a_body_is_held_back_only_where_there_is_one_and_1_1() -> None:
    expecting = [b"Host: a", b"Expect: 100-continue"]
    assert head(b"POST / HTTP/1.1", *expecting, b"Content-Length: 5").expects_continue
    assert not head(b"POST / HTTP/1.1", *expecting, b"Content-Length: 0").expects_continue
    assert not head(b"POST / HTTP/1.0", *expecting, b"Content-Length: 5").expects_continue


def test_raw_non_ascii_in_a_target_has_one_reading() -> None:
    seen = head("GET /é|^?ü HTTP/1.1".encode(), b"Host: a")
    assert (seen.path, seen.query) == ("/é|^".encode(), "ü".encode())
