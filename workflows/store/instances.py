"""What a command does to an instance's rows. Every function is given a transaction and is the whole of its change.

A command on an instance that no worker holds is carried out at once. On one that a live worker holds it is left in
`pending_cmd`, in order, and the holder carries it out with the same functions once its own run has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import orjson

from workflows.errors import Failure, InstanceNotFound, WorkflowError
from workflows.limits import Limits
from workflows.states import Command, LogEvent, Status, Trigger, Verdict, foreseen, judge
from workflows.store.chunks import give_up_all, give_up_unfinished
from workflows.store.records import render_failure
from workflows.store.transaction import Transaction

OWNED_TABLES: Final = ("steps", "attempts", "log", "events")  # what goes with its instance
EVENT: Final = "event"  # in `pending_cmd`: look for events, one came
TERMINATED: Final = Failure("Terminated", "the instance was terminated")
ENDED_ADVICE: Final = "; restart it, from a step if you like, to have it run again"


@dataclass(frozen=True, slots=True)
class Head:
    """What deciding about an instance needs of its row."""

    seq: int
    workflow_id: str
    id: str
    status: Status
    pending: tuple[dict[str, Any], ...]
    lease_owner: str | None
    paused_on: int | None
    rollback_json: str | None

    @property
    def foreseen(self) -> Status | None:
        """Its status once all that is pending is done; None when it will be deleted."""
        status: Status | None = self.status
        for item in self.pending:
            if status is None or item["do"] == EVENT:
                continue
            status = foreseen(status, Command(item["do"]))
        return status


HEAD_COLUMNS: Final = "seq, workflow_id, id, status, pending_cmd, lease_owner, paused_on, rollback_json"


def read_head(transaction: Transaction, seq: int) -> Head | None:
    row = transaction.one(f"SELECT {HEAD_COLUMNS} FROM instances WHERE seq = ?", (seq,))
    return head_of(row) if row else None


def find(transaction: Transaction, workflow_id: str, instance_id: str) -> Head:
    """Raises InstanceNotFound."""
    row = transaction.one(
        f"SELECT {HEAD_COLUMNS} FROM instances WHERE workflow_id = ? AND id = ?",
        (workflow_id, instance_id),
    )
    if row is None:
        raise InstanceNotFound(workflow_id, instance_id)
    return head_of(row)


def head_of(row: tuple[Any, ...]) -> Head:
    return Head(row[0], row[1], row[2], Status(row[3]), tuple(orjson.loads(row[4])) if row[4] else (), *row[5:])


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstance:
    """`params` is serialised. Retentions are ms; None takes the workflow's, then the engine's."""

    id: str
    params: bytes
    trigger: Trigger = Trigger.API
    priority: int = 0
    success_ret_ms: int | None = None
    error_ret_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Created:
    seq: int
    id: str
    version_id: str


def create(
    transaction: Transaction, workflow_id: str, wanted: Sequence[NewInstance], *, skip_known: bool
) -> list[Created]:
    """All of them in this transaction. An id that exists is left out with `skip_known`, else refused."""
    row = transaction.one(
        "SELECT id FROM versions WHERE workflow_id = ? ORDER BY modified_on DESC, rowid DESC LIMIT 1", (workflow_id,)
    )
    version_id: str = row[0] if row else ""
    created: list[Created] = []
    now = transaction.now_ms
    for new in wanted:
        cursor = transaction.connection.execute(
            "INSERT INTO instances(workflow_id, id, version_id, status, trigger_source, params, created_on,"
            " modified_on, queued_on, priority, success_ret_ms, error_ret_ms) VALUES(?,?,?,0,?,?,?,?,?,?,?,?)"
            " ON CONFLICT DO NOTHING",
            (workflow_id, new.id, version_id, new.trigger, new.params, now, now, now, new.priority,
             new.success_ret_ms, new.error_ret_ms),
        )  # fmt: skip
        if cursor.rowcount == 0:
            if skip_known:
                continue
            raise WorkflowError(
                "instance.already_exists", f"instance {new.id!r} exists; ids are free again once deleted"
            )
        seq = cursor.lastrowid
        assert seq is not None
        transaction.log(workflow_id, seq, LogEvent.WORKFLOW_QUEUED, meta_json=_queued_meta(version_id, new.trigger))
        created.append(Created(seq, new.id, version_id))
    if created:
        transaction.execute("UPDATE workflows SET triggered_on = ? WHERE id = ?", (now, workflow_id))
    return created


def _queued_meta(version_id: str, trigger: Trigger) -> str:
    return orjson.dumps({"versionId": version_id, "trigger": trigger.name.lower()}).decode()


# ---- commands


def order(transaction: Transaction, workflow_id: str, instance_id: str, command: dict[str, Any]) -> tuple[Head, bool]:
    """Carries `command` out, or leaves it for the worker that holds the instance. Returns (head before, is pending).

    `command` is {"do": Command, "from"?: {"name", "count", "type"}, "rollback"?: bool}. Raises WorkflowError.
    """
    head = find(transaction, workflow_id, instance_id)
    what = Command(command["do"])
    status = head.foreseen
    if status is None:
        raise InstanceNotFound(workflow_id, instance_id)
    if head.rollback_json is not None and what in (Command.PAUSE, Command.RESUME):
        verdict = Verdict.NOTHING if what is Command.PAUSE else Verdict.REFUSE
    else:
        verdict = judge(status, what)
    if verdict is Verdict.REFUSE:
        advice = ENDED_ADVICE if status.is_terminal and what is not Command.TERMINATE else ""
        raise WorkflowError(f"instance.cannot_{what}", f"instance {instance_id!r} is {status.api_name}{advice}")
    if command.get("from") is not None and find_step(transaction, head.seq, command["from"]) is None:
        raise WorkflowError("instance.cannot_restart", f"instance {instance_id!r} has no {_told(command['from'])}")
    if verdict is Verdict.NOTHING:
        return head, False
    if head.lease_owner is None:
        carry_out(transaction, head, command)
        return head, False
    leave_pending(transaction, head, command)
    return head, True


def _told(origin: dict[str, Any]) -> str:
    return f"step {origin['name']!r} number {origin.get('count') or 1} of type {origin.get('type') or 'do'}"


def leave_pending(transaction: Transaction, head: Head, command: dict[str, Any]) -> None:
    pending = [] if command["do"] in (Command.DELETE, Command.RESTART, Command.TERMINATE) else list(head.pending)
    if command not in pending[-1:]:
        pending.append(command)
    transaction.execute(
        "UPDATE instances SET pending_cmd = ? WHERE seq = ?", (orjson.dumps(pending).decode(), head.seq)
    )


def carry_out(transaction: Transaction, head: Head, command: dict[str, Any]) -> None:
    """On an instance without a holder, or by the holder after its run ended: its lease is given up here."""
    match command["do"]:
        case Command.PAUSE:
            pause(transaction, head)
        case Command.RESUME:
            resume(transaction, head)
        case Command.TERMINATE:
            terminate(transaction, head, rollback=bool(command.get("rollback")))
        case Command.RESTART:
            restart(transaction, head, command.get("from"))
        case Command.DELETE:
            delete(transaction, head.seq)


def carry_out_pending(transaction: Transaction, head: Head, pending: Sequence[dict[str, Any]] | None = None) -> None:
    """All (or `pending`) that was left for the holder, in order, on rows that nobody holds any more."""
    for command in head.pending if pending is None else pending:
        row = transaction.one(f"SELECT {HEAD_COLUMNS} FROM instances WHERE seq=?", (head.seq,))
        if row is None:
            return
        carry_out(transaction, head_of(row), command)


def pause(transaction: Transaction, head: Head, since_ms: int | None = None) -> None:
    """`since_ms` is when the pause was asked for: from then on its timers stand still."""
    now = transaction.now_ms
    transaction.execute(
        "UPDATE instances SET status=2, paused_on=?, modified_on=?, wake_at=NULL, lease_owner=NULL WHERE seq=?",
        (now if since_ms is None else since_ms, now, head.seq),
    )
    transaction.log(head.workflow_id, head.seq, LogEvent.PAUSED)


def resume(transaction: Transaction, head: Head) -> None:
    now = transaction.now_ms
    if head.paused_on is not None:
        shift_timers(transaction, head.seq, now - head.paused_on)
    transaction.execute(
        "UPDATE instances SET status=0, woken=1, paused_on=NULL, queued_on=?, modified_on=?, lease_owner=NULL"
        " WHERE seq=?",
        (now, now, head.seq),
    )


def shift_timers(transaction: Transaction, seq: int, by_ms: int) -> None:
    transaction.execute(
        "UPDATE steps SET due = due + ? WHERE instance_seq = ? AND due IS NOT NULL", (max(0, by_ms), seq)
    )


def terminate(transaction: Transaction, head: Head, *, rollback: bool, trigger: str = "api") -> None:
    """With `rollback` and something to undo, the instance is queued for a worker that undoes first."""
    if rollback and has_rollbacks(transaction, head.seq):
        begin_rollback(transaction, head, final=Status.TERMINATED, failure=TERMINATED)
        now = transaction.now_ms
        transaction.execute(
            "UPDATE instances SET status=0, woken=1, paused_on=NULL, wake_at=NULL, queued_on=?, lease_owner=NULL"
            " WHERE seq=?",
            (now, head.seq),
        )
        return
    end(transaction, head.workflow_id, head.seq, Status.TERMINATED)
    meta = orjson.dumps({"trigger": {"source": trigger}}).decode()
    transaction.log(head.workflow_id, head.seq, LogEvent.WORKFLOW_TERMINATED, meta_json=meta)


def has_rollbacks(transaction: Transaction, seq: int) -> bool:
    """Whether a step that began has an undoing that has not been done."""
    return (
        transaction.one(
            "SELECT 1 FROM steps AS s WHERE instance_seq=? AND has_rollback AND NOT EXISTS(SELECT 1 FROM steps AS r"
            " WHERE r.instance_seq=s.instance_seq AND r.key='rollback:' || s.key AND r.state='done') LIMIT 1",
            (seq,),
        )
        is not None
    )


def begin_rollback(transaction: Transaction, head: Head, *, final: Status, failure: Failure) -> None:
    """From now on a claim of this instance undoes its steps, and then gives it the status `final`."""
    told = orjson.dumps({"final": int(final), "failure": render_failure(failure)}).decode()
    transaction.execute("UPDATE instances SET rollback_json=? WHERE seq=?", (told, head.seq))
    (count,) = transaction.one("SELECT count(*) FROM steps WHERE instance_seq=? AND has_rollback", (head.seq,)) or (0,)
    meta = orjson.dumps(
        {"triggerError": {"name": failure.name, "message": failure.message}, "totalSteps": count}
    ).decode()
    transaction.log(head.workflow_id, head.seq, LogEvent.ROLLBACK_START, meta_json=meta)


def end(
    transaction: Transaction,
    workflow_id: str,
    seq: int,
    status: Status,
    *,
    output: bytes | None = None,
    failure: Failure | None = None,
) -> None:
    """The row of an instance that is over; its events go, its retention begins. The caller logs why."""
    now = transaction.now_ms
    column = "success_ret_ms" if status is Status.COMPLETE else "error_ret_ms"
    transaction.execute(
        "UPDATE instances SET status=?, output=?, error_json=?, ended_on=?, modified_on=?, wake_at=NULL,"
        " paused_on=NULL, woken=0, rollback_json=NULL, pending_cmd=NULL, lease_owner=NULL,"
        f" expires_on=?+coalesce({column}, (SELECT {column} FROM workflows AS w WHERE w.id=workflow_id), ?)"
        " WHERE seq=?",
        (status, output, None if failure is None else render_failure(failure), now, now, now, RETENTION_MS, seq),
    )
    transaction.execute("UPDATE steps SET due=NULL WHERE instance_seq=? AND due IS NOT NULL", (seq,))
    transaction.execute("DELETE FROM events WHERE instance_seq=?", (seq,))
    give_up_unfinished(transaction, seq)


RETENTION_MS: Final = 30 * 86_400_000


def find_step(transaction: Transaction, seq: int, wanted: dict[str, Any]) -> int | None:
    """The `ord` of the count-th start of a step with this name and type."""
    row = transaction.one(
        "SELECT ord FROM steps WHERE instance_seq=? AND name=? AND kind=? ORDER BY ord LIMIT 1 OFFSET ?",
        (seq, wanted["name"], wanted.get("type") or "do", (wanted.get("count") or 1) - 1),
    )
    return row[0] if row else None


def restart(transaction: Transaction, head: Head, from_step: dict[str, Any] | None) -> None:
    """Wipes all, or `from_step` and every step that began after it and what was unfinished before; then queues."""
    seq, now = head.seq, transaction.now_ms
    if from_step is None:
        _wipe(transaction, seq)
        transaction.log(head.workflow_id, seq, LogEvent.WORKFLOW_QUEUED, meta_json='{"trigger":"api"}')
    else:
        first = find_step(transaction, seq, from_step)
        if first is not None:
            _wipe_from(transaction, seq, first)
    transaction.execute(
        "UPDATE instances SET status=0, woken=0, output=NULL, error_json=NULL, paused_on=NULL, wake_at=NULL,"
        " ended_on=NULL, expires_on=NULL, rollback_json=NULL, recoveries=0, queued_on=?, modified_on=?,"
        " lease_owner=NULL, state_bytes=0,"
        " started_on=CASE WHEN ? THEN NULL ELSE started_on END, version_id=coalesce((SELECT id FROM versions WHERE"
        " versions.workflow_id=instances.workflow_id ORDER BY modified_on DESC, versions.rowid DESC LIMIT 1),"
        " version_id)"
        " WHERE seq=?",
        (now, now, from_step is None, seq),
    )


def _wipe(transaction: Transaction, seq: int) -> None:
    give_up_all(transaction, [(seq,)])
    for table in OWNED_TABLES:
        transaction.execute(f"DELETE FROM {table} WHERE instance_seq=?", (seq,))


def _wipe_from(transaction: Transaction, seq: int, first: int) -> None:
    gone = "instance_seq=? AND (ord>=? OR state NOT IN ('done', 'failed'))"
    for table in ("attempts", "log"):
        transaction.execute(
            f"DELETE FROM {table} WHERE instance_seq=? AND step_id IN (SELECT id FROM steps WHERE {gone})",
            (seq, seq, first),
        )
    transaction.execute(
        f"UPDATE streams SET instance_seq=NULL WHERE instance_seq=? AND step_id IN (SELECT id FROM steps WHERE {gone})",
        (seq, seq, first),
    )
    transaction.execute(f"DELETE FROM steps WHERE {gone}", (seq, first))
    transaction.execute(
        "DELETE FROM log WHERE instance_seq=? AND step_id IS NULL AND event NOT IN (?, ?)",
        (seq, LogEvent.WORKFLOW_QUEUED, LogEvent.WORKFLOW_START),
    )
    transaction.execute("DELETE FROM events WHERE instance_seq=?", (seq,))


def delete(transaction: Transaction, seq: int) -> None:
    _wipe(transaction, seq)
    transaction.execute("DELETE FROM instances WHERE seq=?", (seq,))


# ---- events


def send_event(
    transaction: Transaction, workflow_id: str, instance_id: str, event_type: str, payload: bytes, limits: Limits
) -> Head:
    """Durable once this commits. Wakes the instance if it hibernates and waits for this type. Raises WorkflowError."""
    head = find(transaction, workflow_id, instance_id)
    status = head.foreseen
    if status is None:
        raise InstanceNotFound(workflow_id, instance_id)
    if status.is_terminal:
        raise WorkflowError(
            "instance.cannot_send_event", f"instance {instance_id!r} is {status.api_name}{ENDED_ADVICE}"
        )
    _refuse_flood(transaction, head, event_type, len(payload), limits)
    add_event(transaction, head.seq, event_type, payload)
    if head.lease_owner is not None:
        leave_pending(transaction, head, {"do": EVENT})
    elif head.status is Status.WAITING and _is_waited_for(transaction, head.seq, event_type):
        queue_woken(transaction, head.seq)
    return head


def _refuse_flood(transaction: Transaction, head: Head, event_type: str, payload_bytes: int, limits: Limits) -> None:
    """Raises WorkflowError. However many nobody waits for, the one that is waited for has a place."""
    (count,) = transaction.one("SELECT count(*) FROM events WHERE instance_seq=?", (head.seq,)) or (0,)
    (held_bytes,) = transaction.one("SELECT state_bytes FROM instances WHERE seq=?", (head.seq,)) or (0,)
    why = None
    if count >= limits.events and not _is_missed(transaction, head.seq, event_type):
        why = f"holds {count} events that it hasn't taken, limit {limits.events}"
    elif held_bytes + payload_bytes > limits.state_bytes:
        why = (
            f"keeps {held_bytes} bytes, its events included; with this one that passes the limit, {limits.state_bytes}"
        )
    if why is not None:
        raise WorkflowError("instance.cannot_send_event", f"instance {head.id!r} {why}")


def add_event(transaction: Transaction, seq: int, event_type: str, payload: bytes) -> None:
    transaction.execute(
        "INSERT INTO events(instance_seq, type, payload, received_on) VALUES(?,?,?,?)",
        (seq, event_type, payload, transaction.now_ms),
    )
    transaction.execute("UPDATE instances SET state_bytes=state_bytes+? WHERE seq=?", (len(payload), seq))


def _is_missed(transaction: Transaction, seq: int, event_type: str) -> bool:
    has_one = transaction.one("SELECT 1 FROM events WHERE instance_seq=? AND type=? LIMIT 1", (seq, event_type))
    return has_one is None and _is_waited_for(transaction, seq, event_type)


def _is_waited_for(transaction: Transaction, seq: int, event_type: str) -> bool:
    waiter = (
        "SELECT 1 FROM steps WHERE instance_seq=? AND kind='waitForEvent' AND state='pending' AND event_type=? LIMIT 1"
    )
    return transaction.one(waiter, (seq, event_type)) is not None


def queue_woken(transaction: Transaction, seq: int) -> None:
    now = transaction.now_ms
    transaction.execute(
        "UPDATE instances SET status=0, woken=1, wake_at=NULL, queued_on=?, modified_on=?, lease_owner=NULL"
        " WHERE seq=?",
        (now, now, seq),
    )


def new_id() -> str:
    return str(uuid4())
