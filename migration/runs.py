"""What is to be written, on disk in the order of route keys: so that the store is filled from one end to the other.

A run is the work of some sites: one file, its rows gathered by the first byte of their key. Within that, rows of one
length lie together, so that they are cut apart without looking at them. Runs are made whole and renamed; one that was
cut short is made again.

    offset  size
    0       8      magic and version
    8       8 each 257 offsets, big-endian: where each first byte's blocks begin, and where the last ones end
    2064    4 each 256 sums, CRC-32 of each first byte's blocks
    3088           blocks: length of a row (2), count of rows (4), the rows: route key (16) ‖ value

A value is a stored pipeline, or a Claim: that a site's table names a host which isn't the site's.
"""

import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO

MAGIC: Final = b"OHRUN\x00\x00\x02"
PARTITIONS: Final = 256
OFFSETS: Final = struct.Struct(f">{PARTITIONS + 1}Q")
SUMS: Final = struct.Struct(f">{PARTITIONS}I")
HEAD_BYTES: Final = len(MAGIC) + OFFSETS.size + SUMS.size
BLOCK: Final = struct.Struct(">HI")
CLAIM: Final = b"!"
SUFFIX: Final = ".run"


class RunDamaged(Exception):
    """A file of runs isn't what was written; starting the job anew makes it again."""


class RunBuilder:
    """Rows in memory until `write`."""

    def __init__(self) -> None:
        self._rows: list[dict[int, bytearray]] = [{} for _ in range(PARTITIONS)]
        self.rows_count = 0

    def add(self, route_key: bytes, value: bytes) -> None:
        lengths = self._rows[route_key[0]]
        row = route_key + value
        gathered = lengths.get(len(row))
        if gathered is None:
            lengths[len(row)] = bytearray(row)
        else:
            gathered += row
        self.rows_count += 1

    def sorted_rows(self) -> list[bytes]:
        """All of them, in key order."""
        return sorted(
            bytes(rows[at : at + length])
            for lengths in self._rows
            for length, rows in lengths.items()
            for at in range(0, len(rows), length)
        )

    def write(self, path: Path) -> None:
        """Whole or not at all, and on the disk when it returns; what was at `path` is replaced. Raises OSError."""
        temporary = path.with_suffix(".new")
        offsets, sums = [HEAD_BYTES], []
        with temporary.open("wb") as file:
            file.seek(HEAD_BYTES)
            for lengths in self._rows:
                total = 0
                for length, rows in sorted(lengths.items()):
                    for piece in (BLOCK.pack(length, len(rows) // length), rows):
                        file.write(piece)
                        total = zlib.crc32(piece, total)
                offsets.append(file.tell())
                sums.append(total)
            file.seek(0)
            file.write(MAGIC + OFFSETS.pack(*offsets) + SUMS.pack(*sums))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # or a power cut could take the name away after the store has counted what is in it
        finally:
            os.close(folder)


def read_partition(path: Path, number: int) -> Iterator[bytes]:
    """The rows whose key begins with that byte, in no order. Raises RunDamaged, OSError."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        if len(head) < HEAD_BYTES or not head.startswith(MAGIC):
            raise RunDamaged(f"{path} isn't a file of runs")
        offsets = OFFSETS.unpack_from(head, len(MAGIC))
        start, end = offsets[number], offsets[number + 1]
        if not len(head) <= start <= end <= path.stat().st_size:
            raise RunDamaged(f"{path}: partition {number} lies outside of the file")
        file.seek(start)
        data = file.read(end - start)
    if zlib.crc32(data) != SUMS.unpack_from(head, len(MAGIC) + OFFSETS.size)[number]:
        raise RunDamaged(f"{path}: partition {number} isn't what was written")
    at = 0
    while at < len(data):
        length, count = BLOCK.unpack_from(data, at)
        at += BLOCK.size
        if length <= ROUTE_KEY_BYTES or at + length * count > len(data):
            raise RunDamaged(f"{path}: a block of partition {number} is cut")
        for row_at in range(at, at + length * count, length):
            yield data[row_at : row_at + length]
        at += length * count


def sorted_rows(paths: list[Path], numbers: Iterable[int]) -> list[bytes]:
    """These partitions of all runs, in key order; rows of one key lie beside each other. Raises RunDamaged, OSError."""
    rows: list[bytes] = []
    for path in paths:
        for number in numbers:
            rows.extend(read_partition(path, number))
    rows.sort()
    return rows


def whole_keys(rows: Sequence[bytes], at: int, count: int) -> Sequence[bytes]:
    """`count` rows from `at`, and those of the last one's key that follow."""
    end = min(at + count, len(rows))
    while end < len(rows) and rows[end][:ROUTE_KEY_BYTES] == rows[end - 1][:ROUTE_KEY_BYTES]:
        end += 1
    return rows[at:end]


def first_after(rows: Sequence[bytes], key: bytes) -> int:
    """Where the rows begin whose key comes after this one: by keys, since a run that was made again may differ."""
    return bisect_right(rows, key, key=lambda row: row[:ROUTE_KEY_BYTES])


def claim_of(site_no: int) -> bytes:
    return CLAIM + SITE_NO.pack(site_no)


def site_no_of(value: bytes) -> int:
    """Whose row it is. Values are pipelines in their stored form, whose second member is the site's number."""
    if value.startswith(CLAIM):
        (number,) = SITE_NO.unpack(value[len(CLAIM) :])
        return int(number)
    return int(value[VALUE_SITE_AT : value.index(b",", VALUE_SITE_AT)])


VALUE_SITE_AT: Final = len(b'{"v":1,"s":')
