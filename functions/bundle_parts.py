"""The parts of a `_worker.bundle`: multipart/form-data whose boundary no header names (RFC 7578, pages-api 3.6).

The boundary is the first line's. The whole body is in memory already, so a part is a search for the next delimiter;
whatever a tool would not write (text before the first or after the last delimiter, a part without a name, a transfer
encoding) is refused rather than guessed at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from python_multipart.multipart import parse_options_header

PARTS_MAX: Final = 2_000
PART_HEADERS_BYTES_MAX: Final = 16 * 1024
FIRST_LINE: Final = re.compile(rb"--([!-~](?:[ -~]{0,68}[!-~])?)\r\n")
"""RFC 2046 5.1.1: 1 to 70 characters, no blank at the end."""
FIELD_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
ALLOWED_FIELDS: Final = frozenset({b"content-disposition", b"content-type", b"content-length"})


class BundleRefused(ValueError):
    """A bundle that can't be run; the text says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """`content_type` has no parameters and is None where the part has none."""

    name: str
    content_type: str | None
    content: bytes = field(repr=False)


def split_parts(body: bytes) -> Iterator[Part]:
    """Raises BundleRefused, also after some parts."""
    first_line = FIRST_LINE.match(body)
    if first_line is None:
        raise BundleRefused("it doesn't begin with a multipart boundary")
    delimiter = b"\r\n--" + first_line[1]
    position = first_line.end()
    for _ in range(PARTS_MAX):
        end = body.find(delimiter, position)
        # The boundary's text may stand at the start of a line by chance: a delimiter ends its line.
        while end != -1 and body[end + len(delimiter) : end + len(delimiter) + 2] not in (b"\r\n", b"--"):
            end = body.find(delimiter, end + 1)
        if end == -1:
            raise BundleRefused("it ends before its last boundary")
        yield _parse_part(body, position, end)
        position = end + len(delimiter) + 2
        if body[position - 2 : position] == b"--":
            if body[position:] not in (b"", b"\r\n"):
                raise BundleRefused("it goes on after its last boundary")
            return
    raise BundleRefused(f"it has over {PARTS_MAX} parts")


def _parse_part(body: bytes, start: int, end: int) -> Part:
    headers_end = body.find(b"\r\n\r\n", start, min(end, start + PART_HEADERS_BYTES_MAX))
    if headers_end == -1:
        raise BundleRefused(f"a part has no end of headers within {PART_HEADERS_BYTES_MAX} bytes")
    fields: dict[bytes, bytes] = {}
    for line in body[start:headers_end].split(b"\r\n"):
        match = FIELD_LINE.fullmatch(line)
        name = match[1].lower() if match is not None else b""
        if match is None or name not in ALLOWED_FIELDS or name in fields:
            raise BundleRefused(f"a part has the header line {line[:100]!r}")
        fields[name] = match[2].strip(b" \t")
    kind, options = parse_options_header(fields.get(b"content-disposition", b""))
    raw_name = options.get(b"name")
    if kind != b"form-data" or not raw_name:
        raise BundleRefused("a part has no name")
    try:
        name_text = raw_name.decode("utf-8")
    except UnicodeDecodeError:
        raise BundleRefused("a part's name isn't UTF-8") from None
    content_type = fields.get(b"content-type")
    return Part(
        name_text,
        None if content_type is None else content_type.partition(b";")[0].strip().lower().decode("latin-1"),
        body[headers_end + 4 : end],
    )
