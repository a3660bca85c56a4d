"""Records to what the templates show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from workflows.rest.documents import detail_document
from workflows.spans import show_span
from workflows.states import Status
from workflows.store.reads import InstanceDetail
from workflows.store.records import InstanceRecord, WorkflowRecord
from workflows.timeline import Timeline, read_timeline
from workflows.wording import STATE_NAMES, show_time

STATES: Final = tuple(STATE_NAMES)
ENTRIES_SHOWN_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class WorkflowRow:
    name: str
    class_name: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class InstanceRow:
    id: str
    status: str
    created: str
    took: str


def workflow_row(record: WorkflowRecord, counts: Mapping[Status, int]) -> WorkflowRow:
    return WorkflowRow(record.name, record.class_name, named_counts(counts))


def named_counts(counts: Mapping[Status, int]) -> dict[str, int]:
    return {status.api_name: count for status, count in counts.items()}


def instance_row(record: InstanceRecord, *, now: int) -> InstanceRow:
    took = ""
    if record.started_on is not None:
        took = show_span(max(0, (record.ended_on if record.ended_on is not None else now) - record.started_on))
    return InstanceRow(record.id, record.status.api_name, show_time(record.created_on), took)


def timeline_context(detail: InstanceDetail, *, now: int) -> dict[str, Any]:
    """What the instance's template needs. Of very many steps the first are shown: a page isn't a database."""
    timeline = read_timeline(detail_document(detail), now=now)
    return {
        "timeline": timeline,
        "shown_entries": timeline.entries[:ENTRIES_SHOWN_MAX],
        "step_count": len(detail.steps),
        "waits_for": awaited_type(timeline),
    }


def awaited_type(timeline: Timeline) -> str:
    """Of the event that it waits for; empty when it waits for none."""
    open_waits = (each for each in timeline.entries if each.kind == "waitForEvent" and each.state == "waiting")
    return next((each.event_type for each in open_waits if each.event_type), "")
