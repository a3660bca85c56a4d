"""Blob files by path: where a key's file lies, and what a file there holds.

A key leaves one thing open: it hashes base64 text and extension without a mark between them, so that some bytes as
`.html` and the same with three bytes more, without an extension, share a key. Such bytes lie side by side: the second
ones under `<key>-<size>.blob`, told apart by the size that a manifest's entry has.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asset_server.asset_keys import asset_key
from asset_server.blob_file import HEADER_BYTES_MAX, BlobHeader, BlobUnreadable, checksum, parse_blob_header
from asset_server.manifest import Encodings

SUFFIX: Final = ".blob"
BLOB_NAME: Final = re.compile(r"[0-9a-f]{32}(-[0-9]+)?\.blob")
KEY_DIGITS: Final = 32
SHARDS: Final = 256


@dataclass(frozen=True, slots=True)
class BlobFolder:
    """The proven blobs of a data folder, in a subfolder for each first byte of the key."""

    path: Path

    def create(self) -> None:
        for shard in range(SHARDS):
            (self.path / f"{shard:02x}").mkdir(parents=True, exist_ok=True)

    def file(self, key: str) -> Path:
        return self.path / key[:2] / (key + SUFFIX)

    def sibling(self, key: str, size_bytes: int) -> Path:
        return self.path / key[:2] / f"{key}-{size_bytes}{SUFFIX}"

    def candidates(self, key: str, size_bytes: int) -> Iterator[Path]:
        """Where bytes of this key and size may lie, the usual place first."""
        yield self.file(key)
        yield self.sibling(key, size_bytes)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Every blob with its key; what lies there under other names is passed over."""
        for shard in sorted(self.path.iterdir()):
            for file in shard.iterdir():
                if BLOB_NAME.fullmatch(file.name) is not None:
                    yield file.name[:KEY_DIGITS], file

    def files_of(self, key: str) -> list[Path]:
        file = self.file(key)
        return [each for each in (file, *file.parent.glob(f"{key}-*{SUFFIX}")) if each.exists()]

    def proven(self, key: str, extension: str) -> BlobHeader | None:
        """The header of the blob that was proven to have this key with this extension; its age is refreshed."""
        file = self.file(key)
        header = read_header(file)
        if header is None or header.extension == extension:
            return header if header is not None and touch(file) else None
        for size_bytes in _sibling_sizes(header, extension):
            file = self.sibling(key, size_bytes)
            if (header := read_header(file)) is not None and header.extension == extension and touch(file):
                return header
        return None


def _sibling_sizes(header: BlobHeader, extension: str) -> Iterator[int]:
    """The sizes that bytes under the same key must have if `extension` ends the same hashed text."""
    text_length = 4 * -(-header.size_bytes // 3) + len((header.extension or "").encode("utf-8"))
    groups, odd = divmod(text_length - len(extension.encode("utf-8")), 4)
    if groups >= 0 and odd == 0:
        yield from range(3 * groups, max(3 * groups - 3, -1), -1)


def touch(path: Path) -> bool:
    """Set the age back; False when there is no such file."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def parse_header_of(descriptor: int) -> BlobHeader:
    return parse_blob_header(os.pread(descriptor, HEADER_BYTES_MAX, 0), file_bytes=os.fstat(descriptor).st_size)


def read_header(path: Path) -> BlobHeader | None:
    """None when the file isn't there or its header is damaged: either way it doesn't hold what is asked for."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return parse_header_of(descriptor)
    except BlobUnreadable:
        return None
    finally:
        os.close(descriptor)


def read_identity(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
        representation = parse_blob_header(data, file_bytes=len(data)).representations[Encodings.NONE]
    except (FileNotFoundError, BlobUnreadable):
        return None
    content = data[representation.offset : representation.offset + representation.length]
    return content if checksum(content) == representation.checksum else None


def problem_of(path: Path, key: str) -> str | None:
    """What is wrong with this file as a blob of `key`, or None."""
    try:
        data = path.read_bytes()
        header = parse_blob_header(data, file_bytes=len(data))
    except FileNotFoundError:
        return "is missing"
    except BlobUnreadable as error:
        return str(error)
    for encoding, representation in header.representations.items():
        body = data[representation.offset : representation.offset + representation.length]
        if checksum(body) != representation.checksum:
            return f"has {encoding.name if encoding else 'identity'} bytes that don't match their checksum"
        if encoding is Encodings.NONE and asset_key(body, header.extension or "") != key:
            return "has bytes whose hash isn't its key"
    return None
