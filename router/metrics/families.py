"""A reading as Prometheus is told it: prometheus_client's families, and their text.

prometheus_client renders and negotiates the format; its own counters, a lock and a dictionary look-up each, and its
multiprocess mode, one file a process id, are left aside (docs/decisions/0007-metrics-in-mapped-cells.md).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from router.metrics.bounds import BOUNDS_NS, NS_PER_S, TOLD_NS
from router.metrics.catalogue import (
    COUNTED,
    FEED_LAG,
    FEED_SEQ,
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_START,
    STORE_BYTES,
    STORE_ROWS,
    Kind,
    Metric,
    cell,
)
from router.metrics.process_info import ProcessInfo, read_process_info
from router.metrics.reading import Histogram, Reading
from router.metrics.slot import Slot
from router.metrics.store_info import StoreInfo

Families = Iterator[Family]


class Told(Collector):
    """The families of one scrape."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Family]:
        return iter(self._families)


def render(reading: Reading, store: StoreInfo, accept: str, more: Iterable[Family] = ()) -> tuple[bytes, str]:
    """The text and its content type, in the format that the Accept header's value asks for. `more` comes last."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told([*counted(reading), *told_of_processes(reading, store), *told_of_store(store), *more]))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def counted(reading: Reading) -> Families:
    names = process_names(reading.living)
    for metric in COUNTED:
        if metric.kind is Kind.GAUGE:
            yield gauge(metric, {(names[slot.pid],): slot.cells[cell(metric)] for slot in reading.living}, "process")
            continue
        labels = [label.name for label in metric.labels]
        if metric.kind is Kind.COUNTER:
            counter = CounterMetricFamily(metric.name, metric.meaning, labels=labels)
            for values in metric.series():
                counter.add_metric(values, reading.totals[cell(metric, *values)])
            yield counter
        else:
            histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=labels)
            for values in metric.series():
                durations = reading.histogram(metric, **dict(zip(labels, values, strict=True)))
                histogram.add_metric(values, told_buckets(durations), durations.sum_s)
            yield histogram


def told_buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """(upper bound in seconds, how many were no longer) of the bounds that are told."""
    told, passed, at = [], 0, 0
    for index, bound_ns in enumerate(BOUNDS_NS):
        passed += histogram.buckets[index]
        if bound_ns == TOLD_NS[at]:
            told.append((f"{bound_ns / NS_PER_S:g}", float(passed)))
            at += 1
    return [*told, ("+Inf", float(histogram.count))]


def told_of_processes(reading: Reading, store: StoreInfo) -> Families:
    names = process_names(reading.living)
    infos: dict[str, ProcessInfo] = {}
    for slot in reading.living:
        info = read_process_info(slot.pid)
        if info is not None:
            infos[names[slot.pid]] = info
    memory: dict[tuple[str, ...], float] = {(name, "own"): info.own_bytes for name, info in infos.items()}
    memory |= {(name, "files"): info.file_bytes for name, info in infos.items()}
    yield gauge(PROCESS_MEMORY, memory, "process", "memory")
    cpu = CounterMetricFamily(PROCESS_CPU.name, PROCESS_CPU.meaning, labels=["process"])
    for name, info in infos.items():
        cpu.add_metric((name,), info.cpu_s)
    yield cpu
    yield gauge(PROCESS_START, {(name,): info.started_at_s for name, info in infos.items()}, "process")
    edges = {names[slot.pid]: slot.cells[cell(FEED_SEQ)] for slot in reading.living if slot.role.startswith("edge")}
    yield gauge(FEED_LAG, {(name,): max(0, store.feed_seq - seq) for name, seq in edges.items()}, "process")


def told_of_store(store: StoreInfo) -> Families:
    yield gauge(STORE_ROWS, {(database,): count for database, count in store.rows.items()}, "database")
    yield gauge(STORE_BYTES, {(): store.file_bytes})


def gauge(metric: Metric, values: Mapping[tuple[str, ...], float], *labels: str) -> Family:
    family = GaugeMetricFamily(metric.name, metric.meaning, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def process_names(living: tuple[Slot, ...]) -> dict[int, str]:
    """A name for each process id: its role, and its id too while its heir serves already."""
    roles = Counter(slot.role for slot in living)
    return {slot.pid: slot.role if roles[slot.role] == 1 else f"{slot.role} ({slot.pid})" for slot in living}
