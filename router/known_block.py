"""A header block that came before, byte for byte, and what it meant.

A browser sends the same sixteen fields with each request. They are examined once, by the strict reading that every
request gets (http1.head); after that one comparison of bytes proves that they mean the same again. What a block means
is also its host's decision, which changes: that part holds for one generation of the resolver's.

A client of many hosts, a proxy say, sends each of them the same fields under another Host: of such a block only that
value is examined. Where one line changes again and again, as a cookie does, only its value is examined as well: two
blocks that differ in nothing but the value of a field which no asset's answer depends on mean the same.
"""

import re
from itertools import compress
from operator import ne
from typing import Final, Self

from asset_server.negotiation import choices_of
from asset_server.server import FIELDS_READ
from router.http1.field_lines import TOKEN, VALUE
from router.http1.head import FRAMING_FIELDS, FieldBlock
from router.http1.limits import KIB
from router.http1.request_line import AUTHORITY
from router.ready import NOTHING
from router.resolve import Resolved

BLOCK_BYTES_MAX: Final = 2 * KIB
"""Longer ones are read each time, so that a connection's memory stays within a few KiB."""
UNBOUND: Final = -1

FIELD_LINE: Final = re.compile(rb"(" + TOKEN + rb"):" + VALUE)
HOST_NAME: Final = re.compile(rb"(?:\A|\r\n)host:[ \t]*+", re.IGNORECASE)
"""In a block that was found to be one: all before the Host's value, blanks too."""
CONTROLS: Final = bytes(byte for byte in range(0x20) if byte != 0x09)
"""What VALUE excludes."""
TELLING: Final = FRAMING_FIELDS | FIELDS_READ | {b"x-forwarded-for", b"x-forwarded-proto"}
"""Fields that a block's meaning may depend on, by any reader's of KnownBlock."""


class KnownBlock:
    """`data` ends with the empty line; there is no body after it. `fields` are those that an asset's answer may depend
    on, `conditions` the If-None-Match lines among them. `line_end`: where a request's line ends in bytes that are one
    request with this block.

    In one `generation`: `route`, None where the host's decision leaves something open; `series`, in which its answers
    are counted; `terms`, under which the host's own ready answers lie, None where the fields ask for more than such an
    answer holds; `shared_terms`, under which those lie that are for any host; and `find`, which has the one or the
    other, as was last asked for.
    """

    __slots__ = (
        "_after", "_after_host", "_before", "_before_host", "_bytes_max", "choices", "conditions", "data", "fields",
        "find", "generation", "host", "keep_alive", "line_end", "route", "scheme", "series", "shared_terms", "terms",
    )  # fmt: skip

    def __init__(self, data: bytes, block: FieldBlock, *, host: bytes, scheme: str, bytes_max: int) -> None:
        """`bytes_max`: the most that a block may have which is taken for this one."""
        self.data = data
        self._bytes_max = bytes_max
        self._before = b""
        self._after: bytes | None = None
        self._before_host: bytes | None = None
        self._after_host = b""
        self.line_end = -len(data)
        self.host = host
        self.scheme = scheme
        self.keep_alive = not block.asks_to_close
        self.fields = [field for field in block.fields if field[0] in FIELDS_READ]
        self.conditions = [value for name, value in self.fields if name == b"if-none-match"]
        codings = [value for name, value in self.fields if name == b"accept-encoding"]
        is_of_ready = len(self.fields) == len(self.conditions) + len(codings)
        self.choices = choices_of(codings) if is_of_ready else None
        self.generation = UNBOUND
        self.unbind()

    def unbind(self) -> None:
        self.route: Resolved | None = None
        self.series = 0
        self.terms: bytes | None = None
        self.shared_terms = b""
        self.find = NOTHING.get

    def for_other_host(self, data: bytes) -> Self | None:
        """What the block `data`, with its empty line, means, if it differs from this one in nothing but the Host."""
        if self._before_host is None:
            self._learn_host()
        before, after = self._before_host, self._after_host
        if not before or not data.startswith(before) or not data.endswith(after):
            return None
        host = data[len(before) : len(data) - len(after)]
        if AUTHORITY.fullmatch(host) is None:
            return None
        other = object.__new__(type(self))
        other.data, other.host, other.line_end = data, host, -len(data)
        other._before, other._after, other._bytes_max = b"", None, self._bytes_max
        other._before_host, other._after_host = before, after
        other.scheme, other.keep_alive, other.choices = self.scheme, self.keep_alive, self.choices
        other.fields, other.conditions = self.fields, self.conditions
        other.generation = UNBOUND
        other.unbind()
        return other

    def _learn_host(self) -> None:
        match = HOST_NAME.search(self.data)
        self._before_host = self.data[: match.end()] if match is not None else b""
        self._after_host = self.data[len(self._before_host) + len(self.host) :]

    def end_in(self, data: bytes, start: int) -> int:
        """Where the block at `start` of `data` ends, if it is this one or differs from it only in the value of the
        line that changed before; else -1."""
        if data.startswith(self.data, start):
            return start + len(self.data)
        if self._after is None or not data.startswith(self._before, start):
            return -1
        value_at = start + len(self._before)
        line_end = data.find(b"\r\n", value_at)
        value = data[value_at:line_end]
        if line_end < 0 or not data.startswith(self._after, line_end) or value.translate(None, CONTROLS) != value:
            return -1
        end = line_end + len(self._after)
        return end if end - start <= self._bytes_max else -1

    def learn(self, data: bytes) -> bool:
        """Whether the block `data`, with its empty line, means the same, as it differs in one line that doesn't matter.
        From now on that one's value may be any."""
        known_lines, lines = self.data.split(b"\r\n"), data.split(b"\r\n")
        if len(lines) != len(known_lines):
            return False
        changed = list(compress(range(len(lines)), map(ne, lines, known_lines)))
        if len(changed) != 1:
            return False
        index = changed[0]
        name, colon, _ = known_lines[index].partition(b":")
        match = FIELD_LINE.fullmatch(lines[index])
        if match is None or match[1] != name or name.lower() in TELLING:
            return False
        self._before = b"\r\n".join([*known_lines[:index], name + colon])
        self._after = b"\r\n".join([b"", *known_lines[index + 1 :]])
        return True
