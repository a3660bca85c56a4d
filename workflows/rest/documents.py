"""Records to the objects that the API shows. Pure.

Every member that a client is known to read is always there, of its type. Times are ISO 8601, UTC, of one width, since
clients compare them as text.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from workflows.errors import Failure
from workflows.limits import Limits
from workflows.serialisation import shown
from workflows.states import Status, StepState, Trigger
from workflows.step_config import DEFAULT_DELAY_MS, DYNAMIC
from workflows.store.reads import InstanceDetail, MetricRecord, StepDetail
from workflows.store.records import AttemptRecord, InstanceRecord, StepRecord, VersionRecord, WorkflowRecord

Document = dict[str, Any]

LANGUAGE: Final = "python"
REDACTED: Final = "[REDACTED]"
UNKNOWN: Final = "unknown"


def workflow_document(record: WorkflowRecord, counts: Mapping[Status, int]) -> Document:
    return {
        "id": record.id,
        "name": record.name,
        "script_name": record.script_name,
        "class_name": record.class_name,
        "created_on": iso(record.created_on),
        "modified_on": iso(record.modified_on),
        "triggered_on": iso(record.triggered_on),
        "instances": {**{status.api_name: count for status, count in counts.items()}, UNKNOWN: 0},
        "limits": {"steps": steps_max(record)},
        "schedules": orjson.loads(record.schedules_json or b"[]"),
    }


def version_document(record: VersionRecord, workflow: WorkflowRecord) -> Document:
    return {
        "id": record.id,
        "class_name": record.class_name,
        "workflow_id": record.workflow_id,
        "created_on": iso(record.created_on),
        "modified_on": iso(record.modified_on),
        "language": LANGUAGE,
        "has_dag": False,
        "limits": {"steps": steps_max(workflow)},
    }


def steps_max(record: WorkflowRecord) -> int:
    limits: Mapping[str, int] = orjson.loads(record.limits_json or b"{}")
    return limits.get("steps", Limits().steps)


def instance_document(record: InstanceRecord) -> Document:
    return {
        "id": record.id,
        "status": record.status.api_name,
        "version_id": record.version_id,
        "workflow_id": record.workflow_id,
        "created_on": iso(record.created_on),
        "modified_on": iso(record.modified_on),
        "started_on": iso(record.started_on),
        "ended_on": iso(record.ended_on),
    }


def detail_document(detail: InstanceDetail, *, is_simple: bool = False, shows_plans: bool = True) -> Document:
    """`is_simple`: without the steps. `shows_plans`: a sleep that goes on tells when it will end."""
    record = detail.instance
    document: Document = {
        "status": record.status.api_name,
        "params": shown(record.params),
        "trigger": {"source": trigger_name(record.trigger)},
        "versionId": record.version_id,
        "queued": iso(record.created_on),
        "start": iso(record.started_on),
        "end": iso(record.ended_on),
        "success": {Status.COMPLETE: True, Status.ERRORED: False, Status.TERMINATED: False}.get(record.status),
        "error": failure_document(record.error) if record.status is Status.ERRORED else None,
        "output": shown(record.output) if record.status is Status.COMPLETE and record.output is not None else None,
        "step_count": len(detail.steps),
    }
    if not is_simple:
        steps = [step_document(each, shows_plans=shows_plans) for each in detail.steps]
        if record.status is Status.TERMINATED:
            steps.append({"type": "termination", "trigger": {"source": "api"}})
        document["steps"] = steps
    return document


def step_document(detail: StepDetail, *, shows_plans: bool) -> Document:
    match detail.step.kind:
        case "sleep":
            return sleep_document(detail.step, shows_plans=shows_plans)
        case "waitForEvent":
            return wait_document(detail)
        case _:
            return do_document(detail)


def sleep_document(step: StepRecord, *, shows_plans: bool) -> Document:
    is_over = step.state in (StepState.DONE, StepState.FAILED)
    return {
        "type": "sleep",
        "name": shown_name(step),
        "start": iso(step.started_on),
        "end": iso(step.ended_on if is_over else step.due if shows_plans else None),
        "finished": is_over,
        "error": failure_document(step.error),
    }


def wait_document(detail: StepDetail) -> Document:
    step = detail.step
    is_over = step.state in (StepState.DONE, StepState.FAILED)
    return {
        "type": "waitForEvent",
        "name": shown_name(step),
        "start": iso(step.started_on),
        "end": iso(step.ended_on if is_over else step.due),
        "finished": is_over,
        "error": failure_document(step.error) if step.state is StepState.FAILED else None,
        "output": event_document(detail) if step.state is StepState.DONE else None,
        "event_type": step.event_type,
    }


def event_document(detail: StepDetail) -> Document | None:
    step = detail.step
    if detail.left_out_bytes:
        return {"type": step.event_type, "payload": left_out(detail), "timestamp": iso(step.ended_on)}
    event = shown(step.result) if step.result is not None else None
    if not isinstance(event, dict):
        return None
    return {"type": event["type"], "payload": event["payload"], "timestamp": same_width(event["timestamp"])}


def do_document(detail: StepDetail) -> Document:
    step = detail.step
    config = config_document(step, detail.attempts)
    document: Document = {
        "type": "step",
        "name": shown_name(step),
        "start": iso(step.started_on),
        "end": iso(step.ended_on),
        "success": {StepState.DONE: True, StepState.FAILED: False}.get(step.state),
        "config": config,
        "attempts": [attempt_document(each) for each in detail.attempts],
    }
    if step.state is StepState.DONE:
        is_sensitive = config.get("sensitive") == "output"
        document["output"] = REDACTED if is_sensitive else result_of(detail)
    if detail.attempts_left_out > 0:
        document["attempts_left_out"] = detail.attempts_left_out
    if detail.rollback is not None:
        document["rollback"] = do_document(detail.rollback)
    return document


def result_of(detail: StepDetail) -> object:
    if detail.left_out_bytes:
        return left_out(detail)
    return shown(detail.step.result) if detail.step.result is not None else None


def left_out(detail: StepDetail) -> str:
    """In a result's place, in an answer that has no room for it."""
    return f"[{detail.left_out_bytes:,} bytes, left out here: ?step={shown_name(detail.step)} and the log have them]"


def config_document(step: StepRecord, attempts: Sequence[AttemptRecord]) -> Document:
    """A computed delay is shown as the one that was used last: clients add it to a time."""
    config: Document = orjson.loads(step.config_json or b"{}")
    retries = config.get("retries", {})
    if retries.get("delay") == DYNAMIC:
        used = [each.retry_delay_ms for each in attempts if each.retry_delay_ms is not None]
        retries["delay"] = used[-1] if used else DEFAULT_DELAY_MS
    return config


def attempt_document(attempt: AttemptRecord) -> Document:
    return {
        "start": iso(attempt.started_on),
        "end": iso(attempt.ended_on),
        "success": attempt.is_success,
        "error": failure_document(attempt.error),
    }


def metric_document(record: MetricRecord) -> Document:
    return {
        "time": iso(record.at_ms),
        "event": record.event.name,
        "step": record.step,
        "count": record.n,
        "wall_ms": record.wall_ms,
        "cpu_ms": record.cpu_ms,
    }


def failure_document(failure: Failure | None) -> Document | None:
    """Without its traceback, which is for whoever reads the database."""
    return {"name": failure.name, "message": failure.message} if failure is not None else None


def trigger_name(trigger: Trigger | None) -> str:
    return trigger.name.lower() if trigger is not None else UNKNOWN


def shown_name(step: StepRecord) -> str:
    return f"{step.name}-{step.count}"


def iso(time: int | None) -> str | None:
    """Epoch ms as `2026-01-01T10:00:00.000Z`."""
    if time is None:
        return None
    seconds, ms = divmod(time, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def same_width(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
