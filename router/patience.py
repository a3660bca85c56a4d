"""How long a connection waits for its client: one deadline, and windows of time in which something must move."""

import asyncio
from collections.abc import Callable

from router.deadline import Deadline
from router.http1.limits import HttpLimits


class Patience:
    """`received_bytes` is the connection's to count. `in_window`: the last wait begun was a window."""

    __slots__ = ("_deadline", "_limits", "_received_bytes_before", "_taken_bytes_before", "in_window", "received_bytes")

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: HttpLimits, passed: Callable[[], None]) -> None:
        """`passed` is called when the client had its time."""
        self._deadline = Deadline(loop, passed)
        self._limits = limits
        self.received_bytes = 0
        self._received_bytes_before = 0
        self._taken_bytes_before = 0
        self.in_window = False

    def with_idling(self, left_s: float | None = None) -> None:
        self.in_window = False
        self._deadline.set(self._limits.idle_s if left_s is None else left_s)

    def with_head(self) -> None:
        self._deadline.set(self._limits.head_s)

    def with_lingering(self) -> None:
        self.in_window = False
        self._deadline.set(self._limits.linger_s)

    def with_window(self, taken_bytes: int) -> None:
        """From now on, until the deadline, something must come in or go out. `taken_bytes`: what the client's side has
        taken until now."""
        self.in_window = True
        self._received_bytes_before = self.received_bytes
        self._taken_bytes_before = taken_bytes
        self._deadline.set(self._limits.window_s)

    def has_taken(self, taken_bytes: int) -> bool:
        """Enough since the window began."""
        return taken_bytes - self._taken_bytes_before >= self._limits.window_bytes_min

    def has_given(self) -> bool:
        return self.received_bytes - self._received_bytes_before >= self._limits.window_bytes_min

    def endless(self) -> None:
        self._deadline.clear()

    def close(self) -> None:
        self._deadline.close()
