"""docs/metrics.md and the dashboard speak of the metrics that there are."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from router.metrics.catalogue import COUNTED, METRICS, Kind, Metric

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| `(onehop_\w+)` \| (\w+) \|([^|]*)\| .+ \|$", re.MULTILINE)
NAME = re.compile(r"\bonehop_[a-z_]+")
KIND_SUFFIX = re.compile(r"_(bucket|count|sum)$")
BY_NAME = {metric.name: metric for metric in METRICS}
DASHBOARD: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
TEXT = (DOCS / "metrics.md").read_text()


def documented() -> dict[str, tuple[str, set[str]]]:
    """Each metric's kind and labels, as its row says."""
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in ROW.findall(TEXT)}


def labels_of(metric: Metric) -> set[str]:
    """`process` and `database` are given where a metric is told."""
    labels = {label.name for label in metric.labels}
    is_a_processs = metric.name.startswith("onehop_process") or metric.name == "onehop_feed_lag_entries"
    if is_a_processs or (metric.kind is Kind.GAUGE and metric in COUNTED):
        labels.add("process")
    if metric.name == "onehop_store_rows":
        labels.add("database")
    return labels


def metric_of(name: str) -> Metric:
    """The one that a query's name belongs to."""
    found = BY_NAME.get(name) or BY_NAME[KIND_SUFFIX.sub("", name)]
    assert (found.name != name) == (found.kind is Kind.HISTOGRAM), f"{name} is asked for as what it isn't"
    return found


def test_the_page_has_a_row_for_each_metric_with_its_kind_and_labels() -> None:
    assert documented() == {metric.name: (metric.kind.value, labels_of(metric)) for metric in METRICS}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_page_names_every_value_of_a_metrics_own_labels(metric: Metric) -> None:
    values = {value for label in metric.labels if label.name != "status" for value in label.values}
    assert {value for value in values if f"`{value}`" not in TEXT} == set()


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_of_the_dashboard_asks_for_what_there_is(query: str) -> None:
    names = NAME.findall(query)
    assert names
    for name in names:
        metric_of(name)
    for matched_labels in re.findall(r"\{([^}]*)\}", query):
        for label, value in re.findall(r'(\w+)[!=]=?~?"([^"]*)"', matched_labels):
            metrics = [metric_of(name) for name in names]
            assert any(label in labels_of(metric) for metric in metrics)
            known = {each for metric in metrics for own in metric.labels if own.name == label for each in own.values}
            assert not known or set(value.split("|")) <= known


@pytest.mark.parametrize("query", re.search(r"```promql\n(.*?)```", TEXT, re.DOTALL)[1].splitlines())  # type: ignore[index]
def test_an_alarm_of_the_page_asks_for_what_there_is(query: str) -> None:
    assert [metric_of(name) for name in NAME.findall(query)]


def test_the_dashboard_shows_every_metric_but_the_feeds_position() -> None:
    shown = {metric_of(name).name for query in QUERIES for name in NAME.findall(query)}
    assert BY_NAME.keys() - shown == {"onehop_feed_seq"}


def test_no_two_panels_of_the_dashboard_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        squares = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not squares & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= squares
