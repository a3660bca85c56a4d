"""The waits of one lifetime: every place where a step call stands still, so that all can be ended at once.

A wait has a deadline in wall-clock ms, or none. While the lifetime is `held` (a pause was asked for) no deadline
passes; they are moved by the time it was held.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workflows.clock import Clock, Timer
from workflows.errors import LifetimeEnded


class Wait:
    """One standstill. `due_ms` is None where only others can end it."""

    __slots__ = ("due_ms", "event_type", "future", "timer")

    def __init__(self, future: "asyncio.Future[bool]", due_ms: int | None, event_type: str | None) -> None:
        self.future = future
        self.due_ms = due_ms
        self.event_type = event_type
        self.timer: Timer | None = None


class Waits:
    """`on_change` is told whenever a wait begins or ends."""

    def __init__(self, clock: Clock, on_change: Callable[[], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._waits: dict[Wait, None] = {}
        self._inner: set[asyncio.Future[None]] = set()
        self._is_held = False
        self._is_ended = False

    def __len__(self) -> int:
        return len(self._waits)

    def next_due_ms(self) -> int | None:
        return min((wait.due_ms for wait in self._waits if wait.due_ms is not None), default=None)

    async def until(self, due_ms: int | None, event_type: str | None = None) -> bool:
        """True once `due_ms` has come, False if `notify` was called for the type. Raises LifetimeEnded."""
        if self._is_ended:
            raise LifetimeEnded
        wait = Wait(asyncio.get_running_loop().create_future(), due_ms, event_type)
        self._waits[wait] = None
        self._arm(wait)
        self._on_change()
        try:
            return await wait.future
        finally:
            if wait.timer is not None:
                wait.timer.cancel()
            self._waits.pop(wait, None)
            self._on_change()

    def _arm(self, wait: Wait) -> None:
        if wait.due_ms is not None and not self._is_held:
            wait.timer = self._clock.call_at(wait.due_ms, lambda: self._come(wait))

    def _come(self, wait: Wait) -> None:
        if not wait.future.done() and not self._is_held:
            wait.future.set_result(True)

    def notify(self, event_type: str | None = None) -> None:
        """Lets those that wait for an event look again, in the order in which they began to wait."""
        for wait in self._waits:
            if wait.event_type is not None and event_type in (None, wait.event_type) and not wait.future.done():
                wait.future.set_result(False)

    def hold(self) -> None:
        self._is_held = True
        for wait in self._waits:
            if wait.timer is not None:
                wait.timer.cancel()

    def go_on(self, by_ms: int) -> None:
        """Ends the hold; what is still to come comes `by_ms` later than it would have."""
        self._is_held = False
        for wait in self._waits:
            if wait.due_ms is not None and not wait.future.done():
                wait.due_ms += by_ms
                self._arm(wait)

    @contextmanager
    def endable(self, future: "asyncio.Future[None]") -> Iterator[None]:
        """Within, `end` makes `future` raise LifetimeEnded too. Such a wait is work, not a standstill."""
        if self._is_ended:
            raise LifetimeEnded
        self._inner.add(future)
        try:
            yield
        finally:
            self._inner.discard(future)

    def end(self) -> None:
        """Every wait raises LifetimeEnded, now and from now on."""
        self._is_ended = True
        waiting: list[asyncio.Future[bool] | asyncio.Future[None]] = [wait.future for wait in self._waits]
        for future in [*waiting, *self._inner]:
            if not future.done():
                future.set_exception(LifetimeEnded())
