"""What a lifetime commits about its steps: each function builds one command for the writer, for one commit point.

The command may run twice (see writer.py), so it changes nothing but the database; what it learns, it returns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from workflows.errors import Failure
from workflows.states import Command, LogEvent, Status, StepState
from workflows.store.chunks import give_up_attempt
from workflows.store.instances import (
    EVENT,
    begin_rollback,
    carry_out_pending,
    end,
    queue_woken,
    read_head,
    shift_timers,
)  # fmt: skip
from workflows.store.records import InstanceRecord, StepRecord, render_failure
from workflows.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Began:
    """A step's or an attempt's beginning as it was committed."""

    step_id: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class EventTaken:
    payload: bytes
    received_on: int


DO_EVENTS: Final = (
    LogEvent.STEP_START,
    LogEvent.ATTEMPT_START,
    LogEvent.STEP_SUCCESS,
    LogEvent.STEP_FAILURE,
    LogEvent.ATTEMPT_FAILURE,
)
UNDO_EVENTS: Final = (
    LogEvent.ROLLBACK_STEP_START, LogEvent.ROLLBACK_ATTEMPT_START, LogEvent.ROLLBACK_STEP_SUCCESS,
    LogEvent.ROLLBACK_STEP_FAILURE, LogEvent.ROLLBACK_ATTEMPT_FAILURE,
)  # fmt: skip


def begin_step(instance: InstanceRecord, step: StepRecord) -> Callable[[Transaction], Began]:
    """Commit points 1 and 2 in one: the step is first seen, and its first attempt begins."""
    event = (UNDO_EVENTS if step.kind == "rollback" else DO_EVENTS)[0]

    def command(transaction: Transaction) -> Began:
        now = transaction.now_ms
        step_id = transaction.add_step(
            (instance.seq, step.key, step.kind, step.name, step.count, step.ord, "running", step.config_json,
             step.has_rollback, 1, now, None, None, now)
        )  # fmt: skip
        transaction.log(instance.workflow_id, instance.seq, event, step_id=step_id, step=step.name, attempt=1)
        return Began(step_id, now)

    return command


def leave_unbegun(instance: InstanceRecord, step: StepRecord) -> Callable[[Transaction], None]:
    """A step that was called and never awaited: a row without an attempt, so that people see it."""

    def command(transaction: Transaction) -> None:
        transaction.add_step(
            (instance.seq, step.key, step.kind, step.name, step.count, step.ord, "pending", None, False, 0, None, None,
             None, transaction.now_ms)
        )  # fmt: skip

    return command


def begin_attempt(
    instance: InstanceRecord, step: StepRecord, crashed: Failure | None
) -> Callable[[Transaction], Began]:
    """A later attempt; `crashed` closes the one before it, which its process did not live to close."""
    event = (UNDO_EVENTS if step.kind == "rollback" else DO_EVENTS)[1]
    attempt, step_id = step.attempts + 1, step.id

    def command(transaction: Transaction) -> Began:
        now = transaction.now_ms
        if crashed is not None:
            _close_attempt(transaction, instance, step, crashed, None)
        transaction.execute(
            "UPDATE steps SET state='running', attempts=?, attempt_started_on=?, due=NULL WHERE id=?",
            (attempt, now, step_id),
        )
        transaction.log(instance.workflow_id, instance.seq, event, step_id=step_id, step=step.name, attempt=attempt)
        return Began(step_id, now)

    return command


def finish_step(instance: InstanceRecord, step: StepRecord, result: bytes, cpu_ms: int) -> Callable[[Transaction], int]:
    """Commit point 3: the attempt succeeded, and with it the step. Returns when."""
    event = (UNDO_EVENTS if step.kind == "rollback" else DO_EVENTS)[2]
    workflow_id, seq, step_id, name, attempt = instance.workflow_id, instance.seq, step.id, step.name, step.attempts
    started_on = step.attempt_started_on or 0

    def command(transaction: Transaction) -> int:
        now = transaction.now_ms
        transaction.finish_step(step_id, result, cpu_ms)
        transaction.log(
            workflow_id,
            seq,
            event,
            step_id=step_id,
            step=name,
            attempt=attempt,
            wall_ms=now - started_on,
            cpu_ms=cpu_ms,
        )
        return now

    return command


def fail_attempt(
    instance: InstanceRecord, step: StepRecord, failure: Failure, retry_delay_ms: int | None
) -> Callable[[Transaction], int]:
    """Commit point 4: with a delay the step will be tried again after it, else the step has failed. Returns when."""

    def command(transaction: Transaction) -> int:
        now = transaction.now_ms
        _close_attempt(transaction, instance, step, failure, retry_delay_ms)
        if retry_delay_ms is not None:
            transaction.execute("UPDATE steps SET state='retrying', due=? WHERE id=?", (now + retry_delay_ms, step.id))
        else:
            transaction.execute(
                "UPDATE steps SET state='failed', due=NULL, ended_on=?, error_json=? WHERE id=?",
                (now, render_failure(failure), step.id),
            )
        return now

    return command


def set_retry(instance: InstanceRecord, step: StepRecord, due_ms: int, delay_ms: int) -> Callable[[Transaction], None]:
    """Puts the delay that a delay function gave in place of the one stored before it was called."""

    def command(transaction: Transaction) -> None:
        transaction.execute("UPDATE steps SET due=? WHERE id=?", (due_ms, step.id))
        transaction.execute(
            "UPDATE attempts SET retry_delay_ms=? WHERE step_id=? AND n=?", (delay_ms, step.id, step.attempts)
        )

    return command


def fail_step(instance: InstanceRecord, step: StepRecord, failure: Failure) -> Callable[[Transaction], int]:
    """The step fails with no attempt open: its delay function failed."""

    def command(transaction: Transaction) -> int:
        now = transaction.now_ms
        transaction.execute(
            "UPDATE steps SET state='failed', due=NULL, ended_on=?, error_json=? WHERE id=?",
            (now, render_failure(failure), step.id),
        )
        transaction.log(
            instance.workflow_id, instance.seq, LogEvent.STEP_FAILURE, step_id=step.id, step=step.name,
            meta_json=_told(failure),
        )  # fmt: skip
        return now

    return command


def close_attempt(instance: InstanceRecord, step: StepRecord, failure: Failure) -> Callable[[Transaction], None]:
    """The attempt was cancelled by its own author: it failed, no retry is planned, the step stays unfinished."""

    def command(transaction: Transaction) -> None:
        _close_attempt(transaction, instance, step, failure, None, is_last=False)
        transaction.execute("UPDATE steps SET state='retrying', due=NULL WHERE id=?", (step.id,))

    return command


def _close_attempt(
    transaction: Transaction, instance: InstanceRecord, step: StepRecord, failure: Failure, retry_delay_ms: int | None,
    *, is_last: bool = True,
) -> None:  # fmt: skip
    now = transaction.now_ms
    started_on = step.attempt_started_on if step.attempt_started_on is not None else now
    transaction.execute(
        "INSERT INTO attempts VALUES(?,?,?,?,?,?,?) ON CONFLICT DO NOTHING",
        (step.id, step.attempts, instance.seq, started_on, now, render_failure(failure), retry_delay_ms),
    )
    give_up_attempt(transaction, instance.seq, step.id)
    _, _, _, step_failed, attempt_failed = UNDO_EVENTS if step.kind == "rollback" else DO_EVENTS
    has_failed = is_last and retry_delay_ms is None and failure.name != CRASHED.name
    transaction.log(
        instance.workflow_id, instance.seq, step_failed if has_failed else attempt_failed, step_id=step.id,
        step=step.name, attempt=step.attempts, meta_json=_told(failure, retry_delay_ms), wall_ms=now - started_on,
    )  # fmt: skip


CRASHED: Final = Failure(
    "WorkflowInternalError", "the process that ran this attempt ended before its result was stored"
)


def _told(failure: Failure, retry_delay_ms: int | None = None) -> str:
    told: dict[str, Any] = {"error": {"name": failure.name, "message": failure.message}}
    if retry_delay_ms is not None:
        told["retryDelayMs"] = retry_delay_ms
    return orjson.dumps(told).decode()


# ---- sleeps and waits


def begin_wait(instance: InstanceRecord, step: StepRecord, duration_ms: int) -> Callable[[Transaction], Began]:
    """A sleep or a wait for an event is first seen; its timer is its `due`. Set `step.due` to override the duration."""

    def command(transaction: Transaction) -> Began:
        now = transaction.now_ms
        due = step.due if step.due is not None else now + duration_ms
        step_id = transaction.add_step(
            (instance.seq, step.key, step.kind, step.name, step.count, step.ord, "pending", None, False, 0, None,
             step.event_type, due, now)
        )  # fmt: skip
        is_sleep = step.kind == "sleep"
        meta = {"durationMs": due - now} if is_sleep else {"event": step.event_type}
        transaction.log(
            instance.workflow_id, instance.seq, LogEvent.SLEEP_START if is_sleep else LogEvent.WAIT_START,
            step_id=step_id, step=step.name, meta_json=orjson.dumps(meta).decode(),
        )  # fmt: skip
        return Began(step_id, now)

    return command


def finish_sleep(instance: InstanceRecord, step: StepRecord) -> Callable[[Transaction], None]:
    def command(transaction: Transaction) -> None:
        transaction.execute(
            "UPDATE steps SET state='done', due=NULL, ended_on=? WHERE id=?", (transaction.now_ms, step.id)
        )
        transaction.log(instance.workflow_id, instance.seq, LogEvent.SLEEP_COMPLETE, step_id=step.id, step=step.name)

    return command


def take_event(
    instance: InstanceRecord, step: StepRecord, encode: Callable[[EventTaken], bytes]
) -> Callable[[Transaction], bytes | None]:
    """The oldest event of the step's type becomes the step's result, in one transaction; None where there is none."""

    def command(transaction: Transaction) -> bytes | None:
        row = transaction.one(
            "DELETE FROM events WHERE id = (SELECT id FROM events WHERE instance_seq=? AND type=? AND received_on<=?"
            " ORDER BY id LIMIT 1) RETURNING payload, received_on",
            (instance.seq, step.event_type, step.due if step.due is not None else transaction.now_ms),
        )
        if row is None:
            return None
        taken = EventTaken(*row)
        result = encode(taken)
        transaction.execute(
            "UPDATE steps SET state='done', result=?, due=NULL, ended_on=? WHERE id=?",
            (result, transaction.now_ms, step.id),
        )
        meta = orjson.dumps({"type": step.event_type, "timestamp": taken.received_on}).decode()
        transaction.log(
            instance.workflow_id, instance.seq, LogEvent.WAIT_COMPLETE, step_id=step.id, step=step.name, meta_json=meta,
            wall_ms=transaction.now_ms - step.started_on,
        )  # fmt: skip
        return result

    return command


def time_out_wait(instance: InstanceRecord, step: StepRecord, failure: Failure) -> Callable[[Transaction], None]:
    def command(transaction: Transaction) -> None:
        transaction.execute(
            "UPDATE steps SET state='failed', due=NULL, ended_on=?, error_json=? WHERE id=?",
            (transaction.now_ms, render_failure(failure), step.id),
        )
        meta = orjson.dumps({"name": failure.name, "message": failure.message}).decode()
        transaction.log(
            instance.workflow_id, instance.seq, LogEvent.WAIT_TIMED_OUT, step_id=step.id, step=step.name, meta_json=meta
        )

    return command


# ---- the instance


def complete(instance: InstanceRecord, output: bytes, state_bytes: int) -> Callable[[Transaction], None]:
    """Commit point 7 for a run that returned."""

    def command(transaction: Transaction) -> None:
        if _commanded_otherwise(transaction, instance):
            return
        end(transaction, instance.workflow_id, instance.seq, Status.COMPLETE, output=output)
        _settle(transaction, instance, state_bytes)
        transaction.log(
            instance.workflow_id, instance.seq, LogEvent.WORKFLOW_SUCCESS, wall_ms=_age(transaction, instance)
        )

    return command


def fail(instance: InstanceRecord, failure: Failure, final: Status, state_bytes: int) -> Callable[[Transaction], None]:
    """Commit point 7 for a run that raised, or for a terminated one once it is rolled back."""

    def command(transaction: Transaction) -> None:
        is_errored = final is Status.ERRORED
        if _commanded_otherwise(transaction, instance):
            return
        end(transaction, instance.workflow_id, instance.seq, final, failure=failure if is_errored else None)
        _settle(transaction, instance, state_bytes)
        meta = _told(failure) if is_errored else '{"trigger":{"source":"api"}}'
        transaction.log(
            instance.workflow_id, instance.seq,
            LogEvent.WORKFLOW_FAILURE if is_errored else LogEvent.WORKFLOW_TERMINATED, meta_json=meta,
            wall_ms=_age(transaction, instance),
        )  # fmt: skip

    return command


def _commanded_otherwise(transaction: Transaction, instance: InstanceRecord) -> bool:
    """A terminate, restart or delete that was accepted before the end came is what happens, instead of that end."""
    head = read_head(transaction, instance.seq)
    if head is None:
        return True
    if all(item["do"] in (EVENT, Command.PAUSE, Command.RESUME) for item in head.pending):
        return False
    queue_woken(transaction, instance.seq)
    transaction.execute("UPDATE instances SET pending_cmd=NULL WHERE seq=?", (instance.seq,))
    carry_out_pending(transaction, head)
    return True


def _settle(transaction: Transaction, instance: InstanceRecord, state_bytes: int) -> None:
    if state_bytes:
        transaction.execute("UPDATE instances SET state_bytes=? WHERE seq=?", (state_bytes, instance.seq))


def _age(transaction: Transaction, instance: InstanceRecord) -> int:
    return transaction.now_ms - (instance.started_on or transaction.now_ms)


def enter_rollback(instance: InstanceRecord, failure: Failure) -> Callable[[Transaction], None]:
    def command(transaction: Transaction) -> None:
        head = read_head(transaction, instance.seq)
        if head is not None:
            begin_rollback(transaction, head, final=Status.ERRORED, failure=failure)

    return command


def note(instance: InstanceRecord, event: LogEvent, meta: dict[str, Any]) -> Callable[[Transaction], None]:
    """A log row alone: a warning, a rollback's end."""
    told = orjson.dumps(meta).decode()
    return lambda transaction: transaction.log(instance.workflow_id, instance.seq, event, meta_json=told)


def waits_for_pause(instance: InstanceRecord, since_ms: int) -> Callable[[Transaction], None]:
    def command(transaction: Transaction) -> None:
        transaction.execute(
            "UPDATE instances SET status=6, paused_on=?, modified_on=? WHERE seq=?",
            (since_ms, transaction.now_ms, instance.seq),
        )
        transaction.log(instance.workflow_id, instance.seq, LogEvent.WAITING_FOR_PAUSE)

    return command


def resumes(instance: InstanceRecord, by_ms: int) -> Callable[[Transaction], None]:
    """The pause is called off before it took place."""

    def command(transaction: Transaction) -> None:
        transaction.execute(
            "UPDATE instances SET status=1, paused_on=NULL, modified_on=? WHERE seq=?",
            (transaction.now_ms, instance.seq),
        )
        shift_timers(transaction, instance.seq, by_ms)
        transaction.log(instance.workflow_id, instance.seq, LogEvent.RUNNING)

    return command


def is_over(state: StepState) -> bool:
    return state in (StepState.DONE, StepState.FAILED)
