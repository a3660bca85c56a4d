"""A header block that came before, byte for byte, and what it meant.

A browser sends the same sixteen fields with each request. They are examined once, by the strict reading that every
request gets (http1.head); after that one comparison of bytes proves that they mean the same again. What a block means
is also its host's decision, which changes: that part holds for one generation of the resolver's.
"""

from typing import Final

from asset_server.negotiation import choices_of
from asset_server.server import FIELDS_READ
from router.http1.head import FieldBlock
from router.http1.limits import KIB
from router.ready import NOTHING
from router.resolve import Resolved

BLOCKS_MAX: Final = 4
"""Of one connection. A browser's differ by what is asked for: a page, a style sheet, an image, a script."""
BLOCK_BYTES_MAX: Final = 2 * KIB
"""Longer ones are read each time, so that a connection's memory stays within a few KiB."""
UNBOUND: Final = -1


class KnownBlock:
    """`data` ends with the empty line; there is no body after it. `fields` are those that an asset's answer may depend
    on, `conditions` the If-None-Match lines among them. `line_end`: where a request's line ends in bytes that are one
    request with this block.

    In one `generation`: `route`, None where the host's decision leaves something open; `series`, in which its answers
    are counted; `terms`, under which ready answers lie, None where the fields ask for more than such an answer holds;
    and `find`, which has those under the terms.
    """

    __slots__ = (
        "choices", "conditions", "data", "fields", "find", "generation", "host", "is_simple", "keep_alive", "line_end",
        "route", "scheme", "series", "terms",
    )  # fmt: skip

    def __init__(self, data: bytes, block: FieldBlock, *, host: bytes, scheme: str) -> None:
        self.data = data
        self.line_end = -len(data)
        self.host = host
        self.scheme = scheme
        self.keep_alive = not block.asks_to_close
        self.fields = [field for field in block.fields if field[0] in FIELDS_READ]
        self.conditions = [value for name, value in self.fields if name == b"if-none-match"]
        self.is_simple = self.keep_alive and not self.conditions
        codings = [value for name, value in self.fields if name == b"accept-encoding"]
        is_of_ready = len(self.fields) == len(self.conditions) + len(codings)
        self.choices = choices_of(codings) if is_of_ready else None
        self.generation = UNBOUND
        self.unbind()

    def unbind(self) -> None:
        self.route: Resolved | None = None
        self.series = 0
        self.terms: bytes | None = None
        self.find = NOTHING.get
