"""How much of everything a client may send, and how long it may take. The defaults are an edge's."""

from dataclasses import dataclass
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Of one listener. A window is a stretch of time in which at least that many bytes must move."""

    target_bytes_max: int = 16 * KIB
    header_bytes_max: int = 32 * KIB
    header_count_max: int = 100
    body_bytes_max: int = 100 * MIB
    chunk_extension_bytes_max: int = 4 * KIB
    """All chunk extensions of one body together; nothing is known that uses them."""
    trailer_bytes_max: int = 8 * KIB

    connections_count_max: int = 50_000
    """Open at once in one process. To be kept below its limit of open files, or the application runs out of them."""
    connections_per_address_max: int | None = None
    """Of those, from one address, or one IPv6 network of 64 bits; None: no such limit. Behind a proxy all of them are
    the proxy's."""
    requests_count_max: int = 100_000
    """On one connection. Generous: it only keeps a connection from outliving a rebalancing of the workers."""
    buffered_bytes_max: int = 64 * KIB
    """Of a request's body, or of pipelined requests, before the socket isn't read any more."""
    drained_bytes_max: int = 256 * KIB
    """Of a body that the application left unread, to save the connection; with a longer one, or one whose length isn't
    said, it is closed."""

    head_s: float = 10.0
    """From a head's first byte to its last; what trickles in between buys no time."""
    idle_s: float = 60.0
    window_s: float = 20.0
    window_bytes_min: int = 4 * KIB
    drain_idle_s: float = 1.0
    """How long a connection that was idle when its worker was told to end may still ask: its request may be on its
    way."""
    linger_s: float = 5.0
    """How long a client may keep its way open after the last answer, so that it gets to read that; longer while it
    still takes some."""
    linger_bytes_max: int = 128 * MIB
