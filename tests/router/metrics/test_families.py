"""What Prometheus is told, read back by its own parser."""

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from router.metrics.catalogue import CONNECTIONS, FEED_SEQ, METRICS, REQUESTS, cell
from router.metrics.families import render
from router.metrics.meter import EdgeMeter
from router.metrics.reading import Reading, read_metrics
from router.metrics.slot import held_slot
from router.metrics.store_info import StoreInfo

STORE = StoreInfo(rows={"routes": 7, "sites": 2}, feed_seq=12, file_bytes=4096)
TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text;version=1.0.0"
MS_NS = 1_000_000


def told(reading: Reading) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample, by name and labels."""
    text, _ = render(reading, STORE, TEXT)
    families = text_string_to_metric_families(text.decode())
    samples: list[Sample] = [sample for family in families for sample in family.samples]
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}


def test_each_metric_of_the_catalogue_is_told_and_no_other(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1"):
        text, _ = render(read_metrics(tmp_path), STORE, TEXT)
    families = list(text_string_to_metric_families(text.decode()))
    assert {family.name for family in families} == {metric.name.removesuffix("_total") for metric in METRICS}
    assert all(family.documentation for family in families)


@pytest.mark.parametrize(("accept", "kind"), [(TEXT, "text/plain"), (OPENMETRICS, "application/openmetrics-text")])
def test_the_format_is_the_one_that_was_asked_for(tmp_path: Path, accept: str, kind: str) -> None:
    with held_slot(tmp_path, "edge 1"):
        text, content_type = render(read_metrics(tmp_path), STORE, accept)
    assert content_type.startswith(kind)
    parse = text_string_to_metric_families if accept == TEXT else openmetrics.text_string_to_metric_families
    assert list(parse(text.decode()))


def test_counters_are_sums_over_processes_and_gauges_each_processs_own(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as one, held_slot(tmp_path, "edge 2") as two:
        for cells, count in ((one, 3), (two, 4)):
            for _ in range(count):
                EdgeMeter(cells).answered(("hashed", "default"), 200, MS_NS)
            cells[cell(CONNECTIONS)] = count
        reading = read_metrics(tmp_path)
    first, second = (replace(slot, pid=number) for number, slot in enumerate(reading.living))
    samples = told(replace(reading, living=(first, second, replace(second, pid=3))))
    gauges = {dict(labels)["process"]: value for (name, labels), value in samples.items() if name == CONNECTIONS.name}
    assert samples[REQUESTS.name, (("rule", "default"), ("scheme", "hashed"), ("status", "2xx"))] == 7
    assert gauges == {"edge 1": 3, "edge 2 (1)": 4, "edge 2 (3)": 4}


def test_a_dead_processs_gauges_are_not_told(tmp_path: Path) -> None:
    reading = Reading(tuple([0] * len(read_metrics(tmp_path).totals)))
    assert not [name for name, _ in told(reading) if name == CONNECTIONS.name]


def test_buckets_only_grow_and_end_with_the_count(tmp_path: Path) -> None:
    durations_ns = [500, 900_000, 7 * MS_NS, 60_000 * MS_NS]
    with held_slot(tmp_path, "edge 1") as cells:
        for each in durations_ns:
            EdgeMeter(cells).answered(("legacy", "pin"), 200, each)
        samples = told(read_metrics(tmp_path))
    ours = (("scheme", "legacy"),)
    counts = {
        float(dict(labels)["le"]): value
        for (name, labels), value in samples.items()
        if name == "onehop_request_seconds_bucket" and ("scheme", "legacy") in labels
    }
    assert [counts[bound] for bound in sorted(counts)] == sorted(counts.values())
    assert (counts[1e-06], counts[0.001], counts[0.01], counts[10.0], counts[float("inf")]) == (1, 2, 3, 3, 4)
    assert samples["onehop_request_seconds_count", ours] == 4
    assert samples["onehop_request_seconds_sum", ours] == pytest.approx(sum(durations_ns) / 1e9)


def test_feed_lag_is_what_the_store_has_and_an_edge_has_not_read(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as cells:
        EdgeMeter(cells).put(FEED_SEQ, 9)
        samples = told(read_metrics(tmp_path))
    assert samples["onehop_feed_lag_entries", (("process", "edge 1"),)] == 3


def test_a_living_process_tells_its_memory_time_and_start(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1"):
        samples = told(read_metrics(tmp_path))
    assert samples["onehop_process_resident_bytes", (("memory", "own"), ("process", "edge 1"))] > 1_000_000
    assert samples["onehop_process_cpu_seconds_total", (("process", "edge 1"),)] > 0
    assert samples["onehop_process_start_time_seconds", (("process", "edge 1"),)] > 1_500_000_000
