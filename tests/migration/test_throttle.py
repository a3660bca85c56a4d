from hypothesis import given
from hypothesis import strategies as st

from migration.throttle import BURST_S, Pace, Throttle


@given(st.floats(1, 1e6), st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 0.1)), min_size=1, max_size=50))
def test_no_stretch_of_time_passes_more_than_the_pace_and_a_burst(
    per_s: float, batches: list[tuple[int, float]]
) -> None:
    now_s, rows = 0.0, 0
    throttle = Throttle(now_s)
    for count, work_s in batches:
        now_s += work_s
        rows += count
        now_s += throttle.wait_s(Pace(per_s), rows_count=count, bytes_count=0, now_s=now_s)
    assert rows <= per_s * (now_s + BURST_S) * 1.000001 + 1


def test_the_slower_of_two_bounds_counts() -> None:
    assert Throttle(0.0).wait_s(Pace(100.0, 1_000.0), rows_count=10, bytes_count=1_000, now_s=0.0) == 1.0
    assert Throttle(0.0).wait_s(Pace(100.0, 1_000.0), rows_count=500, bytes_count=1_000, now_s=0.0) == 5.0


def test_time_that_went_by_unused_is_kept_for_a_moment_only() -> None:
    assert Throttle(0.0).wait_s(Pace(100.0), rows_count=100, bytes_count=0, now_s=60.0) == 1.0 - BURST_S


def test_without_bounds_nothing_waits() -> None:
    assert Throttle(0.0).wait_s(Pace(), rows_count=10**9, bytes_count=10**12, now_s=0.0) == 0.0


def test_a_slow_pace_makes_batches_small() -> None:
    assert Pace(1_000.0).batch_rows(10_000, 0.1) == 100
    assert Pace(1.0).batch_rows(10_000, 0.1) == 1
    assert Pace().batch_rows(10_000, 0.1) == 10_000
