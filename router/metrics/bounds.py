"""The bounds of the buckets that durations are counted in: the preferred numbers of ISO 3, R20, from 1 µs to 10 s.

A bucket is 12 % wide, 14 % at most, so that a quantile is known to a few percent: a guard that acts when p99 rises by
a fifth has to see that fifth. Prometheus is told three bounds a decade (1, 2.5, 5), since each costs it a series.
"""

from collections.abc import Sequence
from typing import Final

R20: Final = (100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900)
TOLD: Final = (100, 250, 500)
HUNDREDTHS_NS: Final[tuple[int, ...]] = tuple(int(10**power) for power in range(1, 8))  # of 1 µs, 10 µs, … 1 s

BOUNDS_NS: Final[tuple[int, ...]] = (*(step * unit_ns for unit_ns in HUNDREDTHS_NS for step in R20), 10_000_000_000)
TOLD_NS: Final[tuple[int, ...]] = (*(step * unit_ns for unit_ns in HUNDREDTHS_NS for step in TOLD), 10_000_000_000)
BUCKETS_COUNT: Final = len(BOUNDS_NS) + 1
"""The last holds what took longer than the last bound."""
NS_PER_S: Final = 1_000_000_000


def quantile_s(buckets: Sequence[int], share: float) -> float | None:
    """The duration that `share` (0 to 1) of those counted didn't exceed, interpolated within its bucket; None of none.

    What exceeded the last bound counts as that bound.
    """
    total = sum(buckets)
    if not total:
        return None
    wanted, passed = share * total, 0
    for index, count in enumerate(buckets):
        if count and passed + count >= wanted:
            low_ns = BOUNDS_NS[index - 1] if index else 0
            high_ns = BOUNDS_NS[index] if index < len(BOUNDS_NS) else low_ns
            return (low_ns + (high_ns - low_ns) * max(0.0, wanted - passed) / count) / NS_PER_S
        passed += count
    return BOUNDS_NS[-1] / NS_PER_S
