"""Whose request it is: the peer's address or, behind proxies that the operator trusts, the one that they name."""

import ipaddress
from collections.abc import Sequence
from typing import Final

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
FORWARDED_FOR: Final = b"x-forwarded-for"
MAPPED: Final = "::ffff:"  # RFC 4291 2.5.5.2, as the kernel writes an IPv4 peer of an IPv6 socket
UNKNOWN: Final = "127.0.0.1"
"""For a peer without an address: a Unix socket, a test."""


def client_address(
    peer: tuple[str, int] | None, fields: Sequence[tuple[bytes, bytes]], trusted: Sequence[IpNetwork]
) -> str:
    """The last address on the way that isn't a trusted proxy's. What a client writes itself never counts."""
    if peer is None:
        return UNKNOWN
    if not trusted:
        return peer[0].removeprefix(MAPPED)  # the usual case, which needn't pay for parsing
    named = b",".join(value for name, value in fields if name == FORWARDED_FOR)
    way = [*(each.strip().decode("latin-1") for each in named.split(b",") if each.strip()), peer[0]]
    address = ipaddress.ip_address(peer[0])
    for text in reversed(way):
        try:
            named_address = ipaddress.ip_address(text)
        except ValueError:
            break
        address = named_address
        if not any(address in network for network in trusted):
            break
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
