"""Rows as frozen values: what reads return and what a lifetime starts from. Times are epoch ms."""

import sqlite3
from dataclasses import dataclass
from typing import Any, Final

import orjson

from workflows.errors import Failure
from workflows.states import Status, StepState, Trigger


@dataclass(frozen=True, slots=True)
class WorkflowRecord:
    id: str
    name: str
    script_name: str
    class_name: str
    limits_json: str | None
    schedules_json: str | None
    success_ret_ms: int | None
    error_ret_ms: int | None
    max_running: int | None
    created_on: int
    modified_on: int
    triggered_on: int | None


@dataclass(frozen=True, slots=True)
class VersionRecord:
    id: str
    workflow_id: str
    class_name: str
    code_hash: str
    created_on: int
    modified_on: int


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """`params` and `output` are serialised values (see serialisation.py); `error` is set once it is errored."""

    seq: int
    workflow_id: str
    id: str
    version_id: str
    status: Status
    trigger: Trigger | None
    params: bytes
    output: bytes | None
    error: Failure | None
    created_on: int
    modified_on: int
    queued_on: int
    started_on: int | None
    ended_on: int | None
    paused_on: int | None
    wake_at: int | None
    priority: int
    pending: tuple[dict[str, Any], ...]
    rollback_json: str | None
    lease_owner: str | None
    epoch: int
    recoveries: int
    state_bytes: int


INSTANCE_COLUMNS: Final = (
    "seq, workflow_id, id, version_id, status, trigger_source, params, output, error_json, created_on, modified_on,"
    " queued_on, started_on, ended_on, paused_on, wake_at, priority, pending_cmd, rollback_json, lease_owner, epoch,"
    " recoveries, state_bytes"
)


def instance_record(row: tuple[Any, ...]) -> InstanceRecord:
    values = list(row)
    values[4] = Status(row[4])
    values[5] = Trigger(row[5]) if row[5] in Trigger.__members__.values() else None
    values[8] = parse_failure(row[8])
    values[17] = tuple(orjson.loads(row[17])) if row[17] else ()
    return InstanceRecord(*values)


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """`is_success` is None while it runs."""

    n: int
    started_on: int
    ended_on: int | None
    is_success: bool | None
    error: Failure | None
    retry_delay_ms: int | None


@dataclass(slots=True)
class StepRecord:
    """A step as it lies in the store; `result` is serialised, and None where there is none yet.

    `due` is its pending timer: a sleep's end, a wait's deadline, the next attempt's start.
    """

    id: int
    key: str
    kind: str
    name: str
    count: int
    ord: int
    state: StepState
    config_json: str | None
    has_rollback: bool
    attempts: int
    attempt_started_on: int | None
    result: bytes | None
    error: Failure | None
    event_type: str | None
    due: int | None
    started_on: int
    ended_on: int | None


STEP_COLUMNS: Final = (
    "id, key, kind, name, count, ord, state, config_json, has_rollback, attempts, attempt_started_on, result,"
    " error_json, event_type, due, started_on, ended_on"
)


def step_record(row: tuple[Any, ...]) -> StepRecord:
    values = list(row)
    values[6] = StepState(row[6])
    values[8] = bool(row[8])
    values[12] = parse_failure(row[12])
    return StepRecord(*values)


def render_failure(failure: Failure) -> str:
    return orjson.dumps({"name": failure.name, "message": failure.message, "traceback": failure.traceback}).decode()


def parse_failure(stored: str | None) -> Failure | None:
    if stored is None:
        return None
    fields = orjson.loads(stored)
    return Failure(fields["name"], fields["message"], fields.get("traceback"))


Connection = sqlite3.Connection
