"""By how long they took, the ends of steps are counted: an end belongs to the least bound that is not below it.

The bounds are stored with the counts, so a store that counted by others is still read rightly.
"""

from bisect import bisect_left
from typing import Final

from workflows.states import LogEvent

BOUNDS_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000)
UNBOUNDED_MS: Final = 1 << 62  # above any time
TIMED_EVENTS: Final = (LogEvent.STEP_SUCCESS, LogEvent.STEP_FAILURE)


def bound_ms(wall_ms: int) -> int:
    place = bisect_left(BOUNDS_MS, wall_ms)
    return BOUNDS_MS[place] if place < len(BOUNDS_MS) else UNBOUNDED_MS
