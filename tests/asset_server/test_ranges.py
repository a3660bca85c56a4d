import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.ranges import (
    GAP_BYTES_MAX,
    MULTIPART_BYTES_MAX,
    RANGES_MAX,
    ByteRange,
    Unsatisfiable,
    choose_ranges,
    render_multipart,
)

SIZE = 1000

positions = st.integers(0, 1200)
int_ranges = st.tuples(positions, positions).map(lambda pair: (min(pair), max(pair)))
specs = st.one_of(
    int_ranges.map(lambda pair: (f"{pair[0]}-{pair[1]}", range(pair[0], pair[1] + 1))),
    positions.map(lambda first: (f"{first}-", range(first, SIZE))),
    positions.map(lambda count: (f"-{count}", range(max(SIZE - count, 0), SIZE))),
)


@pytest.mark.parametrize(
    ("value", "first", "end"),
    [
        (b"bytes=0-0", 0, 1),
        (b"bytes=0-", 0, SIZE),
        (b"bytes=999-", 999, SIZE),
        (b"bytes=-1", 999, SIZE),
        (b"bytes=-5000", 0, SIZE),
        (b"bytes=10-19", 10, 20),
        (b"bytes=990-5000", 990, SIZE),
        (b"bytes=0-18446744073709551616", 0, SIZE),
        (b"bytes=-99999999999999999999999999", 0, SIZE),
        (b"bytes=0000000000000000000000000000001-2", 1, 3),
        (b"Bytes=1-2", 1, 3),
        (b"bytes= 1-2 ,\t", 1, 3),
        (b"bytes=,1-2", 1, 3),
        (b"bytes=0-9,5-19", 0, 20),
        (b"bytes=10-19,0-9", 0, 20),
        (b"bytes=0-0,2000-3000", 0, 1),
    ],
)
def test_one_range(value: bytes, first: int, end: int) -> None:
    assert choose_ranges([value], SIZE) == [ByteRange(first, end)]


@pytest.mark.parametrize(
    "value",
    [
        b"bytes=-0",
        b"bytes=1000-",
        b"bytes=1000-2000",
        b"bytes=18446744073709551616-",
        b"bytes=" + b"9" * 5_000 + b"-",
        b"bytes=5000-6000,-0",
    ],
)
def test_hardening_37_nothing_within_is_416(value: bytes) -> None:
    assert isinstance(choose_ranges([value], SIZE), Unsatisfiable)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"bytes",
        b"bytes=",
        b"bytes=,",
        b"bytes=-",
        b"bytes=1",
        b"bytes=2-1",
        b"bytes=a-b",
        b"bytes=1-2-3",
        b"bytes = 1-2",
        b"items=1-2",
        b"bytes=1_0-2_0",
        b"bytes=+1-2",
        b"bytes=\xd9\xa1-2",
        b"bytes=1-2\xa0",
        b"bytes=\xa01-2",
        b"bytes=0x1-0x2",
        b"bytes=1-2;x",
        b"bytes=1 - 2",
        b"bytes=1-2,x",
        b"bytes=1-2\x0b",
    ],
)
def test_hardening_76_outside_the_grammar_the_whole_is_sent(value: bytes) -> None:
    assert choose_ranges([value], SIZE) is None


def test_without_range_or_with_two_fields_the_whole_is_sent() -> None:
    assert choose_ranges([], SIZE) is None
    assert choose_ranges([b"bytes=0-1", b"bytes=2-3"], SIZE) is None


def test_an_empty_representation_satisfies_nothing() -> None:
    assert isinstance(choose_ranges([b"bytes=0-0"], 0), Unsatisfiable)
    assert isinstance(choose_ranges([b"bytes=-5"], 0), Unsatisfiable)


def test_hardening_37_a_thousand_ranges_are_answered_whole() -> None:
    ranges = b",".join(b"%d-%d" % (n, n) for n in range(1_000))
    assert choose_ranges([b"bytes=" + ranges], 1_000_000) is None
    assert choose_ranges([b"bytes=" + b"0-0," * RANGES_MAX + b"5-6"], SIZE) is None


def test_hardening_37_overlapping_ranges_are_joined() -> None:
    assert choose_ranges([b"bytes=0-99,50-149,100-199"], SIZE) == [ByteRange(0, 200)]


def test_ranges_that_nearly_touch_are_joined() -> None:
    far = GAP_BYTES_MAX + 1
    assert choose_ranges([b"bytes=0-0,%d-%d" % (far, far)], SIZE) == [ByteRange(0, far + 1)]
    assert choose_ranges([b"bytes=0-0,%d-%d" % (far + 1, far + 1)], SIZE) == [
        ByteRange(0, 1),
        ByteRange(far + 1, far + 2),
    ]


def test_several_ranges_that_make_up_the_whole_are_the_whole() -> None:
    assert choose_ranges([b"bytes=0-499,500-"], SIZE) is None


def test_several_ranges_that_would_copy_much_are_answered_whole() -> None:
    size = 4 * MULTIPART_BYTES_MAX
    assert choose_ranges([b"bytes=0-%d,-%d" % (MULTIPART_BYTES_MAX, MULTIPART_BYTES_MAX)], size) is None


@given(st.lists(specs, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_every_byte_asked_for_is_sent_once_and_in_order(asked: "list[tuple[str, range]]") -> None:
    wanted = {n for _, positions in asked for n in positions if n < SIZE}
    chosen = choose_ranges([("bytes=" + ", ".join(text for text, _ in asked)).encode()], SIZE)
    if isinstance(chosen, Unsatisfiable):
        assert not wanted
        return
    parts = [ByteRange(0, SIZE)] if chosen is None else chosen
    sent = [n for part in parts for n in range(part.first, part.end)]
    assert wanted <= set(sent)
    assert sent == sorted(set(sent))
    assert all(0 <= part.first < part.end <= SIZE for part in parts)


@given(st.binary(max_size=60), st.integers(0, 50))
@settings(max_examples=200, deadline=None)
def test_any_bytes_get_ranges_within_the_representation(value: bytes, size: int) -> None:
    for field in (value, b"bytes=" + value):
        chosen = choose_ranges([field], size)
        if isinstance(chosen, list):
            assert chosen
            assert all(0 <= part.first < part.end <= size for part in chosen)


def test_multipart_has_the_form_of_rfc_9110_14_6() -> None:
    body = render_multipart(b"0123456789", [ByteRange(0, 2), ByteRange(8, 10)], content_type=b"text/x", boundary=b"B")
    assert body == (
        b"--B\r\ncontent-type: text/x\r\ncontent-range: bytes 0-1/10\r\n\r\n01\r\n"
        b"--B\r\ncontent-type: text/x\r\ncontent-range: bytes 8-9/10\r\n\r\n89\r\n--B--\r\n"
    )
