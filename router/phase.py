"""What a connection is doing, which says what its deadline means."""

from enum import Enum, auto


class Phase(Enum):
    IDLE = auto()  # nothing of a request is here
    HEAD = auto()  # a part of a head is here
    MESSAGE = auto()  # a request is being answered, or the rest of its body drained
    TUNNEL = auto()  # after 101: bytes of another protocol, which no deadline hurries
    CLOSING = auto()  # the last answer is on its way out
    LINGERING = auto()  # the same, and the client may still be sending what nobody reads
