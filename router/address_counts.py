"""How many connections each address has open in one process."""

import ipaddress
from typing import Final

IPV6_COUNTED_BITS: Final = 64
"""What one customer of a provider has at least: single IPv6 addresses cost nothing."""


class AddressCounts:
    """Holds the addresses that have some, and no others."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, address: str) -> int:
        """How many there are now, with this one."""
        key = counted_as(address)
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return count

    def remove(self, address: str) -> None:
        key = counted_as(address)
        count = self._counts.pop(key) - 1
        if count:
            self._counts[key] = count


def counted_as(address: str) -> str:
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed.packed, IPV6_COUNTED_BITS), strict=False).network_address)
