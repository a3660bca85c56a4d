"""A header block is taken for a known one only where the strict reading finds the same meaning."""

from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.server import FIELDS_READ
from router.http1.head import FieldBlock, parse_field_block
from router.http1.refusal import Refused
from router.known_block import KnownBlock

NAMES = ("Host", "Cookie", "User-Agent", "Connection", "Accept-Encoding", "X-Forwarded-Proto", "Content-Length", "X-A",
         "Transfer-Encoding", "If-None-Match", "Range", "cookie", "Expect")  # fmt: skip
VALUES = (
    "a.example",
    "b.example",
    "close",
    "gzip",
    "",
    " ",
    "https",
    "0",
    "5",
    "x\ty",
    "\u00e9",
    "chunked",
    "100-continue",
)
LINES = st.builds("{}:{}{}".format, st.sampled_from(NAMES), st.sampled_from(("", " ", "\t")), st.sampled_from(VALUES))
BLOCKS = st.lists(LINES, min_size=1, max_size=5)


def bytes_of(lines: list[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("utf-8")


def known_of(data: bytes, bytes_max: int = 2000) -> KnownBlock | None:
    try:
        block = parse_field_block(data[:-2], count_max=100)
    except Refused:
        return None
    return KnownBlock(data, block, host=block.host or b"", scheme="http", bytes_max=bytes_max)


def meaning(data: bytes) -> object:
    """What the strict reading finds; None where it refuses."""
    try:
        block: FieldBlock = parse_field_block(data[:-2], count_max=100)
    except Refused:
        return None
    telling = [field for field in block.fields if field[0] in FIELDS_READ | {b"x-forwarded-proto"}]
    return (block.host, block.content_length, block.is_chunked, block.asks_to_close, block.expects_continue, telling)


@given(lines=BLOCKS, changes=st.lists(st.tuples(st.integers(0, 4), LINES), max_size=4), tail=st.binary(max_size=4))
@settings(max_examples=2000)
def test_what_is_taken_for_known_means_the_same(lines: list[str], changes: list[tuple[int, str]], tail: bytes) -> None:
    known = known_of(bytes_of(lines))
    if known is None:
        return
    expected = meaning(known.data)
    for index, line in changes:
        data = bytes_of([line if number == index else old for number, old in enumerate(lines)])
        if known.end_in(data + tail, 0) == len(data) or known.learn(data):
            assert meaning(data) == expected
        end = known.end_in(b"GET / HTTP/1.1\r\n" + data + tail, 16)
        assert end in (-1, 16 + len(data))


@given(value=st.binary(max_size=40))
@settings(max_examples=1000)
def test_a_changed_value_is_taken_only_where_it_is_one(value: bytes) -> None:
    known = known_of(b"Host: a.example\r\nCookie: a\r\nX-A: b\r\n\r\n")
    assert known is not None
    assert known.learn(b"Host: a.example\r\nCookie: b\r\nX-A: b\r\n\r\n")
    data = b"Host: a.example\r\nCookie:" + value + b"\r\nX-A: b\r\n\r\n"
    is_taken = known.end_in(data, 0) == len(data)
    assert is_taken == (meaning(data) is not None and b"\r\n" not in value)


def test_a_changed_value_makes_no_longer_block_than_may_be() -> None:
    known = known_of(b"Host: a\r\nCookie: a\r\n\r\n", bytes_max=40)
    assert known is not None
    assert known.learn(b"Host: a\r\nCookie: b\r\n\r\n")
    assert known.end_in(b"Host: a\r\nCookie: %b\r\n\r\n" % (b"c" * 19), 0) == 40
    assert known.end_in(b"Host: a\r\nCookie: %b\r\n\r\n" % (b"c" * 20), 0) == -1


def test_lines_that_come_or_go_are_no_change_of_a_value() -> None:
    known = known_of(b"Host: a\r\nX: 1\r\n\r\n")
    assert known is not None
    for data in (
        b"Host: a\r\n\r\n",
        b"Host: a\r\nX: 1\r\nY: 1\r\n\r\n",
        b"Host: a\r\nZ: 1\r\n\r\n",
        b"Host: b\r\nX: 1\r\n\r\n",
    ):
        assert not known.learn(data)


HOSTS = st.sampled_from(
    ("b.example", "B.EXAMPLE:80", "", " b.example", "b.example ", "b example", "[::1]",
     "b.example\r\nContent-Length: 5", "b.example\r\nHost: c.example", "b\x00", "\u00e9",
     "b.example\r\n\r\nGET / HTTP/1.1\r\nHost: c.example")
)  # fmt: skip


@given(lines=BLOCKS, host=HOSTS, name=st.sampled_from(("Host", "host", "X-Host", "Host ")))
@settings(max_examples=1000)
def test_what_is_taken_for_another_hosts_block_means_what_the_strict_reading_finds(
    lines: list[str], host: str, name: str
) -> None:
    known = known_of(bytes_of([f"{name}: a.example", *lines]))
    if known is None:
        return
    data = bytes_of([f"{name}: {host}", *lines])
    other = known.for_other_host(data)
    if other is None:
        return
    strict = known_of(data)
    assert strict is not None
    read = ("data", "host", "scheme", "keep_alive", "choices", "fields", "conditions", "line_end", "generation")
    assert [getattr(other, name) for name in read] == [getattr(strict, name) for name in read]
    before, now = meaning(known.data), meaning(data)
    assert isinstance(before, tuple)
    assert isinstance(now, tuple)
    assert before[1:] == now[1:]


def test_the_next_hosts_block_is_known_by_its_rest() -> None:
    known = known_of(bytes_of(["User-Agent: x", "Host: a.example", "Accept-Encoding: br"]))
    assert known is not None
    other = known.for_other_host(bytes_of(["User-Agent: x", "Host: b.example", "Accept-Encoding: br"]))
    assert other is not None
    assert (other.host, other.route, other.find(b"")) == (b"b.example", None, None)
    assert known.for_other_host(bytes_of(["User-Agent: y", "Host: b.example", "Accept-Encoding: br"])) is None
