"""The chunked coding, decoded as it arrives."""

from hypothesis import given
from hypothesis import strategies as st

from router.http1.chunked import ChunkedBody
from router.http1.limits import HttpLimits

extensions = st.sampled_from([b"", b";a", b" ; a=b", b';a="b;\\"c"', b";a;b=c"])
sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"000%x"])


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), sizes, extensions)), st.binary(max_size=20), st.data())
def test_content_comes_out_whole_and_what_follows_stays(
    chunks: list[tuple[bytes, bytes, bytes]], following: bytes, data: st.DataObject
) -> None:
    stream = b"".join(size % len(piece) + extension + b"\r\n" + piece + b"\r\n" for piece, size, extension in chunks)
    stream += b"0\r\nTrailer: x\r\n\r\n" + following
    body, content, left, position = ChunkedBody(HttpLimits()), b"", b"", 0
    while position < len(stream):
        step = data.draw(st.integers(1, 30))
        part, left = body.decode(left + stream[position : position + step])
        content, position = content + part, position + step
    assert body.is_complete
    assert content == b"".join(piece for piece, _, _ in chunks)
    assert left == following
