"""The binary index of a deployment's paths: bytes in, answers out, no I/O.

    header | entries, sorted by path hash | path table | redirects | headers | function routes

An entry lies under the first 16 bytes of its path's BLAKE3, so that all entries have one width and a path is found
in place: opening a manifest reads its header and nothing per file. The path table (compressed) is for listings
only. The other sections are opaque here. 20,000 files take about 1 MiB.

`Manifest(buffer)` and `find` trust nothing that could lead outside the buffer, but do not prove the whole: whether
the bytes are those that were written is the content id's business (`manifest_id`, recomputed once per process), and
whether they are well formed is `verify`'s.
"""

import struct
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

import zstandard
from blake3 import blake3

from asset_server.content_type import CONTENT_TYPES, content_type_number

MAGIC: Final = b"ohmf"
VERSION: Final = 1
HEADER: Final = struct.Struct(">4sHHIIIIII")
"""Magic, version, depth of the deepest 404.html, count of entries, then bytes of: the path table, the path table
before compression, redirects, headers, function routes."""
ENTRY: Final = struct.Struct(">16s16sIIHBx")
"""Path hash, asset key, size in bytes, expiry in seconds, content-type number, encodings."""
ENTRIES_OFFSET: Final = HEADER.size
PATH_HASH_BYTES: Final = 16
KEY_BYTES: Final = 16
PREFIX_BYTES: Final = 8  # of a path hash: what interpolation computes with
INTERPOLATIONS_MAX: Final = 8
"""Hashes are uniform: 20,000 entries need four probes. Paths chosen to defeat that get a binary search after these."""

ENTRIES_MAX: Final = 200_000  # twice the most files that the public service allows; 20,000 is the usual limit
PATH_BYTES_MAX: Final = 4096
PATH_TABLE_BYTES_MAX: Final = ENTRIES_MAX * 256
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
ASSET_BYTES_MAX: Final = 26_214_400  # 25 MiB, pages-serving 10
NOT_FOUND_PAGE: Final = "404.html"
PATH_END: Final = b"\n"  # ends each path in the table; validate_manifest_path refuses control characters


class Encodings(IntFlag):
    """Which compressed forms an asset has beside its identity bytes. Stored: never renumber."""

    NONE = 0
    BR = 1
    GZIP = 2
    ZSTD = 4


ENCODINGS_ALL: Final = Encodings.BR | Encodings.GZIP | Encodings.ZSTD
ENCODINGS_BY_NUMBER: Final = tuple(Encodings(number) for number in range(ENCODINGS_ALL + 1))
"""Reading by position is ten times as fast as `Encodings(number)`, which every answer would pay for."""


class ManifestCorrupt(ValueError):
    """A manifest's bytes aren't what `encode_manifest` writes: damaged, or of another version."""


@dataclass(frozen=True, slots=True)
class Asset:
    """What a path leads to. `key` is the asset key's 16 raw bytes; `expires_s` (Unix time) is for kept assets only."""

    key: bytes
    size_bytes: int
    content_type: str
    encodings: Encodings = Encodings.NONE
    expires_s: int = 0


def path_hash(path: str) -> bytes:
    """A request's path may hold what UTF-8 can't (lone surrogates): it then hashes to something no file has."""
    return blake3(path.encode("utf-8", "surrogatepass")).digest(length=PATH_HASH_BYTES)


def manifest_id(encoded: bytes | memoryview) -> str:
    """22 characters of base64url. A flipped bit anywhere changes it: compare once per process and id."""
    return urlsafe_b64encode(blake3(encoded).digest(length=16)).rstrip(b"=").decode("ascii")


def encode_manifest(
    assets: Mapping[str, Asset], *, redirects: bytes = b"", headers: bytes = b"", function_routes: bytes = b""
) -> bytes:
    """The same content gives the same bytes, whatever the order of `assets`. The paths have been through
    `validate_manifest_path`; what is out of range here is the caller's defect."""
    if len(assets) > ENTRIES_MAX:
        raise ValueError(f"{len(assets)} files, a manifest holds at most {ENTRIES_MAX}")
    rows = sorted((path_hash(path), path, asset) for path, asset in assets.items())
    entries = b"".join(
        ENTRY.pack(
            hashed,
            asset.key,
            asset.size_bytes,
            asset.expires_s,
            content_type_number(asset.content_type),
            asset.encodings,
        )
        for hashed, _, asset in rows
    )
    # In order of hash, so that the n-th path is the n-th entry's. Level 19 saves 8 % over 3 and costs 20,000 files
    # 60 ms; deploys are rarer than reads, but not that rare.
    table = b"".join(path.encode("utf-8") + PATH_END for _, path, _ in rows)
    packed = zstandard.ZstdCompressor(level=3).compress(table)
    depth = max((path.count("/") for path in assets if path.endswith("/" + NOT_FOUND_PAGE)), default=0)
    header = HEADER.pack(
        MAGIC, VERSION, depth, len(rows), len(packed), len(table), len(redirects), len(headers), len(function_routes)
    )
    return b"".join((header, entries, packed, redirects, headers, function_routes))


class Manifest:
    """A view of an encoded manifest, valid as long as `buffer` is (in the router: within one transaction)."""

    __slots__ = (
        "_buffer",
        "_count",
        "_paths",
        "_paths_bytes",
        "function_routes",
        "headers",
        "not_found_depth",
        "redirects",
    )

    _count: int
    redirects: memoryview
    headers: memoryview
    function_routes: memoryview
    not_found_depth: int
    """Segments of the deepest 404.html: 1 for `/404.html`, 0 when there is none."""

    def __init__(self, buffer: bytes | memoryview) -> None:
        """Raises ManifestCorrupt unless the header is ours and the sections fill the buffer exactly."""
        view = memoryview(buffer)
        if len(view) < HEADER.size:
            raise ManifestCorrupt(f"{len(view)} bytes, a manifest has at least {HEADER.size}")
        magic, version, depth, count, packed, table, redirects, headers, routes = HEADER.unpack_from(view)
        if magic != MAGIC:
            raise ManifestCorrupt("doesn't begin as a manifest")
        if version != VERSION:
            raise ManifestCorrupt(f"version {version}, this release reads {VERSION}")
        offset = ENTRIES_OFFSET + count * ENTRY.size
        if len(view) != offset + packed + redirects + headers + routes:
            raise ManifestCorrupt(f"{len(view)} bytes, its header says otherwise: cut off or damaged")
        self._buffer = view
        self._count = count
        self._paths = view[offset : (offset := offset + packed)]
        self._paths_bytes = table
        self.redirects = view[offset : (offset := offset + redirects)]
        self.headers = view[offset : (offset := offset + headers)]
        self.function_routes = view[offset : offset + routes]
        self.not_found_depth = depth

    def __len__(self) -> int:
        return self._count

    def find(self, path: str) -> Asset | None:
        """Raises ManifestCorrupt when the entry found is out of range."""
        wanted = path_hash(path)
        offset = self._search(wanted)
        return None if offset is None else self._asset(offset)

    def _search(self, wanted: bytes) -> int | None:
        """The offset of the entry whose path hash is `wanted`.

        Interpolation between the bounds' 64-bit prefixes, then bisection. Each probe narrows the bounds, so it ends
        whatever the entries hold; in unsorted ones it misses.
        """
        middle, low, high = 0, 0, self._count - 1
        low_prefix, high_prefix = 0, 2 ** (8 * PREFIX_BYTES) - 1
        wanted_prefix = int.from_bytes(wanted[:PREFIX_BYTES])
        probes = 0
        while low <= high:
            if probes < INTERPOLATIONS_MAX and low_prefix <= wanted_prefix <= high_prefix:
                middle = low + (wanted_prefix - low_prefix) * (high - low) // max(high_prefix - low_prefix, 1)
            else:
                middle = (low + high) // 2
            probes += 1
            found = self._path_hash(middle)
            if found == wanted:
                return ENTRIES_OFFSET + middle * ENTRY.size
            if found < wanted:
                low, low_prefix = middle + 1, int.from_bytes(found[:PREFIX_BYTES])
            else:
                high, high_prefix = middle - 1, int.from_bytes(found[:PREFIX_BYTES])
        return None

    def _path_hash(self, number: int) -> bytes:
        offset = ENTRIES_OFFSET + number * ENTRY.size
        return bytes(self._buffer[offset : offset + PATH_HASH_BYTES])

    def _asset(self, offset: int) -> Asset:
        _, key, size_bytes, expires_s, type_number, encodings = ENTRY.unpack_from(self._buffer, offset)
        if type_number >= len(CONTENT_TYPES):
            raise ManifestCorrupt(f"content type number {type_number}, this release knows {len(CONTENT_TYPES)}")
        if encodings >= len(ENCODINGS_BY_NUMBER) or size_bytes > ASSET_BYTES_MAX:
            raise ManifestCorrupt(f"an entry out of range: encodings {encodings:#x}, {size_bytes} bytes")
        return Asset(key, size_bytes, CONTENT_TYPES[type_number], ENCODINGS_BY_NUMBER[encodings], expires_s)

    def assets(self) -> Iterator[tuple[str, Asset]]:
        """Every path with its asset, in no useful order. Raises ManifestCorrupt."""
        for number, path in enumerate(self._path_table()):
            yield path, self._asset(ENTRIES_OFFSET + number * ENTRY.size)

    def keys(self) -> Iterator[bytes]:
        """Every asset key (raw), without unpacking the path table: for the collector, which reads all manifests."""
        for number in range(self._count):
            offset = ENTRIES_OFFSET + number * ENTRY.size + PATH_HASH_BYTES
            yield bytes(self._buffer[offset : offset + KEY_BYTES])

    def verify(self) -> None:
        """Prove the whole: raises ManifestCorrupt unless `encode_manifest` could have written it."""
        if len(self._buffer) > MANIFEST_BYTES_MAX or self._count > ENTRIES_MAX:
            raise ManifestCorrupt(
                f"{len(self._buffer)} bytes, {self._count} entries: limits are {MANIFEST_BYTES_MAX} and {ENTRIES_MAX}"
            )
        previous = b""
        for number, hashed in enumerate(hashes := [self._path_hash(number) for number in range(self._count)]):
            if hashed <= previous:
                raise ManifestCorrupt(f"entry {number} is {'repeated' if hashed == previous else 'out of order'}")
            previous = hashed
        depth = 0
        for hashed, (path, _) in zip(hashes, self.assets(), strict=True):
            if hashed != path_hash(path):
                raise ManifestCorrupt(f"the entry of {path!r} lies under another path's hash")
            if (problem := validate_manifest_path(path)) is not None:
                raise ManifestCorrupt(f"path {path!r} {problem}")
            if path.endswith("/" + NOT_FOUND_PAGE):
                depth = max(depth, path.count("/"))
        if depth != self.not_found_depth:
            raise ManifestCorrupt(f"says {self.not_found_depth} for its deepest 404.html, which is at {depth}")

    def _path_table(self) -> list[str]:
        if self._paths_bytes > PATH_TABLE_BYTES_MAX:
            raise ManifestCorrupt(f"path table of {self._paths_bytes} bytes, limit {PATH_TABLE_BYTES_MAX}")
        try:
            # A frame states its own size and is believed: compared first, lest a damaged one claim all memory.
            if zstandard.get_frame_parameters(self._paths).content_size != self._paths_bytes:
                raise ManifestCorrupt("path table and header don't agree")
            table = zstandard.ZstdDecompressor().decompress(self._paths)
            paths = table.decode("utf-8").split(PATH_END.decode())
        except (zstandard.ZstdError, UnicodeDecodeError) as error:
            raise ManifestCorrupt(f"path table unreadable: {error}") from None
        if len(table) != self._paths_bytes or paths.pop() != "" or len(paths) != self._count:
            raise ManifestCorrupt("path table and entries don't agree")
        return paths


def validate_manifest_path(path: str) -> str | None:
    """Why `path` can't be a deployed file's ("holds …", to follow the path in a message), or None if it can.

    Files are never looked up in a file system by these names, so this guards those who list, download or restore a
    deployment (hardening 43). Keys are exact, so that names that differ in case or Unicode form are different files.
    """
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "isn't Unicode text"
    if not path.startswith("/"):
        return "doesn't begin with /"
    if len(encoded) > PATH_BYTES_MAX:
        return f"is {len(encoded)} bytes long, the limit is {PATH_BYTES_MAX}"
    if any(character < " " or character == "\x7f" for character in path):
        return "holds a control character"
    if "\\" in path:
        return "holds a backslash"
    for segment in path[1:].split("/"):
        if segment == "":
            return "holds an empty segment"
        if segment in (".", ".."):
            return f"holds the segment {segment!r}"
    return None


def find_twins(paths: Iterable[str]) -> tuple[str, str] | None:
    """Two paths that are one text in two Unicode forms, such as "é" as one character and as two. Nobody can tell them
    apart, in a listing or an address bar, and who copies the deployment to a Mac has one of them left (hardening 43,
    differences 28). Case is another matter: sites do have a README and a readme."""
    by_form: dict[str, str] = {}
    for path in paths:
        form = path if path.isascii() else unicodedata.normalize("NFC", path)
        if (other := by_form.setdefault(form, path)) != path:
            return other, path
    return None
