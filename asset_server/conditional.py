"""If-None-Match and If-Range (RFC 9110 13.1), by entity tag: an asset has no modification time.

A field outside its grammar is no condition at all. If-Modified-Since and If-Unmodified-Since are ignored, as there is
no Last-Modified to compare; so is If-Match, as on Pages (pages-serving 6.2): it guards changes, and nothing here can be
changed.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

ANY: Final = b"*"
ELEMENT: Final = re.compile(rb'[ \t]*+(?:(?:W/)?("[\x21\x23-\x7e\x80-\xff]*+"))?[ \t]*+(,|\Z)')
"""One member of `#entity-tag`, perhaps empty, with its comma."""


def is_unmodified(field_lines: Sequence[bytes], etag: bytes) -> bool:
    """Whether If-None-Match holds `etag`, so that 304 is the answer: weak comparison, lists, `*`."""
    value = b",".join(field_lines)
    if value == etag:
        return True  # what a browser sends: the one tag that it was given
    if value.strip(b" \t") == ANY:
        return True
    is_found = False
    for tag in _entity_tags(value):
        if tag is None:
            return False
        is_found = is_found or tag == etag
    return is_found


def is_range_current(field_lines: Sequence[bytes], etag: bytes) -> bool:
    """Whether Range may be used: no If-Range, or exactly our strong tag. A date is never one that we sent."""
    return not field_lines or (len(field_lines) == 1 and field_lines[0].strip(b" \t") == etag)


def _entity_tags(value: bytes) -> Iterator[bytes | None]:
    """The quoted tag of each member, weak or not; None where the grammar ends. Linear in the value."""
    position = 0
    while True:
        match = ELEMENT.match(value, position)
        if match is None:
            yield None
            return
        if match[1] is not None:
            yield match[1]
        if match[2] == b"":
            return
        position = match.end()
