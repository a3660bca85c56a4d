"""Whose request it is and by which scheme, where proxies in front say so and the operator trusts them."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Fields = Sequence[tuple[bytes, bytes]]

FORWARDED_MAX: Final = 16
"""Proxies that a request may have passed, of which we read the addresses."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Only what comes from an address in one of `networks` is believed about another. `peer` is "" for none known."""

    networks: tuple[IpNetwork, ...] = ()

    def client(self, peer: str, fields: Fields) -> str:
        """The address nearest to us that isn't a trusted proxy's; each proxy has appended the one that it saw."""
        client = peer
        if not self._has(client):
            return client
        forwarded = b",".join(value for name, value in fields if name == b"x-forwarded-for")
        for part in reversed(forwarded.split(b",")[-FORWARDED_MAX:]):
            address = part.strip().decode("latin-1")
            if parse_address(address) is None:
                break
            client = address
            if not self._has(client):
                break
        return client

    def scheme(self, peer: str, scheme: str, fields: Fields) -> str:
        """What the client used: `scheme`, as the connection says, or what a trusted proxy says."""
        if self._has(peer):
            forwarded = [value for name, value in fields if name == b"x-forwarded-proto"]
            if forwarded in ([b"http"], [b"https"]):
                return forwarded[0].decode("ascii")
        return scheme

    def _has(self, peer: str) -> bool:
        if not self.networks:
            return False
        address = parse_address(peer)
        return address is not None and any(address in network for network in self.networks)


def parse_address(text: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
