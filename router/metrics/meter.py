"""Counting, as the request path does it: additions in this process's cells, 0.1 µs each.

Whoever counts gets a meter; there is none to be found. The edge and its resolver share the edge's, each listener has
one of its own.
"""

from bisect import bisect_left
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from router.metrics.bounds import BOUNDS_NS, BUCKETS_COUNT
from router.metrics.catalogue import (
    ACCEPT_PAUSES,
    CONNECTIONS,
    CONNECTIONS_OPENED,
    ENDINGS,
    FAILURES,
    NO_RULE,
    NO_SCHEME,
    OFFSETS,
    REFUSALS,
    REQUEST_SECONDS,
    REQUESTS,
    RESOLVE_SECONDS,
    RULES,
    SCHEMES,
    STATUS_CLASSES,
    Ending,
    Metric,
    Refusal,
    cell,
)
from router.metrics.slot import Cells

UNFOUND: Final = (NO_SCHEME, NO_RULE)
STATUS_CLASS_FIRST: Final = 1
REFUSAL_OF: Final = {
    HTTPStatus.BAD_REQUEST: Refusal.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT: Refusal.TOO_SLOW,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Refusal.BODY_TOO_LARGE,
    HTTPStatus.REQUEST_URI_TOO_LONG: Refusal.TARGET_TOO_LONG,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Refusal.HEADERS_TOO_LARGE,
    HTTPStatus.SERVICE_UNAVAILABLE: Refusal.CONNECTIONS_FULL,
    HTTPStatus.TOO_MANY_REQUESTS: Refusal.ADDRESS_FULL,
}
REFUSAL_OF_LIMIT: Final = {
    "header_count_max": Refusal.TOO_MANY_HEADERS,
    "window_bytes_min": Refusal.STALLED,
}
"""Where the status is another limit's too."""


class EdgeMeter:
    """One edge's counts. `cells` are for single counters: `meter.cells[DAMAGED] += 1`."""

    __slots__ = ("_bucket_of_series", "_request_buckets", "_requests", "_resolve_buckets", "cells")

    def __init__(self, cells: Cells) -> None:
        self.cells = cells
        # Of a decision's (scheme, rule): the cells that its answers are counted in, by status class from 1xx.
        self._requests = {
            found: cell(REQUESTS, *found, "1xx") - STATUS_CLASS_FIRST
            for found in [(scheme, rule) for scheme in SCHEMES for rule in RULES] + [UNFOUND]
        }
        self._request_buckets = {scheme: cell(REQUEST_SECONDS, scheme) for scheme in (*SCHEMES, NO_SCHEME)}
        self._bucket_of_series = {
            first + status_class: self._request_buckets[scheme]
            for (scheme, _), first in self._requests.items()
            for status_class in range(STATUS_CLASS_FIRST, STATUS_CLASS_FIRST + len(STATUS_CLASSES))
        }
        self._resolve_buckets: dict[str, int] = {scheme: cell(RESOLVE_SECONDS, scheme) for scheme in SCHEMES}

    def answered(self, found: tuple[str, str], status: int, elapsed_ns: int) -> None:
        """`found` is (scheme, rule), or UNFOUND."""
        cells = self.cells
        cells[self._requests[found] + status // 100] += 1
        first = self._request_buckets[found[0]]
        cells[first + bisect_left(BOUNDS_NS, elapsed_ns)] += 1
        cells[first + BUCKETS_COUNT] += elapsed_ns

    def series(self, found: tuple[str, str]) -> int:
        """To which a status class (2 for 200) is added to name where such answers are counted."""
        return self._requests[found]

    def answered_together(self, series: Sequence[int], elapsed_ns: int) -> None:
        """Answers that were made in one go, one for each of `series`; they share the time equally."""
        cells = self.cells
        each_ns = elapsed_ns // len(series)
        bucket = bisect_left(BOUNDS_NS, each_ns)
        for one in set(series):
            count = series.count(one)
            cells[one] += count
            first = self._bucket_of_series[one]
            cells[first + bucket] += count
            cells[first + BUCKETS_COUNT] += count * each_ns

    def resolved(self, scheme: str, elapsed_ns: int) -> None:
        cells = self.cells
        first = self._resolve_buckets[scheme]
        cells[first + bisect_left(BOUNDS_NS, elapsed_ns)] += 1
        cells[first + BUCKETS_COUNT] += elapsed_ns

    def add(self, metric: Metric, *values: str) -> None:
        """One more in the series with these label values; where it is done for each request, see `cells`."""
        self.cells[cell(metric, *values) if values else OFFSETS[metric.name]] += 1

    def put(self, metric: Metric, value: int) -> None:
        """What a gauge without labels shows from now on."""
        self.cells[OFFSETS[metric.name]] = value


class ListenerMeter:
    """One listener's counts. `listener` is one of catalogue.LISTENERS."""

    __slots__ = ("_cells", "_endings", "_failures", "_open", "_opened", "_pauses", "_refusals")

    def __init__(self, cells: Cells, listener: str) -> None:
        self._cells = cells
        self._open = cell(CONNECTIONS)
        self._opened = cell(CONNECTIONS_OPENED, listener)
        self._failures = cell(FAILURES, listener)
        self._pauses = cell(ACCEPT_PAUSES, listener)
        self._refusals = {reason: cell(REFUSALS, listener, reason) for reason in Refusal}
        self._endings = {limit: cell(ENDINGS, listener, limit) for limit in Ending}

    def opened(self) -> None:
        self._cells[self._opened] += 1
        self._cells[self._open] += 1

    def closed(self) -> None:
        self._cells[self._open] -= 1

    def refused(self, status: HTTPStatus, limit: str | None = None) -> None:
        reason = REFUSAL_OF.get(status, Refusal.UNSUPPORTED) if limit is None else REFUSAL_OF_LIMIT[limit]
        self._cells[self._refusals[reason]] += 1

    def ended(self, limit: Ending) -> None:
        self._cells[self._endings[limit]] += 1

    def stalled(self) -> None:
        """A client stopped taking or sending in the middle of a message, and was cut off."""
        self._cells[self._refusals[Refusal.STALLED]] += 1

    def failed(self) -> None:
        self._cells[self._failures] += 1

    def paused(self) -> None:
        self._cells[self._pauses] += 1
