"""Deadlines against a clock that the test turns."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from router.deadline import Deadline


class TurnedLoop(asyncio.BaseEventLoop):
    """A loop whose time is `now_s`; `turn_to` runs the timers that are due then."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.timers: list[tuple[asyncio.TimerHandle, Callable[..., object]]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: object = None
    ) -> asyncio.TimerHandle:  # type: ignore[override]
        handle = asyncio.TimerHandle(when, callback, args, self)
        self.timers.append((handle, callback))
        return handle

    def turn_to(self, now_s: float) -> None:
        self.now_s = now_s
        due = [entry for entry in self.timers if entry[0].when() <= now_s]
        self.timers = [entry for entry in self.timers if entry not in due]
        for handle, callback in due:
            if not handle.cancelled():
                callback()

    @property
    def armed_count(self) -> int:
        return sum(not handle.cancelled() for handle, _ in self.timers)

    def _timer_handle_cancelled(self, handle: object) -> None:
        pass


@pytest.fixture
def loop() -> Iterator[TurnedLoop]:
    loop = TurnedLoop()
    yield loop
    loop.close()


def test_it_passes_once(loop: TurnedLoop) -> None:
    passed: list[float] = []
    deadline = Deadline(loop, lambda: passed.append(loop.now_s))
    deadline.set(10)
    for now_s in (9, 10, 11, 30):
        loop.turn_to(now_s)
    assert passed == [10]


def test_moving_it_later_arms_no_second_timer(loop: TurnedLoop) -> None:
    passed: list[float] = []
    deadline = Deadline(loop, lambda: passed.append(loop.now_s))
    for now_s in range(5):
        loop.now_s = now_s
        deadline.set(10)
        assert loop.armed_count == 1
    loop.turn_to(10)
    assert not passed
    loop.turn_to(14)
    assert passed == [14]


def test_moving_it_earlier_counts(loop: TurnedLoop) -> None:
    passed: list[float] = []
    deadline = Deadline(loop, lambda: passed.append(loop.now_s))
    deadline.set(60)
    deadline.set(5)
    assert loop.armed_count == 1
    loop.turn_to(5)
    assert passed == [5]


def test_cleared_it_never_passes_and_can_be_set_again(loop: TurnedLoop) -> None:
    passed: list[float] = []
    deadline = Deadline(loop, lambda: passed.append(loop.now_s))
    deadline.set(5)
    deadline.clear()
    loop.turn_to(5)
    assert (passed, loop.armed_count) == ([], 0)
    deadline.set(5)
    loop.turn_to(10)
    assert passed == [10]


def test_closed_it_leaves_no_timer(loop: TurnedLoop) -> None:
    deadline = Deadline(loop, lambda: None)
    deadline.set(5)
    deadline.close()
    assert loop.armed_count == 0
