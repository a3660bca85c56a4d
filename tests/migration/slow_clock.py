"""A clock that goes on only when someone waits, so that a test of a long wait takes no time."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from migration.guard import Health
from migration.pacing import Pacer
from migration.progress import Control

SEVENTH_OF_JUNE = datetime(2026, 6, 7, 12, tzinfo=UTC)


class SlowClock(threading.Event):
    """Is also what a pacer waits on: `wait` lets the time pass at once, and does what is due then."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0
        self.polls_count = 0
        self.due: dict[int, Callable[[], None]] = {}

    def monotonic_s(self) -> float:
        return self.now_s

    def wait(self, timeout: float | None = None) -> bool:
        self.now_s += timeout or 0.0
        self.polls_count += 1
        assert self.polls_count < 100_000, "it waits for ever"
        self.due.pop(self.polls_count, lambda: None)()
        return self.is_set()


class Operator:
    """What an operator wants, and may change."""

    def __init__(self, **wishes: float) -> None:
        self.control = Control(**wishes)

    def wants(self) -> Control:
        return self.control


def slow_pacer(clock: SlowClock, operator: Operator, healths: Iterator[Health] | None = None) -> Pacer:
    pacer = Pacer(
        control=operator.wants,
        health=(lambda: next(healths)) if healths is not None else None,
        monotonic_s=clock.monotonic_s,
        local_now=lambda: SEVENTH_OF_JUNE,
        stop=clock,
    )
    pacer.begin()
    return pacer
