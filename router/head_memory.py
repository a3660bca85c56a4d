"""The last header blocks of one connection, see known_block.py. Bounded to a few entries and KiB."""

from typing import Final

from router.http1.head import parse_field_block
from router.http1.limits import HttpLimits
from router.http1.request_reader import HEAD_END
from router.known_block import BLOCK_BYTES_MAX, KnownBlock
from router.ready_door import ReadyDoor

BLOCKS_MAX: Final = 4
"""Of one connection. A browser's differ by what is asked for: a page, a style sheet, an image, a script."""
NO_BLOCK: Final = KnownBlock(b"\0", parse_field_block(b"", count_max=0), host=b"", scheme="", bytes_max=0)
"""What a connection knows that has seen nothing: no block begins so, and it is never bound."""


class HeadMemory:
    """`last` is the block of the last request that had one which is remembered."""

    __slots__ = ("_known", "_limits", "last")

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._known: tuple[KnownBlock, ...] = ()
        self.last = NO_BLOCK

    def find(
        self, door: ReadyDoor, data: bytes, start: int, client: tuple[str, int] | None, scheme: str
    ) -> tuple[KnownBlock, int] | None:
        """The header block at `start` of `data`, and where it ends. None unless all of it is there, nothing is wrong
        with it, and no body follows."""
        last = self.last
        end = last.end_in(data, start)
        if end >= 0:
            return last, end
        end = data.find(HEAD_END, start) + len(HEAD_END)
        block_bytes = end - start
        if not len(HEAD_END) <= block_bytes <= self._limits.header_bytes_max:
            return None
        block = data[start:end]
        peer = client[0] if client is not None else ""
        if block_bytes > BLOCK_BYTES_MAX:
            examined = door.examine(block, self._limits, peer=peer, scheme=scheme)
            return (examined, end) if examined is not None else None
        understood = door.recall(block, self._limits, peer=peer, scheme=scheme)
        if understood is None:
            for known in self._known:
                if known.end_in(data, start) == end:
                    self.last = known
                    return known, end
            if last.learn(block):
                return last, end
            understood = door.understand(block, self._limits, last, peer=peer, scheme=scheme)
            if understood is None:
                return None
        self._known = (understood, *self._known[: BLOCKS_MAX - 1])
        self.last = understood
        return understood, end
