"""Unix time that is never stepped back in a process's life: read once, counted on by a clock that nobody sets."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class SteadyClock:
    """What a job stamps its progress and its samples with; the next process begins with the wall's time anew."""

    wall_s: Callable[[], float] = time.time
    monotonic_s: Callable[[], float] = time.monotonic
    _ahead_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._ahead_s = self.wall_s() - self.monotonic_s()

    def now_s(self) -> float:
        return self._ahead_s + self.monotonic_s()
