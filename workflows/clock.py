"""Time as a seam: the system's, or a test's. Stored deadlines are wall-clock ms; waits are measured monotonically."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """`call_at` runs `callback` on the loop that called it, once `now_ms() >= when_ms`: late perhaps, never early."""

    def now_ms(self) -> int: ...
    def call_at(self, when_ms: int, callback: Callable[[], None]) -> Timer: ...


class _Armed:
    """A wall-clock deadline over a monotonic wait: a clock that was set back delays it, nothing makes it early."""

    __slots__ = ("_callback", "_clock", "_handle", "_when_ms")

    def __init__(self, clock: "SystemClock", when_ms: int, callback: Callable[[], None]) -> None:
        self._clock, self._when_ms, self._callback = clock, when_ms, callback
        self._arm(max(0, when_ms - clock.now_ms()))

    def _arm(self, wait_ms: int) -> None:
        self._handle = asyncio.get_running_loop().call_later(wait_ms / 1000, self._fire)

    def _fire(self) -> None:
        left_ms = self._when_ms - self._clock.now_ms()
        if left_ms > 0:
            self._arm(left_ms)
        else:
            self._callback()

    def cancel(self) -> None:
        self._handle.cancel()


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def call_at(self, when_ms: int, callback: Callable[[], None]) -> Timer:
        return _Armed(self, when_ms, callback)


def from_ms(ms: int) -> datetime:
    """Aware, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)
