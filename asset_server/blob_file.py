"""What lies in one blob's file: its identity bytes and their compressed forms, each under a checksum.

    prefix | one row per representation | extension | early-hint links | checksum of all that | the representations

The identity bytes are the first representation. `extension` is the one under which the asset key was proven from
the bytes, or None while that is still open (a blob in `uploads/`). Pure: bytes in, bytes out.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from asset_server.manifest import ASSET_BYTES_MAX, ENCODINGS_BY_NUMBER, PATH_BYTES_MAX, Encodings

MAGIC: Final = b"ohbf"
VERSION: Final = 1
PREFIX: Final = struct.Struct(">4sBBBxHHI")
"""Magic, version, count of representations, whether the key is proven, bytes of: extension, links, header."""
ROW: Final = struct.Struct(">B3xI16s")
"""Encoding, length in bytes, checksum."""
CHECKSUM_BYTES: Final = 16
REPRESENTATIONS_MAX: Final = 4
LINKS_BYTES_MAX: Final = 4096
HEADER_BYTES_MAX: Final = (
    PREFIX.size + REPRESENTATIONS_MAX * ROW.size + PATH_BYTES_MAX + LINKS_BYTES_MAX + CHECKSUM_BYTES
)


class BlobUnreadable(ValueError):
    """A blob's header isn't what `encode_blob` writes. The message follows the blob's name."""


@dataclass(frozen=True, slots=True)
class Representation:
    """Where one representation lies in the file."""

    offset: int
    length: int
    checksum: bytes


@dataclass(frozen=True, slots=True)
class BlobHeader:
    """`representations` always has Encodings.NONE, the identity bytes."""

    extension: str | None
    links: str
    representations: Mapping[Encodings, Representation]

    @property
    def size_bytes(self) -> int:
        return self.representations[Encodings.NONE].length

    @property
    def encodings(self) -> Encodings:
        combined = Encodings.NONE
        for encoding in self.representations:
            combined |= encoding
        return combined

    @property
    def file_bytes(self) -> int:
        return max(each.offset + each.length for each in self.representations.values())


def checksum(content: bytes | memoryview) -> bytes:
    return blake3(content).digest(length=CHECKSUM_BYTES)


def encode_blob(
    content: bytes, variants: Mapping[Encodings, bytes], *, extension: str | None, links: str = ""
) -> list[bytes]:
    """The file's parts in order, for one vectored write. `links` is ASCII."""
    bodies = {Encodings.NONE: content, **variants}
    rows = b"".join(ROW.pack(encoding, len(body), checksum(body)) for encoding, body in bodies.items())
    extension_bytes, links_bytes = (extension or "").encode("utf-8"), links.encode("ascii")
    header_bytes = PREFIX.size + len(rows) + len(extension_bytes) + len(links_bytes) + CHECKSUM_BYTES
    prefix = PREFIX.pack(
        MAGIC, VERSION, len(bodies), extension is not None, len(extension_bytes), len(links_bytes), header_bytes
    )
    head = b"".join((prefix, rows, extension_bytes, links_bytes))
    return [head + checksum(head), *bodies.values()]


def parse_blob_header(data: bytes, *, file_bytes: int) -> BlobHeader:
    """`data` is the file's beginning, at least HEADER_BYTES_MAX or all of it. Raises BlobUnreadable unless the
    header is whole and the file is exactly as long as it says: so a cut-off blob is found before a byte is sent."""
    if len(data) < PREFIX.size + CHECKSUM_BYTES:
        raise BlobUnreadable(f"has {file_bytes} bytes, fewer than any header")
    magic, version, count, is_proven, extension_bytes, links_bytes, header_bytes = PREFIX.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise BlobUnreadable(f"is no blob of version {VERSION}")
    rows_end = PREFIX.size + count * ROW.size
    checksum_at = rows_end + extension_bytes + links_bytes
    if header_bytes != checksum_at + CHECKSUM_BYTES or len(data) < header_bytes:
        raise BlobUnreadable("has a header that is cut off or damaged")
    if checksum(data[:checksum_at]) != data[checksum_at:header_bytes]:
        raise BlobUnreadable("has a header that doesn't match its checksum")
    representations: dict[Encodings, Representation] = {}
    offset = header_bytes
    for number in range(count):
        encoding, length, digest = ROW.unpack_from(data, PREFIX.size + number * ROW.size)
        if encoding >= len(ENCODINGS_BY_NUMBER) or length > 2 * ASSET_BYTES_MAX:
            raise BlobUnreadable("has a representation out of range")
        representations[ENCODINGS_BY_NUMBER[encoding]] = Representation(offset, length, digest)
        offset += length
    if Encodings.NONE not in representations or offset != file_bytes:
        raise BlobUnreadable(f"has {file_bytes} bytes, its header says {offset}")
    extension = data[rows_end : rows_end + extension_bytes].decode("utf-8", "replace")
    links = data[rows_end + extension_bytes : checksum_at].decode("ascii", "replace")
    return BlobHeader(extension if is_proven else None, links, representations)
