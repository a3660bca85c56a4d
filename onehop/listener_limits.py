"""The setting `limits`: what the edges' listener takes from its clients, where the defaults don't fit.

head_s=5,idle_s=30,connections_per_address_max=100         in TOML also a table: limits = { head_s = 5 }
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from router.http1.limits import KIB, MIB, HttpLimits

RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "target_bytes_max": (256, 64 * KIB),
    "header_bytes_max": (1 * KIB, 256 * KIB),
    "header_count_max": (10, 1_000),
    "body_bytes_max": (0, 1024 * MIB),
    "connections_count_max": (16, 1_000_000),
    "connections_per_address_max": (1, 1_000_000),
    "requests_count_max": (1, 1_000_000_000),
    "drained_bytes_max": (0, 64 * MIB),
    "head_s": (0.1, 3600),
    "idle_s": (0.1, 3600),
    "window_s": (0.1, 3600),
    "window_bytes_min": (1, 1 * MIB),
    "linger_s": (0.1, 3600),
    "linger_bytes_max": (0, 1024 * MIB),
}
"""Those that can be set, and how far."""
NUMBER: Final = re.compile(r"[0-9]{1,10}(?:\.[0-9]{1,3})?", re.ASCII)

Limits = Mapping[str, float]


def parse_limits(value: object) -> Limits:
    """Raises ValueError, which says what would be accepted."""
    pairs = value.items() if isinstance(value, dict) else [split_pair(part) for part in split_list(str(value))]
    limits: dict[str, float] = {}
    for name, number in pairs:
        if name not in RANGES:
            raise ValueError(f"NAME=NUMBER with commas between, of {', '.join(RANGES)}; there's no {name!r}")
        if name in limits:
            raise ValueError(f"NAME=NUMBER with each name once; {name} comes twice")
        low, high = RANGES[name]
        is_whole = not name.endswith("_s")
        text = str(number).strip()
        if NUMBER.fullmatch(text) is None or not low <= float(text) <= high or (is_whole and "." in text):
            kind = "a whole number" if is_whole else "seconds"
            raise ValueError(f"such that {name} is {kind} from {low:g} to {high:g}")
        limits[name] = int(text) if is_whole else float(text)
    return limits


def split_list(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip()]


def split_pair(part: str) -> tuple[str, str]:
    name, _, number = part.partition("=")
    return name.strip(), number.strip()


def with_limits(limits: HttpLimits, given: Limits) -> HttpLimits:
    return replace(limits, **given)  # type: ignore[arg-type]  # parse_limits has made each of its field's type
