import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.blob_file import (
    HEADER_BYTES_MAX,
    LINKS_BYTES_MAX,
    BlobUnreadable,
    checksum,
    encode_blob,
    parse_blob_header,
)
from asset_server.manifest import PATH_BYTES_MAX, Encodings

CONTENT = b"a page\n" * 100
VARIANTS = {Encodings.BR: b"short", Encodings.ZSTD: b"shorter"}
LINKS = '</a.css>; rel="preload"'


def blob() -> bytes:
    return b"".join(encode_blob(CONTENT, VARIANTS, extension="html", links=LINKS))


@given(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(list(Encodings)[1:]), st.binary(max_size=50)),
    st.none() | st.text(max_size=10).filter(str.isprintable),
    st.text(st.characters(codec="ascii"), max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_header_says_where_each_representation_lies(
    content: bytes, variants: dict[Encodings, bytes], extension: str | None, links: str
) -> None:
    data = b"".join(encode_blob(content, variants, extension=extension, links=links))
    header = parse_blob_header(data, file_bytes=len(data))
    assert (header.extension, header.links, header.size_bytes) == (extension, links, len(content))
    for encoding, body in {Encodings.NONE: content, **variants}.items():
        representation = header.representations[encoding]
        assert data[representation.offset :][: representation.length] == body
        assert representation.checksum == checksum(body)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_flipped_bit_is_found_by_a_checksum(data: st.DataObject) -> None:
    damaged = bytearray(blob())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        header = parse_blob_header(bytes(damaged), file_bytes=len(damaged))
    except BlobUnreadable:
        return
    bodies = [(each, damaged[each.offset :][: each.length]) for each in header.representations.values()]
    assert any(checksum(bytes(body)) != each.checksum for each, body in bodies)


def test_a_cut_off_blob_is_refused_at_every_length() -> None:
    whole = blob()
    for length in range(len(whole)):
        with pytest.raises(BlobUnreadable):
            parse_blob_header(whole[:length], file_bytes=length)


def test_the_longest_header_fits_the_first_read() -> None:
    variants = dict.fromkeys(list(Encodings)[1:], b"")
    head = encode_blob(b"", variants, extension="x" * PATH_BYTES_MAX, links="x" * LINKS_BYTES_MAX)[0]
    assert len(head) <= HEADER_BYTES_MAX


def test_the_proving_extension_may_be_none_yet_or_empty() -> None:
    for extension in (None, ""):
        data = b"".join(encode_blob(CONTENT, {}, extension=extension))
        assert parse_blob_header(data, file_bytes=len(data)).extension == extension
