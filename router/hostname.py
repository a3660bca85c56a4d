"""A site's hostname in its one normal form; everything else is refused before it is hashed or looked up.

Bytes in, since Python's text functions strip and fold what isn't ASCII.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

import idna

NAME_BYTES_MAX: Final = 253  # RFC 1035 2.3.4: 255 octets on the wire leave 253 as text
AUTHORITY_BYTES_MAX: Final = NAME_BYTES_MAX + len(".:65535")
PORT_MAX: Final = 65535
LABEL: Final = rb"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
AUTHORITY: Final = re.compile(
    rb"(?P<name>" + LABEL + rb"(?:\." + LABEL + rb")*)\.?(?::(?P<port>[0-9]{0,5}))?"  # RFC 3986 3.2.2, 3.2.3
)


class HostRefused(ValueError):
    """The authority can't name a site."""

    def __init__(self, authority: bytes, reason: str) -> None:
        super().__init__(f"{authority[:64]!r}: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, order=True)
class Hostname:
    """ASCII, lower case, no port, no final dot; an IDN only as valid A-labels (RFC 5891)."""

    name: str

    @classmethod
    def parse(cls, authority: bytes) -> Self:
        """Raises HostRefused when `authority` (RFC 3986 3.2) cannot name a site; an IPv6 literal cannot."""
        if len(authority) > AUTHORITY_BYTES_MAX:
            raise HostRefused(authority, f"longer than {NAME_BYTES_MAX} characters")
        match = AUTHORITY.fullmatch(authority.lower())
        if match is None:
            raise HostRefused(authority, "not a host name with an optional port")
        if len(match["name"]) > NAME_BYTES_MAX:
            raise HostRefused(authority, f"longer than {NAME_BYTES_MAX} characters")
        if match["port"] and int(match["port"]) > PORT_MAX:
            raise HostRefused(authority, f"the port is above {PORT_MAX}")
        name = match["name"].decode("ascii")
        if "xn--" in name:
            refuse_invalid_a_labels(authority, name)
        return cls(name)


def refuse_invalid_a_labels(authority: bytes, name: str) -> None:
    """RFC 5891 5.4: it decodes, every character may stand where it stands, and it is how that text is encoded."""
    for label in name.split("."):
        if label.startswith("xn--"):
            try:
                is_valid = idna.alabel(idna.ulabel(label)) == label.encode("ascii")
            except UnicodeError:  # idna.IDNAError is one
                is_valid = False
            if not is_valid:
                raise HostRefused(authority, f"{label} isn't a valid IDNA label")
