"""The reader: the same messages for every cut, and nothing taken from the next one."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from router.http1.limits import HttpLimits
from router.http1.refusal import Refused
from router.http1.request_reader import RequestReader
from tests.hardening.payloads import CHUNKED, GET, HOST, REFUSED, SMUGGLED, get, post

Outcome = list[tuple[str, bytes, bytes | None, bytes] | int]

ACCEPTED = [
    b"".join((post(b"Content-Length: 0"), SMUGGLED)),
    b"".join((post(b"Content-Length: 5", body=b"hello"), b"\r\n", SMUGGLED)),
    b"".join((CHUNKED, b"5;a=b\r\nhello\r\n0010\r\n0123456789abcdef\r\n0\r\nX: y\r\nZ: w\r\n\r\n", SMUGGLED)),
    b"".join((get(), get(b"X: \t y \t"), b"OPTIONS * HTTP/1.0\r\n\r\n", SMUGGLED)),
    b"".join((get(), b"GET http://b.example/?x HTTP/1.1\r\n", HOST, b"\r\n", get(b"X : y"), SMUGGLED)),
]
STREAMS = [payload.data + SMUGGLED for payload in REFUSED] + ACCEPTED


def read(pieces: list[bytes]) -> Outcome:
    """Requests as (method, path, query, body), ended by a refusal's status or by what is unfinished: nothing."""
    reader = RequestReader(HttpLimits())
    outcome: Outcome = []
    head, body = None, b""
    for piece in pieces:
        reader.receive(piece)
        try:
            while True:
                if head is None:
                    head = reader.next_head()
                    if head is None:
                        break
                if not reader.body_is_complete:
                    body += reader.next_body_part()
                if not reader.body_is_complete:
                    break
                outcome.append((head.method, head.path, head.query, body))
                head, body = None, b""
        except Refused as refused:
            return [*outcome, refused.status.value]
    return outcome


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STREAMS), st.data())
def test_79_every_segmentation_reads_the_same(stream: bytes, data: st.DataObject) -> None:
    interesting = st.integers(0, min(len(stream), 400)) | st.integers(0, len(stream))
    cuts = sorted({0, *data.draw(st.lists(interesting, max_size=8)), len(stream)})
    pieces = [stream[start:end] for start, end in pairwise(cuts)]
    assert read(pieces) == read([stream])


def test_79_single_bytes_read_the_same_at_every_offset() -> None:
    for stream in STREAMS:
        if len(stream) < 2000:
            assert read([stream[at : at + 1] for at in range(len(stream))]) == read([stream]), stream


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([stream for stream in STREAMS if len(stream) < 2000]), st.data())
def test_no_byte_makes_the_reader_fail_otherwise_than_by_refusing(stream: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(stream)))
    noise = data.draw(st.binary(max_size=3) | st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b":", b"\x00", b"0"]))
    cut = data.draw(st.integers(0, 3))
    changed = stream[:at] + noise + stream[at + cut :]
    assert read([changed]) == read([changed[: at + 1], changed[at + 1 :]])


def test_a_message_takes_exactly_its_bytes() -> None:
    (*requests, last) = read([b"".join(ACCEPTED[:4])])
    assert [request[1] for request in requests if isinstance(request, tuple)].count(b"/smuggled") == 3
    assert last == ("GET", b"/smuggled", None, b"")
    bodies = [request[3] for request in requests if isinstance(request, tuple)]
    assert bodies == [b"", b"", b"hello", b"", b"hello0123456789abcdef", b"", b"", b"", b""]


def test_an_unfinished_head_is_told_from_no_head() -> None:
    reader = RequestReader(HttpLimits())
    for part, is_in_head in ((b"", False), (b"\r", True), (b"\n", True), (GET, True), (HOST, True), (b"\r\n", False)):
        reader.receive(part)
        head = reader.next_head()
        assert reader.in_head is is_in_head
    assert head is not None


def test_a_body_is_complete_once_all_of_it_was_taken() -> None:
    reader = RequestReader(HttpLimits())
    reader.receive(post(b"Content-Length: 5", body=b"he"))
    reader.next_head()
    assert (reader.next_body_part(), reader.body_is_complete) == (b"he", False)
    reader = RequestReader(HttpLimits())
    reader.receive(CHUNKED)
    reader.next_head()
    assert (reader.next_body_part(), reader.body_is_complete) == (b"", False)
    reader.receive(b"0\r\n\r\n")
    assert (reader.next_body_part(), reader.body_is_complete) == (b"", True)
