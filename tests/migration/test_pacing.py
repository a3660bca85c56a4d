"""Between batches: what an operator wants holds at once, also in the middle of a long wait, and each change is told."""

from dataclasses import replace
from datetime import time
from itertools import chain, repeat

import pytest

from migration.guard import Health
from migration.pacing import POLL_S, Hours, Stopped
from migration.progress import Control
from tests.migration.slow_clock import Operator, SlowClock, slow_pacer

WELL = Health(1_000, 0, 0.010)
SLOW = Health(1_000, 0, 0.030)
AWFUL = Health(1_000, 0, 0.300)


def test_a_pace_that_is_set_holds_from_the_next_poll_on() -> None:
    clock, operator = SlowClock(), Operator(deployments_per_s=10.0)
    pacer = slow_pacer(clock, operator)

    def set_rate() -> None:
        operator.control = Control(deployments_per_s=10_000.0)

    clock.due[5] = set_rate
    pacer.after_batch(rows_count=10_000, bytes_count=0)
    assert clock.now_s - 1_000.0 < 5 * POLL_S + 1.1, "a thousand seconds at the pace of before"
    assert pacer.take_events() == ["the pace was set to 10,000 deployments a second"]
    assert pacer.take_events() == []


def test_a_pause_in_the_middle_of_a_wait_is_told_and_holds() -> None:
    clock, operator = SlowClock(), Operator(deployments_per_s=100.0)
    pacer = slow_pacer(clock, operator)
    waited_for = []

    def pause() -> None:
        operator.control = replace(operator.control, is_paused=True, pause_reason="paused by hand")

    def resume() -> None:
        waited_for.append(pacer.waiting_for)
        operator.control = replace(operator.control, is_paused=False)

    clock.due = {3: pause, 100: resume}
    pacer.after_batch(rows_count=200, bytes_count=0)
    assert waited_for == ["paused by hand"]
    assert pacer.take_events() == ["waits: paused by hand", "goes on"]
    assert pacer.waiting_for == ""


def test_what_the_pace_has_not_allowed_yet_is_pending() -> None:
    clock, operator = SlowClock(), Operator(deployments_per_s=100.0)
    pacer = slow_pacer(clock, operator)
    pending = []
    clock.due[5] = lambda: pending.append(pacer.pending_rows)
    pacer.after_batch(rows_count=200, bytes_count=0)
    assert pending == [pytest.approx(200 - 100 * 4 * POLL_S)]
    assert pacer.pending_rows < 1.0


def test_each_change_of_the_guard_is_told_with_its_reason() -> None:
    clock, operator = SlowClock(), Operator(deployments_per_s=100.0)
    pacer = slow_pacer(clock, operator, chain([WELL, WELL], repeat(SLOW, 2), repeat(WELL)))
    pacer.after_batch(rows_count=900, bytes_count=0)
    first, second, *back = pacer.take_events()
    assert first == "the guard slowed it to 50% of the pace: p99 has risen, p99 30.0 ms (before 10.0 ms), 0.00% errors"
    assert "to 25%" in second
    assert [words.split(":")[0] for words in back] == [
        "the guard let it go on at 50% of the pace",
        "the guard let it go on at 100% of the pace",
    ]


def test_the_guard_s_last_word_is_told() -> None:
    pacer = slow_pacer(SlowClock(), Operator(deployments_per_s=100.0), chain([WELL, WELL], repeat(AWFUL)))
    with pytest.raises(Stopped):
        pacer.after_batch(rows_count=10_000, bytes_count=0)
    assert pacer.take_events()[-1].startswith("stopped by the guard: p99 has risen")


def test_a_clock_that_is_stepped_back_costs_no_more_than_the_wait_itself() -> None:
    clock, operator = SlowClock(), Operator(deployments_per_s=100.0)
    pacer = slow_pacer(clock, operator, repeat(WELL))

    def step_back() -> None:
        clock.now_s -= 3_600.0

    clock.due[clock.polls_count + 2] = step_back
    before = clock.polls_count
    pacer.after_batch(rows_count=200, bytes_count=0)
    assert clock.polls_count - before < 3 * 200 / 100 / POLL_S
    assert pacer.pending_rows >= 0.0


def test_outside_of_its_hours_it_waits_and_says_so() -> None:
    clock, operator = SlowClock(), Operator()
    pacer = slow_pacer(clock, operator)
    pacer.hours = Hours(time(22), time(6))

    def open_up() -> None:
        pacer.hours = None

    clock.due[3] = open_up
    pacer.after_batch(rows_count=1, bytes_count=0)
    assert pacer.take_events() == ["waits: outside of its hours", "goes on"]


@pytest.mark.parametrize("text", ["22:00", "22:00-22:00", "22:00-06:00-07:00", "22:00-06:00+01:00", "x-y", "-", ""])
def test_what_is_no_window_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="hours"):
        Hours.parse(text)
