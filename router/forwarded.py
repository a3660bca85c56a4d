"""Whose request it is and by which scheme, where proxies in front say so and the operator trusts them."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Fields = Sequence[tuple[bytes, bytes]]

WITH_PORT: Final = re.compile(r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[^\[\]]+)\](?::[0-9]{1,5})?")
MAPPED: Final = "::ffff:"
FORWARDED_MAX: Final = 16
"""Proxies that a request may have passed, of which we read the addresses."""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Only what comes from an address in one of `networks` is believed about another. `peer` is "" for none known."""

    networks: tuple[IpNetwork, ...] = ()

    def client(self, peer: str, fields: Fields) -> str:
        """The address nearest to us that isn't a trusted proxy's; each proxy has appended the one that it saw, some
        with its port. However they spell it, one address is one client."""
        client = str(parse_address(peer) or peer) if peer.startswith(MAPPED) else peer
        if not self._has(client):
            return client
        forwarded = b",".join(value for name, value in fields if name == b"x-forwarded-for")
        for part in reversed(forwarded.split(b",")[-FORWARDED_MAX:]):
            address = parse_address(without_port(part.strip().decode("latin-1")))
            if address is None:
                break
            client = str(address)
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
    """An IPv4 address that is mapped into IPv6 is that one; a link's name (%eth0) says nothing to anyone else."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or ipaddress.IPv6Address(int(address))
    return address


def without_port(text: str) -> str:
    match = WITH_PORT.fullmatch(text)
    return (match["v4"] or match["v6"]) if match is not None else text
