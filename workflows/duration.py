"""Durations as authors write them: a number of milliseconds, `"30 seconds"`, or a timedelta.

    duration := number of ms | numeric text (ms) | NUM SP+ UNIT

A month has 30 days, a year 365.25. An unknown unit is refused: taking it for milliseconds, as the
model's first engine does, turns `"1 min"` into a thousandth of a second.
"""

import math
import re
from datetime import timedelta
from typing import Final

Duration = int | float | str | timedelta

DAY_MS: Final = 86_400_000
SLEEP_MS_MAX: Final = 365 * DAY_MS
DURATION_MS_MAX: Final = 36_525 * DAY_MS  # a century: a time that far off still is a time for Python and for SQLite

UNIT_MS: Final[dict[str, int]] = {
    "ms": 1, "millisecond": 1,
    "second": 1000, "sec": 1000,
    "minute": 60_000, "min": 60_000,
    "hour": 3_600_000, "hr": 3_600_000,
    "day": DAY_MS, "week": 7 * DAY_MS, "month": 30 * DAY_MS,
    "year": 31_557_600_000,
}  # fmt: skip
WITH_UNIT: Final = re.compile(r"(?P<number>\S+) +(?P<unit>[A-Za-z]+)", re.ASCII)
NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class DurationRefused(ValueError):
    pass


def parse_duration_ms(duration: Duration) -> int:
    """Milliseconds, ≥ 0 and at most a century, rounded up so that nothing wakes early. Raises DurationRefused."""
    match duration:
        case bool():
            raise DurationRefused("a duration is a number of ms, a text or a timedelta, not a bool")
        case int() | float():
            return _whole_ms(duration, duration)
        case timedelta():
            return _whole_ms(duration / timedelta(milliseconds=1), duration)
        case str():
            return _whole_ms(_read_ms(duration), duration)
    raise DurationRefused(f"a duration is a number of ms, a text or a timedelta, not {type(duration).__name__}")


def _read_ms(text: str) -> float:
    stripped = text.strip(" ")
    if NUMBER.fullmatch(stripped):
        return float(stripped)
    match = WITH_UNIT.fullmatch(stripped)
    if match is None or NUMBER.fullmatch(match["number"]) is None:
        raise DurationRefused(f"{text!r} is no duration; write a number and a unit, such as '30 seconds'")
    unit = match["unit"].lower()
    factor = UNIT_MS.get(unit) or UNIT_MS.get(unit.removesuffix("s"))
    if factor is None:
        raise DurationRefused(f"{text!r}: unknown unit {match['unit']!r}; known: {', '.join(UNIT_MS)}")
    return float(match["number"]) * factor


def _whole_ms(ms: float, written: Duration) -> int:
    if not 0 <= ms <= DURATION_MS_MAX:
        shown = "this duration" if isinstance(written, int) and written.bit_length() > 64 else repr(written)
        raise DurationRefused(f"{shown}: a duration is not negative, and at most a hundred years")
    return math.ceil(ms)


def parse_sleep_ms(duration: Duration) -> int:
    """As `parse_duration_ms`, at most 365 days."""
    ms = parse_duration_ms(duration)
    if ms > SLEEP_MS_MAX:
        raise DurationRefused(f"{duration!r} is longer than 365 days")
    return ms
