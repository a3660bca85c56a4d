"""Buckets of durations, and the quantiles that come out of them."""

from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.metrics.bounds import BOUNDS_NS, BUCKETS_COUNT, NS_PER_S, TOLD_NS, quantile_s
from router.metrics.catalogue import REQUEST_SECONDS, cell
from router.metrics.meter import UNFOUND, EdgeMeter
from router.metrics.slot import unshared_cells


def buckets_of(durations_ns: list[int]) -> list[int]:
    cells = unshared_cells()
    meter = EdgeMeter(cells)
    for each in durations_ns:
        meter.answered(UNFOUND, 200, each)
    first = cell(REQUEST_SECONDS, "none")
    return list(cells[first : first + BUCKETS_COUNT])


def test_bounds_ascend_from_a_microsecond_to_ten_seconds_by_at_most_a_seventh() -> None:
    assert (BOUNDS_NS[0], BOUNDS_NS[-1]) == (1_000, 10 * NS_PER_S)
    assert all(low < high <= low * 1.143 for low, high in pairwise(BOUNDS_NS))


def test_told_bounds_are_among_the_bounds() -> None:
    assert set(TOLD_NS) <= set(BOUNDS_NS)


def test_nothing_has_no_quantile() -> None:
    assert quantile_s([0] * BUCKETS_COUNT, 0.99) is None


@given(st.lists(st.integers(1_001, 10 * NS_PER_S), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_within_a_seventh_of_the_exact_one(durations_ns: list[int], share: float) -> None:
    rank = max(1, ceil(round(share * len(durations_ns), 6)))
    exact_s = sorted(durations_ns)[rank - 1] / NS_PER_S
    found_s = quantile_s(buckets_of(durations_ns), share)
    assert found_s == pytest.approx(exact_s, rel=0.15)


def test_what_took_longer_than_the_last_bound_counts_as_that_bound() -> None:
    assert quantile_s(buckets_of([60 * NS_PER_S]), 0.5) == 10.0
