"""What a store's workflows do, as Prometheus is told it: prometheus_client's families, read from the store at a scrape.

Workers count in the store, in the same transaction as what they count, so that nothing is lost with a process and one
scrape tells of all of them.

    wf_instances{workflow,status}   wf_events_total{workflow,event}   wf_step_seconds{workflow}, a histogram
    wf_queue_age_seconds   wf_wake_lag_seconds   wf_recoveries_total   wf_db_busy_total   wf_state_bytes
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from workflows.states import LogEvent
from workflows.store.bounds import BOUNDS_MS, TIMED_EVENTS, UNBOUNDED_MS
from workflows.store.reads import Gauges


class Told(Collector):
    """The families of one scrape."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def render(told: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """The text and its content type, in the format that the Accept header's value asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told(told))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def families(gauges: Gauges, *, now: int, busy_count: int) -> Iterator[Metric]:
    """`now` is epoch ms; `busy_count`: how often this process found the store locked."""
    instances = GaugeMetricFamily("wf_instances", "Instances by state.", labels=["workflow", "status"])
    for (workflow, status), count in gauges.instances.items():
        instances.add_metric([workflow, status.api_name], count)
    yield instances
    events = CounterMetricFamily("wf_events", "What happened, by event.", labels=["workflow", "event"])
    counted: Counter[tuple[str, LogEvent]] = Counter()
    for (workflow, event, _), (count, _) in gauges.totals.items():
        counted[workflow, event] += count
    for (workflow, event), count in counted.items():
        events.add_metric([workflow, event.name], count)
    yield events
    yield step_seconds(gauges)
    age_s, lag_s = seconds_since(gauges.oldest_queued_on, now), seconds_since(gauges.next_wake_on, now)
    yield GaugeMetricFamily("wf_queue_age_seconds", "How long the oldest queued instance has waited.", value=age_s)
    yield GaugeMetricFamily("wf_wake_lag_seconds", "By how much the next sleeper is overdue.", value=lag_s)
    yield CounterMetricFamily("wf_db_busy", "How often the API found the store locked.", value=busy_count)
    recoveries = sum(count for (_, event), count in counted.items() if event is LogEvent.RECOVERED)
    yield CounterMetricFamily("wf_recoveries", "Lifetimes that ended with their process.", value=recoveries)
    yield GaugeMetricFamily("wf_state_bytes", "What instances hold.", value=gauges.state_bytes)


def seconds_since(time: int | None, now: int) -> float:
    return max(0, now - time) / 1000 if time is not None else 0.0


def step_seconds(gauges: Gauges) -> Metric:
    """The time of attempts that ended their step, by BOUNDS_MS."""
    steps = HistogramMetricFamily("wf_step_seconds", "Time in steps' last attempts.", labels=["workflow"])
    for workflow in sorted({workflow for workflow, _, _ in gauges.totals}):
        ends: Counter[int] = Counter()
        sum_ms = 0
        for (of, event, le_ms), (count, wall_ms) in gauges.totals.items():
            if of == workflow and event in TIMED_EVENTS:
                ends[le_ms] += count
                sum_ms += wall_ms
        bounds = sorted({*BOUNDS_MS, *ends})
        up_to = dict(zip(bounds, accumulate(ends[bound] for bound in bounds), strict=True))
        buckets = [(str(bound / 1000), up_to[bound]) for bound in bounds if bound != UNBOUNDED_MS]
        steps.add_metric([workflow], [*buckets, ("+Inf", up_to[bounds[-1]])], sum_value=sum_ms / 1000)
    return steps
