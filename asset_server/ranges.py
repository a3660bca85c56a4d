"""Range (RFC 9110 14): which parts of a representation a client asks for, and how several are sent.

Several ranges are sorted and joined where they overlap or nearly touch. What would still be more than a few, or be
much to copy, is answered whole: a range request is a wish, and a whole answer comes straight from the file.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

RANGES_MAX: Final = 32
MULTIPART_BYTES_MAX: Final = 1024 * 1024  # several ranges are copied into one body, a single one is not
GAP_BYTES_MAX: Final = 80  # about the cost of one more part's head
POSITION_DIGITS_MAX: Final = 18  # below 2^63; longer numbers are past every end, and int() never sees them

SPECIFIER: Final = re.compile(rb"[bB][yY][tT][eE][sS]=(.*)", re.DOTALL)
RANGE_SPEC: Final = re.compile(rb"[ \t]*+(?:([0-9]*+)-([0-9]*+))?[ \t]*+")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`first` to `end`, `end` not included."""

    first: int
    end: int

    def content_range(self, size_bytes: int) -> bytes:
        return b"bytes %d-%d/%d" % (self.first, self.end - 1, size_bytes)


class Unsatisfiable:
    """No range lies within the representation: 416."""


def choose_ranges(field_lines: Sequence[bytes], size_bytes: int) -> list[ByteRange] | Unsatisfiable | None:
    """The parts to send, ascending, at least one; None to send the whole.

    Unknown units, anything outside the grammar, and too much of it mean the whole (RFC 9110 14.2).
    """
    if len(field_lines) != 1 or (match := SPECIFIER.fullmatch(field_lines[0])) is None:
        return None
    members = match[1].split(b",", RANGES_MAX)
    if len(members) > RANGES_MAX:
        return None
    specs = [RANGE_SPEC.fullmatch(member) for member in members]
    found: list[ByteRange] = []
    is_empty = True
    for spec in specs:
        if spec is None:
            return None
        first, last = spec[1], spec[2]
        if first is None:
            continue  # an empty list member (RFC 9110 5.6.1)
        if not first and not last:
            return None
        is_empty = False
        if first and last and _position(last) < _position(first):
            return None
        part = _resolve(first, last, size_bytes)
        if part is not None:
            found.append(part)
    if is_empty:
        return None
    if not found:
        return Unsatisfiable()
    joined = _join(found)
    is_whole = joined == [ByteRange(0, size_bytes)] and len(found) > 1
    is_much = len(joined) > 1 and sum(part.end - part.first for part in joined) > MULTIPART_BYTES_MAX
    return None if is_whole or is_much else joined


def _position(digits: bytes) -> int:
    significant = digits.lstrip(b"0")
    return int(significant or b"0") if len(significant) <= POSITION_DIGITS_MAX else 10**POSITION_DIGITS_MAX


def _resolve(first: bytes, last: bytes, size_bytes: int) -> ByteRange | None:
    """None when the range lies past the end, or is the last zero bytes."""
    if not first:
        start, end = max(size_bytes - _position(last), 0), size_bytes
    else:
        start, end = _position(first), min(_position(last) + 1, size_bytes) if last else size_bytes
    return ByteRange(start, end) if start < end else None


def _join(parts: Sequence[ByteRange]) -> list[ByteRange]:
    joined: list[ByteRange] = []
    for part in sorted(parts, key=lambda each: each.first):
        if joined and part.first <= joined[-1].end + GAP_BYTES_MAX:
            joined[-1] = ByteRange(joined[-1].first, max(joined[-1].end, part.end))
        else:
            joined.append(part)
    return joined


def render_multipart(
    body: bytes | memoryview, parts: Sequence[ByteRange], *, content_type: bytes, boundary: bytes
) -> bytes:
    """RFC 9110 14.6. The boundary must not occur in the body."""
    size_bytes = len(body)
    pieces: list[bytes | memoryview] = []
    for part in parts:
        head = (b"--%s" % boundary, b"content-type: %s" % content_type)
        pieces.append(b"\r\n".join((*head, b"content-range: %s" % part.content_range(size_bytes), b"", b"")))
        pieces += (body[part.first : part.end], b"\r\n")
    pieces.append(b"--%s--\r\n" % boundary)
    return b"".join(pieces)
