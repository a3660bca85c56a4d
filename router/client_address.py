"""Whose request it is: the peer's address or, behind proxies that the operator trusts, the one that they name."""

import ipaddress
from collections.abc import Sequence
from typing import Final

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED_MAX: Final = 16
"""Proxies that a request may have passed, of which we read the addresses."""
MAPPED: Final = "::ffff:"  # RFC 4291 2.5.5.2, as the kernel writes an IPv4 peer of an IPv6 socket
UNKNOWN: Final = "127.0.0.1"
"""For a peer without an address: a Unix socket, a test."""


def client_address(
    peer: tuple[str, int] | None, fields: Sequence[tuple[bytes, bytes]], trusted: Sequence[IpNetwork]
) -> str:
    """The address nearest to us that isn't a trusted proxy's; each proxy has appended the one that it saw. What a
    client writes itself never counts."""
    if peer is None:
        return UNKNOWN
    if not is_trusted(peer[0], trusted):
        return peer[0].removeprefix(MAPPED)  # the usual case, which needn't pay for parsing
    client = peer[0]
    named = b",".join(value for name, value in fields if name == FORWARDED_FOR)
    for part in reversed(named.split(b",")[-FORWARDED_MAX:]):
        text = part.strip().decode("latin-1")
        if parse_address(text) is None:
            break
        client = text
        if not is_trusted(client, trusted):
            break
    address = parse_address(client)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def is_trusted(address: str, trusted: Sequence[IpNetwork]) -> bool:
    if not trusted:
        return False
    parsed = parse_address(address)
    return parsed is not None and any(parsed in network for network in trusted)


def parse_address(text: str) -> IpAddress | None:
    """An IPv6 zone may hold anything, and means nothing to anybody else; so it is no address here."""
    try:
        return ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None
