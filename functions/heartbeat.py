"""Whether a workerd process lives, from a heartbeat that it was sent and the processor time that it has used. Pure.

workerd runs all isolates on one thread: while one of them computes, nothing comes out of the process. How long that
lasts nobody can know beforehand, so there are two bounds. Past the first the process is stalled: the others are served
elsewhere, and what computes may go on. Past the second it is hung. Both count processor time, since a process that
is only starved of it can't answer either; and while anything at all comes out of it, it is only busy.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

STALL_CPU_S: Final = 0.35
HANG_CPU_S: Final = 1.8
HANG_S_MAX: Final = 20.0


class Pulse(Enum):
    LIVES = "lives"
    STALLED = "stalled"
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class Signs:
    """What is seen of a process at one moment. `cpu_s` counts from its start; `heard_count` is how often something has
    come out of it."""

    now_s: float
    cpu_s: float
    heard_count: int


class Heartbeat:
    """One heartbeat that waits for its answer."""

    __slots__ = ("_begun", "_quiet")

    def __init__(self, begun: Signs) -> None:
        self._begun = begun
        self._quiet = begun

    @property
    def sent_s(self) -> float:
        return self._begun.now_s

    def pulse(self, seen: Signs) -> Pulse:
        """As long as it isn't answered."""
        if seen.now_s - self._begun.now_s > HANG_S_MAX or seen.cpu_s - self._begun.cpu_s > HANG_CPU_S:
            return Pulse.HUNG
        if seen.heard_count != self._quiet.heard_count:
            self._quiet = seen
        return Pulse.STALLED if seen.cpu_s - self._quiet.cpu_s > STALL_CPU_S else Pulse.LIVES
