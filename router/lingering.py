"""The end of a connection: our way is closed after the last answer, the client's is read and forgotten until it closes.

    last answer → what the transport has, or a file → end of our way → … → the client's end, or the limit

A close with bytes unread, or before bytes that are still on their way, is a reset. It makes this kernel drop what it
still holds of the answer, and may take from the client what that hasn't read yet (RFC 9112 9.6).
"""

from router.http1.limits import HttpLimits
from router.outgoing import Outgoing
from router.patience import Patience


class Lingering:
    """One connection's."""

    __slots__ = ("_bytes_left", "_out", "_patience")

    def __init__(self, out: Outgoing, patience: Patience, limits: HttpLimits) -> None:
        self._out = out
        self._patience = patience
        self._bytes_left = limits.linger_bytes_max

    def begin(self) -> None:
        """Also each time that more of the answer has left."""
        if not self._out.file_bytes_left:
            self._out.write_eof()
        self._patience.with_lingering()

    def discard(self, bytes_count: int) -> bool:
        """Whether there may be more."""
        self._bytes_left -= bytes_count
        return self._bytes_left >= 0

    def goes_on(self) -> bool:
        """Past the deadline, with something that the client has yet to take: whether it does take some."""
        delivered_bytes = self._out.delivered_bytes
        if self._patience.in_window and not self._patience.has_taken(delivered_bytes):
            return False
        self._patience.with_window(delivered_bytes)
        return True
