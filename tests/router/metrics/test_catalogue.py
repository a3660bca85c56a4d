"""The catalogue: names as Prometheus wants them, and cells that nobody shares."""

import re

import pytest

from router.metrics.catalogue import (
    CELLS_COUNT,
    COUNTED,
    METRICS,
    Kind,
    Metric,
    Refusal,
    cell,
)
from router.policy import RuleName, Scheme


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_says_whose_it_is_its_unit_and_its_kind(metric: Metric) -> None:
    assert re.fullmatch(r"onehop(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    if metric.kind is Kind.HISTOGRAM:
        assert metric.name.endswith("_seconds")
    assert metric.meaning.endswith(".")


def test_no_two_metrics_have_a_name_in_common() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_every_series_has_cells_of_its_own() -> None:
    taken = [
        first + offset
        for metric in COUNTED
        for first in [cell(metric, *values) for values in metric.series()]
        for offset in range(metric.cells_per_series)
    ]
    assert sorted(taken) == list(range(CELLS_COUNT))


def test_gauges_in_cells_have_no_labels_but_their_process() -> None:
    assert all(not metric.labels for metric in COUNTED if metric.kind is Kind.GAUGE)


def test_labels_hold_every_scheme_rule_and_refusal() -> None:
    values = {value for metric in COUNTED for label in metric.labels for value in label.values}
    assert values >= {*Scheme, *RuleName, *Refusal}


def test_the_series_of_a_process_stay_few() -> None:
    assert sum(len(metric.series()) for metric in METRICS) < 300
