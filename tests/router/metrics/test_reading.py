"""A reading: what passed between two moments, by label and by quantile."""

from pathlib import Path

import pytest

from router.metrics.catalogue import REQUESTS
from router.metrics.meter import UNFOUND, EdgeMeter
from router.metrics.reading import read_metrics
from router.metrics.slot import held_slot

MS_NS = 1_000_000


def test_a_reading_tells_requests_errors_and_quantiles_since_another(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as one, held_slot(tmp_path, "edge 2") as two:
        meters = [EdgeMeter(one), EdgeMeter(two)]
        for meter in meters:
            meter.answered(("legacy", "default"), 500, 900 * MS_NS)
        before = read_metrics(tmp_path)
        for number in range(100):
            meters[number % 2].answered(("hashed", "pin"), 200, (number + 1) * MS_NS)
        meters[0].answered(UNFOUND, 404, MS_NS)
        meters[1].answered(("legacy", "split"), 502, 2 * MS_NS)
        passed = read_metrics(tmp_path).since(before)
    assert (passed.requests_count, passed.errors_count) == (102, 1)
    assert passed.count(REQUESTS, scheme="hashed") == 100
    assert passed.count(REQUESTS, scheme="hashed", rule="pin", status="2xx") == 100
    assert passed.count(REQUESTS, rule="split") == 1
    hashed = passed.request_seconds(scheme="hashed")
    assert hashed.count == 100
    assert hashed.sum_s == pytest.approx(sum(range(1, 101)) / 1000)
    assert hashed.quantile(0.5) == pytest.approx(0.050, rel=0.06)
    assert hashed.quantile(0.99) == pytest.approx(0.099, rel=0.06)
    assert passed.request_seconds().count == 102


def test_look_ups_are_timed_by_scheme(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as cells:
        meter = EdgeMeter(cells)
        meter.resolved("hashed", 10_000)
        meter.resolved("legacy", 100 * MS_NS)
        reading = read_metrics(tmp_path)
    assert reading.resolve_seconds(scheme="hashed").quantile(0.5) == pytest.approx(10e-6, rel=0.12)
    assert reading.resolve_seconds(scheme="legacy").sum_s == pytest.approx(0.1)
    assert reading.resolve_seconds(scheme="legacy-compiled").quantile(0.5) is None
