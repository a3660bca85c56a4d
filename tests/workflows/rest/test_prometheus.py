"""A scrape tells of every workflow's instances, events, steps and delays, in Prometheus' own text."""

from prometheus_client.parser import text_string_to_metric_families

from tests.workflows.rest.client import Api
from workflows.rest.prometheus import families, render
from workflows.states import LogEvent, Status
from workflows.store.bounds import UNBOUNDED_MS
from workflows.store.reads import Gauges

GAUGES = Gauges(
    instances={("shop", Status.WAITING): 2},
    totals={
        ("shop", LogEvent.STEP_SUCCESS, 100): (2, 140),
        ("shop", LogEvent.STEP_SUCCESS, UNBOUNDED_MS): (1, 4360),
        ("shop", LogEvent.STEP_FAILURE, 500): (1, 500),
        ("shop", LogEvent.RECOVERED, 0): (7, 0),
    },
    oldest_queued_on=1_000,
    state_bytes=99,
    next_wake_on=5_000,
)


def samples(text: str) -> dict[tuple[str, str], float]:
    return {
        (
            sample.name,
            sample.labels.get("status") or sample.labels.get("event") or sample.labels.get("le") or "",
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_family_tells_what_the_store_holds() -> None:
    text, content_type = render(families(GAUGES, now=4_000, busy_count=2), accept="")
    assert content_type.startswith("text/plain")
    told = samples(text.decode())
    assert told["wf_instances", "waiting"] == 2
    assert told["wf_events_total", "STEP_SUCCESS"] == 3
    assert (told["wf_step_seconds_count", ""], told["wf_step_seconds_sum", ""]) == (4, 5)
    steps_below = [told["wf_step_seconds_bucket", bound] for bound in ("0.05", "0.1", "0.25", "0.5", "600.0", "+Inf")]
    assert steps_below == [0, 2, 2, 3, 3, 4]
    assert (told["wf_queue_age_seconds", ""], told["wf_wake_lag_seconds", ""]) == (3, 0)
    assert (told["wf_recoveries_total", ""], told["wf_db_busy_total", ""], told["wf_state_bytes", ""]) == (7, 2, 99)


async def test_a_scrape_of_a_store_at_work(api: Api) -> None:
    await api.until("greet", await api.start("greet"), "complete")
    response = await api.http.get("http://localhost/metrics")
    told = samples(response.text)
    assert told["wf_instances", "complete"] == 1
    assert told["wf_events_total", "WORKFLOW_SUCCESS"] == 1
