"""The log as the events that subscribers get: {instanceId, eventId, timestamp, type, ...}.

A log row may stand for two events that were committed together; it then took two ids, and the second event has the
row's id plus one. Configs and outputs lie on the steps and are joined here, not stored twice.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from workflows.identity import shown_name
from workflows.serialisation import shown
from workflows.states import LogEvent
from workflows.store.connection import translated

REDACTED: Final = "[REDACTED]"
FEED_MAX: Final = 500
FEED_BYTES_MAX: Final = 1 << 20
"""Up to so much, and one more row: each subscriber holds what it was given until it has sent it."""
SIZED_COLUMNS: Final = (4, 8, 9, 10)  # meta_json, result, params, output
TERMINAL_TYPES: Final = frozenset({"workflow_completed", "workflow_errored", "workflow_terminated"})
TYPES: Final[dict[int, tuple[str, ...]]] = {
    LogEvent.WORKFLOW_QUEUED: ("workflow_queued",),
    LogEvent.WORKFLOW_START: ("workflow_started",),
    LogEvent.WORKFLOW_SUCCESS: ("workflow_completed",),
    LogEvent.WORKFLOW_FAILURE: ("workflow_errored",),
    LogEvent.WORKFLOW_TERMINATED: ("workflow_terminated",),
    LogEvent.STEP_START: ("step_started", "attempt_started"),
    LogEvent.STEP_SUCCESS: ("attempt_completed", "step_completed"),
    LogEvent.STEP_FAILURE: ("attempt_errored", "step_errored"),
    LogEvent.SLEEP_START: ("sleep_started",),
    LogEvent.SLEEP_COMPLETE: ("sleep_completed",),
    LogEvent.ATTEMPT_START: ("attempt_started",),
    LogEvent.ATTEMPT_SUCCESS: ("attempt_completed",),
    LogEvent.ATTEMPT_FAILURE: ("attempt_errored",),
    LogEvent.WAIT_START: ("wait_started",),
    LogEvent.WAIT_COMPLETE: ("wait_completed",),
    LogEvent.WAIT_TIMED_OUT: ("wait_timed_out",),
    LogEvent.ROLLBACK_START: ("rollback_started",),
    LogEvent.ROLLBACK_STEP_START: ("rollback_step_started", "rollback_attempt_started"),
    LogEvent.ROLLBACK_ATTEMPT_START: ("rollback_attempt_started",),
    LogEvent.ROLLBACK_ATTEMPT_SUCCESS: ("rollback_attempt_completed",),
    LogEvent.ROLLBACK_ATTEMPT_FAILURE: ("rollback_attempt_errored",),
    LogEvent.ROLLBACK_STEP_SUCCESS: ("rollback_attempt_completed", "rollback_step_completed"),
    LogEvent.ROLLBACK_STEP_FAILURE: ("rollback_attempt_errored", "rollback_step_errored"),
    LogEvent.ROLLBACK_COMPLETE: ("rollback_completed",),
    LogEvent.ROLLBACK_FAILED: ("rollback_errored",),
    LogEvent.RUNNING: ("workflow_running",),
    LogEvent.PAUSED: ("workflow_paused",),
    LogEvent.WAITING_FOR_PAUSE: ("workflow_waiting_for_pause",),
    LogEvent.WAITING: ("workflow_waiting",),
    LogEvent.WARNING: ("warning",),
}


@dataclass(frozen=True, slots=True)
class FeedEvent:
    """`fields` are the type's own, as JSON. `at_ms` is when it was committed."""

    id: int
    at_ms: int
    type: str
    fields: dict[str, Any]

    @property
    def is_terminal(self) -> bool:
        return self.type in TERMINAL_TYPES

    def document(self, instance_id: str) -> dict[str, Any]:
        return {
            "instanceId": instance_id, "eventId": self.id, "timestamp": self.at_ms, "type": self.type, **self.fields,
        }  # fmt: skip


def read_feed(
    connection: sqlite3.Connection, path: Path, seq: int, *, after: int, count_max: int = FEED_MAX
) -> list[FeedEvent]:
    """Events with an id past `after`, oldest first; up to `count_max` log rows of them, and about FEED_BYTES_MAX."""
    with translated(path):
        found = connection.execute(
            "SELECT log.id, log.ts, log.event, log.attempt, log.meta_json, s.name, s.count, s.config_json,"
            " CASE WHEN log.event IN (6, 15) THEN s.result END, CASE WHEN log.event = 1 THEN i.params END,"
            " CASE WHEN log.event = 2 THEN i.output END"
            " FROM log JOIN instances AS i ON i.seq = log.instance_seq LEFT JOIN steps AS s ON s.id = log.step_id"
            " WHERE log.instance_seq = ? AND log.id >= ? ORDER BY log.id LIMIT ?",
            (seq, after, count_max),  # a row with the id `after` may have a second event past it
        )
        rows: list[tuple[Any, ...]] = []
        bytes_count = 0
        for row in found:
            rows.append(row)
            bytes_count += sum(len(row[column] or b"") for column in SIZED_COLUMNS)
            if bytes_count > FEED_BYTES_MAX and row[0] > after:
                break
        found.close()
    return [event for row in rows for event in _events(row) if event.id > after]


def _events(row: tuple[Any, ...]) -> Iterator[FeedEvent]:
    id_, ts, code, attempt, meta_json, name, count, config_json, result, params, output = row
    meta: dict[str, Any] = orjson.loads(meta_json) if meta_json else {}
    types = TYPES.get(code, (f"event_{code}",))
    if code == LogEvent.STEP_FAILURE and attempt is None:  # the step failed between attempts: its delay function did
        types = types[1:]
    for position, type_ in enumerate(types):
        fields: dict[str, Any] = {}
        if name is not None:
            fields["stepName"] = shown_name(name, count)
        if type_.startswith(("attempt_", "rollback_attempt_")):
            fields["attempt"] = attempt
        fields |= _own_fields(type_, meta, config_json, result, params, output)
        yield FeedEvent(id_ + position, ts, type_, fields)


def _own_fields(
    type_: str, meta: dict[str, Any], config_json: str | None, result: bytes | None, params: bytes | None,
    output: bytes | None,
) -> dict[str, Any]:  # fmt: skip
    match type_:
        case "workflow_started":
            return {"params": None if params is None else shown(params)}
        case "workflow_completed":
            return {"output": None if output is None else shown(output)}
        case "step_started" | "rollback_step_started":
            return {"config": orjson.loads(config_json) if config_json else None}
        case "step_completed":
            is_sensitive = config_json is not None and orjson.loads(config_json).get("sensitive") == "output"
            return {"output": REDACTED if is_sensitive else None if result is None else shown(result)}
        case "sleep_started":
            return {"durationMs": meta.get("durationMs")}
        case "wait_completed":
            return {"eventType": meta.get("type"), "output": None if result is None else shown(result)}
        case "wait_started":
            return {"eventType": meta.get("event")}
        case "step_errored" | "rollback_step_errored" | "attempt_started" | "attempt_completed":
            return {}
    return meta
