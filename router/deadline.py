"""A deadline that moves often and passes seldom, such as a connection's.

Moving it later costs one assignment: the loop's timer stays where it is, and looks again when it goes off.
"""

import asyncio
from collections.abc import Callable
from math import inf


class Deadline:
    """Calls `expired` once the deadline last set has passed. Starts without one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._at_s = inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = inf

    def set(self, after_s: float) -> None:
        self._at_s = self._loop.time() + after_s
        if self._at_s < self._timer_at_s:
            self._cancel_timer()
            self._arm()

    def clear(self) -> None:
        self._at_s = inf

    def close(self) -> None:
        self._at_s = inf
        self._cancel_timer()

    def _arm(self) -> None:
        self._timer_at_s = self._at_s
        self._timer = self._loop.call_at(self._at_s, self._look)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at_s = inf

    def _look(self) -> None:
        self._timer, due_s, self._timer_at_s = None, self._timer_at_s, inf
        if self._at_s <= due_s:
            self._at_s = inf
            self._expired()
        elif self._at_s < inf:
            self._arm()
