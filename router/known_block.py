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
from router.metrics.meter import UNFOUND
from router.resolve import Resolved

BLOCKS_MAX: Final = 4
"""Of one connection. A browser's differ by what is asked for: a page, a style sheet, an image, a script."""
BLOCK_BYTES_MAX: Final = 2 * KIB
"""Longer ones are read each time, so that a connection's memory stays within a few KiB."""
UNBOUND: Final = -1


class KnownBlock:
    """`data` ends with the empty line; there is no body after it. `fields` are those that an asset's answer may depend
    on, `conditions` the If-None-Match lines among them.

    In one `generation`: `route`, None where the host's decision leaves something open, with `found` as requests are
    counted; and `prefix`, with which a request's line makes the key of its ready answer, None where the fields ask for
    more than such an answer holds.
    """

    __slots__ = (
        "choices", "conditions", "data", "fields", "found", "generation", "host", "keep_alive", "prefix", "route",
        "scheme",
    )  # fmt: skip

    def __init__(self, data: bytes, block: FieldBlock, *, host: bytes, scheme: str) -> None:
        self.data = data
        self.host = host
        self.scheme = scheme
        self.keep_alive = not block.asks_to_close
        self.fields = [field for field in block.fields if field[0] in FIELDS_READ]
        self.conditions = [value for name, value in self.fields if name == b"if-none-match"]
        codings = [value for name, value in self.fields if name == b"accept-encoding"]
        is_simple = len(self.fields) == len(self.conditions) + len(codings)
        self.choices = choices_of(codings) if is_simple else None
        self.generation = UNBOUND
        self.route: Resolved | None = None
        self.found = UNFOUND
        self.prefix: bytes | None = None
