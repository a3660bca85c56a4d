"""What all processes of a data folder have counted, together.

    before = read_metrics(folder)
    …
    passed = read_metrics(folder).since(before)
    passed.request_seconds().quantile(0.99), passed.errors_count / passed.requests_count

A process may count while it is read: figures that belong together can be a request apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add, sub
from pathlib import Path
from typing import Self

from router.metrics.bounds import BUCKETS_COUNT, NS_PER_S, quantile_s
from router.metrics.catalogue import CELLS_COUNT, OFFSETS, REQUEST_SECONDS, REQUESTS, RESOLVE_SECONDS, Kind, Metric
from router.metrics.slot import Slot, read_slots


@dataclass(frozen=True, slots=True)
class Histogram:
    """Durations by bucket (bounds.BOUNDS_NS), and their sum in seconds."""

    buckets: tuple[int, ...]
    sum_s: float

    @property
    def count(self) -> int:
        return sum(self.buckets)

    def quantile(self, share: float) -> float | None:
        """In seconds, to a few percent; None when nothing was counted."""
        return quantile_s(self.buckets, share)


@dataclass(frozen=True, slots=True)
class Reading:
    """`totals` are all slots' cells, added up: they mean something for counters and histograms. `living` are the
    processes that run now, whose gauges they are."""

    totals: tuple[int, ...]
    living: tuple[Slot, ...] = field(default=())

    @classmethod
    def of(cls, slots: list[Slot]) -> Self:
        totals = (0,) * CELLS_COUNT
        for slot in slots:
            totals = tuple(map(add, totals, slot.cells))
        return cls(totals, tuple(slot for slot in slots if slot.is_alive))

    def since(self, earlier: "Reading") -> "Reading":
        """What was counted after `earlier`, of the same folder, was read."""
        return Reading(tuple(map(sub, self.totals, earlier.totals)), self.living)

    def count(self, metric: Metric, **labels: str) -> int:
        """A counter's total over all series that have these labels."""
        assert metric.kind is Kind.COUNTER
        return sum(self.totals[index] for index in cells_of(metric, labels))

    def histogram(self, metric: Metric, **labels: str) -> Histogram:
        """All series that have these labels in one."""
        assert metric.kind is Kind.HISTOGRAM
        firsts = cells_of(metric, labels)
        columns = zip(*(self.totals[first : first + BUCKETS_COUNT + 1] for first in firsts), strict=True)
        *buckets, sum_ns = map(sum, columns)
        return Histogram(tuple(buckets), sum_ns / NS_PER_S)

    def request_seconds(self, **labels: str) -> Histogram:
        return self.histogram(REQUEST_SECONDS, **labels)

    def resolve_seconds(self, **labels: str) -> Histogram:
        return self.histogram(RESOLVE_SECONDS, **labels)

    @property
    def requests_count(self) -> int:
        return self.count(REQUESTS)

    @property
    def errors_count(self) -> int:
        """Requests answered with 5xx."""
        return self.count(REQUESTS, status="5xx")


def read_metrics(folder: Path) -> Reading:
    """`folder` is a data folder's `metrics/`; nothing is counted yet where it isn't there."""
    return Reading.of(read_slots(folder))


def cells_of(metric: Metric, labels: Mapping[str, str]) -> list[int]:
    """The first cell of each series that has these labels."""
    names = [label.name for label in metric.labels]
    assert labels.keys() <= set(names), f"{metric.name} has no such label"
    return [
        OFFSETS[metric.name] + index * metric.cells_per_series
        for index, values in enumerate(metric.series())
        if labels.items() <= dict(zip(names, values, strict=True)).items()
    ]
