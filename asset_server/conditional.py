"""If-None-Match, If-Match and If-Range (RFC 9110 13.1), by entity tag: an asset has no modification time.

A field outside its grammar is no condition at all. If-Modified-Since and If-Unmodified-Since are ignored, as there is
no Last-Modified to compare.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

ANY: Final = b"*"
ELEMENT: Final = re.compile(rb'[ \t]*(?:(W/)?("[\x21\x23-\x7e\x80-\xff]*"))?[ \t]*(,|\Z)')
"""One member of `#entity-tag`, perhaps empty, with its comma."""


def is_unmodified(field_lines: Sequence[bytes], etag: bytes) -> bool:
    """Whether If-None-Match holds `etag`, so that 304 is the answer: weak comparison, lists, `*`."""
    return _contains(field_lines, etag, strong=False) is True


def is_precondition_failed(field_lines: Sequence[bytes], etag: bytes) -> bool:
    """Whether If-Match is there and doesn't hold `etag`: strong comparison, so a weak tag never does."""
    return _contains(field_lines, etag, strong=True) is False


def is_range_current(field_lines: Sequence[bytes], etag: bytes) -> bool:
    """Whether Range may be used: no If-Range, or exactly our strong tag. A date is never one that we sent."""
    return not field_lines or (len(field_lines) == 1 and field_lines[0].strip(b" \t") == etag)


def _contains(field_lines: Sequence[bytes], etag: bytes, *, strong: bool) -> bool | None:
    """None when there is no condition."""
    value = b",".join(field_lines)
    if value.strip(b" \t") == ANY:
        return True
    is_found, is_empty = False, True
    for is_weak, tag in _entity_tags(value):
        if tag is None:
            return None
        is_empty = False
        is_found = is_found or (tag == etag and not (strong and is_weak))
    return None if is_empty else is_found


def _entity_tags(value: bytes) -> Iterator[tuple[bool, bytes | None]]:
    """(whether weak, the quoted tag) of each member; the tag is None where the grammar ends. Linear in the value."""
    position = 0
    while True:
        match = ELEMENT.match(value, position)
        if match is None:
            yield False, None
            return
        if match[2] is not None:
            yield match[1] is not None, match[2]
        if match[3] == b"":
            return
        position = match.end()
