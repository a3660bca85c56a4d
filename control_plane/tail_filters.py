"""Which events of a function a tail is to get: the filters that clients post with it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from control_plane.errors import ValueRefused

FILTERS_MAX: Final = 20
KNOWN: Final = ("sampling_rate", "outcome", "method", "header", "client_ip", "query")


def parse_filters(filters: object) -> list[dict[str, Any]]:
    """Raises ValueRefused."""
    if filters is None:
        return []
    if not isinstance(filters, list) or len(filters) > FILTERS_MAX:
        raise ValueRefused(f"filters must be a list of at most {FILTERS_MAX}")
    for each in filters:
        match each:
            case {"sampling_rate": bool()}:
                pass
            case (
                {"sampling_rate": int() | float()}
                | {"outcome": [*_]}
                | {"method": [*_]}
                | {"header": {"key": str()}}
                | {"client_ip": [*_]}
                | {"query": str()}
            ):
                continue
        raise ValueRefused(f"a filter must be one of {', '.join(KNOWN)}, in the form that wrangler sends")
    return filters


def passes(event: Mapping[str, Any], filters: Sequence[Mapping[str, Any]], *, own_address: str, draw: float) -> bool:
    """`own_address` is the tail's client's, for "self"; `draw` is random, from 0 up to 1."""
    request = (event.get("event") or {}).get("request") or {}
    fields = {str(name).lower(): str(value) for name, value in (request.get("headers") or {}).items()}
    for each in filters:
        match each:
            case {"sampling_rate": rate}:
                passed = draw < rate
            case {"outcome": outcomes}:
                passed = event.get("outcome") in outcomes
            case {"method": methods}:
                passed = request.get("method") in methods
            case {"header": {"key": key, **rest}}:
                value = fields.get(key.lower())
                passed = value is not None and str(rest.get("query", "")) in value
            case {"client_ip": addresses}:
                wanted = [own_address if address == "self" else address for address in addresses]
                passed = fields.get("cf-connecting-ip") in wanted
            case {"query": text}:
                passed = text in str([line.get("message") for line in event.get("logs") or []])
            case _:
                passed = True
        if not passed:
            return False
    return True
