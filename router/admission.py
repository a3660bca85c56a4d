"""Which connections one process takes: so many in all and, where that is asked for, so many from one address."""

from http import HTTPStatus

from router.address_counts import AddressCounts
from router.http1.limits import HttpLimits
from router.http1.refusal import Refused


class Admission:
    """One process's. Who was asked about leaves once, whatever the answer was."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._addresses = AddressCounts()

    def why_not(self, address: str | None, *, connections_count: int) -> Refused | None:
        """`address` is None for a client that has none; `connections_count` counts this connection too."""
        limits = self._limits
        if limits.connections_per_address_max is not None and address is not None:
            count = self._addresses.add(address)
            if count > limits.connections_per_address_max:
                return Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many connections from this address")
        if connections_count > limits.connections_count_max:
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        return None

    def leave(self, address: str | None) -> None:
        if self._limits.connections_per_address_max is not None and address is not None:
            self._addresses.remove(address)
