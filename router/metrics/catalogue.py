"""Every metric, and where those that processes count lie among a process's cells.

A cell is an unsigned 64-bit number. A counter or gauge has one for each combination of its labels' values, all of
which are known here: nothing that a client sends can make a series. A histogram has its buckets and then the sum, in
nanoseconds. docs/metrics.md describes each metric for operators.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from itertools import product
from math import prod
from typing import Final

from router.metrics.bounds import BOUNDS_NS, BUCKETS_COUNT
from router.policy import RuleName, Scheme

SCHEMES: Final = tuple(Scheme)
NO_SCHEME: Final = "none"
RULES: Final = tuple(RuleName)
NO_RULE: Final = "none"
STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx")
LISTENERS: Final = ("edge", "api")


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Refusal(StrEnum):
    """Why the listener gave a request or a connection up."""

    BAD_REQUEST = "bad request"
    TARGET_TOO_LONG = "target too long"
    HEADERS_TOO_LARGE = "headers too large"
    TOO_MANY_HEADERS = "too many headers"
    BODY_TOO_LARGE = "body too large"
    TOO_SLOW = "too slow"
    STALLED = "stalled"
    UNSUPPORTED = "unsupported"
    CONNECTIONS_FULL = "connections full"
    ADDRESS_FULL = "address full"


class Ending(StrEnum):
    """The limit that ended a connection in good order: what was asked on it was answered."""

    IDLE = "idle"
    REQUESTS = "requests"
    UNREAD_BODY = "unread body"
    LINGERED = "lingered"


class FunctionOutcome(StrEnum):
    """How a request to a function ended."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNSTARTED = "unstarted"
    BROKEN_OFF = "broken off"
    LOST = "lost"
    TOO_SLOW = "function too slow"
    UNAVAILABLE = "unavailable"
    LOOP = "loop"
    CLIENT_GONE = "client gone"


@dataclass(frozen=True, slots=True)
class Label:
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` as Prometheus is told it, with its unit and a counter's `_total`."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[Label, ...] = ()

    def series(self) -> list[tuple[str, ...]]:
        """Every combination of label values, the last label's changing first."""
        return list(product(*(label.values for label in self.labels)))

    @property
    def cells_per_series(self) -> int:
        return BUCKETS_COUNT + 1 if self.kind is Kind.HISTOGRAM else 1

    @property
    def cells_count(self) -> int:
        return self.cells_per_series * prod(len(label.values) for label in self.labels)


REQUESTS: Final = Metric(
    "onehop_requests_total",
    Kind.COUNTER,
    "Requests that the edge answered, by the scheme that found the deployment, the rule of the policy that chose the "
    "scheme, and the class of the answer's status.",
    (Label("scheme", (*SCHEMES, NO_SCHEME)), Label("rule", (*RULES, NO_RULE)), Label("status", STATUS_CLASSES)),
)
REQUEST_SECONDS: Final = Metric(
    "onehop_request_seconds",
    Kind.HISTOGRAM,
    "From a request's last header byte to its answer, ready to be sent.",
    (Label("scheme", (*SCHEMES, NO_SCHEME)),),
)
RESOLVE_SECONDS: Final = Metric(
    "onehop_resolve_seconds",
    Kind.HISTOGRAM,
    "Time to find a host's pipeline: hashed, where no decision was cached; by legacy, for each request.",
    (Label("scheme", SCHEMES),),
)
DECISION_HITS: Final = Metric("onehop_decision_hits_total", Kind.COUNTER, "Requests whose host had a cached decision.")
UNKNOWN_HITS: Final = Metric(
    "onehop_unknown_hits_total", Kind.COUNTER, "Requests whose host was cached as one without a route."
)
DECISION_MISSES: Final = Metric(
    "onehop_decision_misses_total", Kind.COUNTER, "Requests whose host had to be looked up in the store."
)
UNKNOWN_HOSTS: Final = Metric("onehop_unknown_hosts_total", Kind.COUNTER, "Look-ups that found no route.")
DAMAGED_ROUTES: Final = Metric(
    "onehop_damaged_routes_total", Kind.COUNTER, "Look-ups that found a route which can't be read."
)
EVICTIONS: Final = Metric(
    "onehop_decision_evictions_total", Kind.COUNTER, "Cached decisions dropped because the change feed named them."
)
RELOADS: Final = Metric(
    "onehop_decision_reloads_total", Kind.COUNTER, "Times that all cached decisions were dropped at once."
)
FALLBACKS: Final = Metric(
    "onehop_fallbacks_total",
    Kind.COUNTER,
    "Look-ups that the wanted scheme couldn't answer and the other did, by that other.",
    (Label("to", ("hashed", "legacy")),),
)
TABLE_FAULTS: Final = Metric(
    "onehop_table_faults_total", Kind.COUNTER, "Look-ups in a routing table that couldn't be used."
)
TABLES_REFUSED: Final = Metric(
    "onehop_tables_refused_total", Kind.COUNTER, "Routing tables read from the store that aren't run."
)
TABLE_HITS: Final = Metric("onehop_table_hits_total", Kind.COUNTER, "Routing tables found in the cache.")
TABLE_MISSES: Final = Metric("onehop_table_misses_total", Kind.COUNTER, "Routing tables read from the store.")
SHADOWS: Final = Metric("onehop_shadows_total", Kind.COUNTER, "Requests that were resolved by both schemes.")
SHADOW_DIFFERENCES: Final = Metric(
    "onehop_shadow_differences_total", Kind.COUNTER, "Of those, the ones that the schemes would answer differently."
)
DAMAGED_ANSWERS: Final = Metric(
    "onehop_damaged_answers_total",
    Kind.COUNTER,
    "Requests answered 500 because a route, manifest, blob or the store is damaged.",
)
READY_HITS: Final = Metric(
    "onehop_ready_hits_total", Kind.COUNTER, "Requests answered with a head and body that were kept ready."
)
CONNECTIONS_OPENED: Final = Metric(
    "onehop_connections_opened_total", Kind.COUNTER, "Connections accepted.", (Label("listener", LISTENERS),)
)
REFUSALS: Final = Metric(
    "onehop_refusals_total",
    Kind.COUNTER,
    "Requests or connections that the listener gave up before any site was asked.",
    (Label("listener", LISTENERS), Label("reason", tuple(Refusal))),
)
ENDINGS: Final = Metric(
    "onehop_connections_ended_total",
    Kind.COUNTER,
    "Connections that a limit of the listener ended in good order, by that limit.",
    (Label("listener", LISTENERS), Label("limit", tuple(Ending))),
)
FAILURES: Final = Metric(
    "onehop_failures_total",
    Kind.COUNTER,
    "Requests that ended in an error of Onehop's own: answered 500, or torn off.",
    (Label("listener", LISTENERS),),
)
ACCEPT_PAUSES: Final = Metric(
    "onehop_accept_pauses_total",
    Kind.COUNTER,
    "Times that a process had no descriptor left and let newcomers wait.",
    (Label("listener", LISTENERS),),
)
ACCESS_LINES_LOST: Final = Metric(
    "onehop_access_lines_lost_total",
    Kind.COUNTER,
    "Lines of the access log that weren't written.",
    (Label("reason", ("buffer full", "write failed")),),
)
CONNECTIONS: Final = Metric("onehop_connections", Kind.GAUGE, "Connections open now.")
DECISIONS_CACHED: Final = Metric("onehop_decisions_cached", Kind.GAUGE, "Decisions in the cache.")
UNKNOWN_CACHED: Final = Metric("onehop_unknown_cached", Kind.GAUGE, "Unknown hosts in their cache.")
TABLE_CACHE_BYTES: Final = Metric("onehop_table_cache_bytes", Kind.GAUGE, "Routing tables kept, as bytes.")
TABLE_CACHE_FILTERS: Final = Metric("onehop_table_cache_filters", Kind.GAUGE, "Filters kept compiled.")
READY_ANSWERS: Final = Metric("onehop_ready_answers", Kind.GAUGE, "Answers kept ready.")
READY_BYTES: Final = Metric(
    "onehop_ready_bytes", Kind.GAUGE, "What the answers kept ready count for; a mapped body counts as 1 MiB."
)
FEED_SEQ: Final = Metric("onehop_feed_seq", Kind.GAUGE, "The last entry of the change feed that the process has read.")

FUNCTION_REQUESTS: Final = Metric(
    "onehop_function_requests_total",
    Kind.COUNTER,
    "Requests that a function was asked for, by how they ended.",
    (Label("outcome", tuple(FunctionOutcome)),),
)
FUNCTION_SECONDS: Final = Metric(
    "onehop_function_seconds",
    Kind.HISTOGRAM,
    "From asking a function to the head of its answer, waiting for a process included.",
)
FUNCTION_LOADS: Final = Metric(
    "onehop_function_loads_total", Kind.COUNTER, "Functions loaded into a process for its first request: cold starts."
)
WORKERD_EVENTS: Final = Metric(
    "onehop_workerd_events_total",
    Kind.COUNTER,
    "What befell workerd processes.",
    (Label("event", ("started", "ended", "stalled", "hung", "oversized", "drained")),),
)
WORKERD_PROCESSES: Final = Metric("onehop_workerd_processes", Kind.GAUGE, "workerd processes of an edge that run now.")
WORKERD_BYTES: Final = Metric(
    "onehop_workerd_resident_bytes", Kind.GAUGE, "Resident memory of an edge's workerd processes together."
)

COUNTED: Final = (
    REQUESTS,
    REQUEST_SECONDS,
    RESOLVE_SECONDS,
    DECISION_HITS,
    UNKNOWN_HITS,
    DECISION_MISSES,
    UNKNOWN_HOSTS,
    DAMAGED_ROUTES,
    EVICTIONS,
    RELOADS,
    FALLBACKS,
    TABLE_FAULTS,
    TABLES_REFUSED,
    TABLE_HITS,
    TABLE_MISSES,
    SHADOWS,
    SHADOW_DIFFERENCES,
    DAMAGED_ANSWERS,
    READY_HITS,
    CONNECTIONS_OPENED,
    REFUSALS,
    ENDINGS,
    FAILURES,
    ACCEPT_PAUSES,
    ACCESS_LINES_LOST,
    CONNECTIONS,
    DECISIONS_CACHED,
    UNKNOWN_CACHED,
    TABLE_CACHE_BYTES,
    TABLE_CACHE_FILTERS,
    READY_ANSWERS,
    READY_BYTES,
    FEED_SEQ,
    FUNCTION_REQUESTS,
    FUNCTION_SECONDS,
    FUNCTION_LOADS,
    WORKERD_EVENTS,
    WORKERD_PROCESSES,
    WORKERD_BYTES,
)
"""What processes count in cells, in the order of the cells."""

PROCESS_MEMORY: Final = Metric(
    "onehop_process_resident_bytes",
    Kind.GAUGE,
    "Resident memory: the process's own, and pages of files, which the store's readers share.",
    (Label("memory", ("own", "files")),),
)
PROCESS_CPU: Final = Metric("onehop_process_cpu_seconds_total", Kind.COUNTER, "Processor time used, user and system.")
PROCESS_START: Final = Metric("onehop_process_start_time_seconds", Kind.GAUGE, "Unix time of the process's start.")
FEED_LAG: Final = Metric(
    "onehop_feed_lag_entries",
    Kind.GAUGE,
    "Entries of the change feed that the process hasn't read. It looks when a request comes in: an idle one lags.",
)
STORE_ROWS: Final = Metric("onehop_store_rows", Kind.GAUGE, "Rows of the store, by database.")
STORE_BYTES: Final = Metric("onehop_store_bytes", Kind.GAUGE, "Size of the store's file on disk.")

TOLD: Final = (PROCESS_MEMORY, PROCESS_CPU, PROCESS_START, FEED_LAG, STORE_ROWS, STORE_BYTES)
"""What is found out when somebody asks."""

METRICS: Final = (*COUNTED, *TOLD)


def lay_out(metrics: Sequence[Metric]) -> dict[str, int]:
    """The first cell of each metric, by its name."""
    offsets, end = {}, 0
    for metric in metrics:
        offsets[metric.name] = end
        end += metric.cells_count
    return offsets


OFFSETS: Final = lay_out(COUNTED)
CELLS_COUNT: Final = sum(metric.cells_count for metric in COUNTED)
LAYOUT_ID: Final = int.from_bytes(
    blake2b(repr(([(each.name, each.labels) for each in COUNTED], BOUNDS_NS)).encode(), digest_size=8).digest()
)
"""Of what lies in which cell: a file that another release left behind has another."""


def cell(metric: Metric, *values: str) -> int:
    """The cell of the series with these label values; a histogram's first bucket."""
    index = 0
    for label, value in zip(metric.labels, values, strict=True):
        index = index * len(label.values) + label.values.index(value)
    return OFFSETS[metric.name] + index * metric.cells_per_series
