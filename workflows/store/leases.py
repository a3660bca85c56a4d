"""Who may run what: workers, their leases, claims, recovery and hibernation.

A worker holds a row in `workers`; what it claimed carries its id. It renews one row, and every leased transaction
looks whether that row is still there, under SQLite's single write lock. A worker that stalls past its lease loses
the row to whoever recovers its instances, in the transaction that queues them: so a stalled worker that comes back
can commit nothing, and registers anew under another id. `epoch` counts an instance's claims.
"""

import heapq
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from workflows.errors import Failure
from workflows.states import LogEvent, Status
from workflows.store.instances import HEAD_COLUMNS, Head, carry_out_pending, end, head_of, pause, queue_woken
from workflows.store.records import (
    INSTANCE_COLUMNS,
    STEP_COLUMNS,
    InstanceRecord,
    StepRecord,
    instance_record,
    render_failure,
    step_record,
)
from workflows.store.transaction import Transaction

WAKES_MAX: Final = 1000
LOG_IDS_LOST_MAX: Final = 100_000  # a power cut undoes a second's beginnings of attempts at most, two ids each


@dataclass(frozen=True, slots=True)
class Claimed:
    """An instance that this worker now runs, with all its steps in order of start."""

    instance: InstanceRecord
    steps: list[StepRecord]


def register_worker(transaction: Transaction, worker_id: str, *, pid: int, host: str, lease_ms: int) -> None:
    now = transaction.now_ms
    transaction.execute("INSERT INTO workers VALUES(?,?,?,?,?,?)", (worker_id, pid, host, now, now, now + lease_ms))


def renew(transaction: Transaction, worker_id: str, lease_ms: int) -> bool:
    """False once the lease is gone."""
    now = transaction.now_ms
    cursor = transaction.execute(
        "UPDATE workers SET heartbeat=?, lease_until=? WHERE id=?", (now, now + lease_ms, worker_id)
    )
    return cursor.rowcount > 0


def recover(transaction: Transaction, *, recoveries_max: int, dead: Collection[str] = ()) -> int:
    """Queues what workers held whose lease ran out, or that are known to be `dead`. Returns how many instances."""
    known: list[tuple[str, int]] = transaction.all("SELECT id, lease_until FROM workers")
    lost = [(worker_id,) for worker_id, until in known if until < transaction.now_ms or worker_id in dead]
    orphans = "SELECT seq FROM instances WHERE lease_owner IS NOT NULL AND lease_owner NOT IN (SELECT id FROM workers)"
    if lost:  # perhaps by a power cut, which undid events that a subscriber was told of: its cursor is past them
        transaction.leave_out_log_ids(LOG_IDS_LOST_MAX)
    for (worker_id,) in lost:
        transaction.execute("DELETE FROM workers WHERE id=?", (worker_id,))
    found = transaction.all(f"SELECT {HEAD_COLUMNS} FROM instances WHERE seq IN ({orphans})")
    for row in found:
        _recover_one(transaction, head_of(row), recoveries_max)
    return len(found)


def _recover_one(transaction: Transaction, head: Head, recoveries_max: int) -> None:
    row = transaction.one(
        "UPDATE instances SET recoveries=recoveries+1, pending_cmd=NULL WHERE seq=? RETURNING recoveries", (head.seq,)
    )
    assert row is not None
    transaction.count(head.workflow_id, LogEvent.RECOVERED)
    if row[0] > recoveries_max:
        why = Failure("RecoveryLimitExceeded", f"its worker died {row[0]} times while it ran, limit {recoveries_max}")
        end(transaction, head.workflow_id, head.seq, Status.ERRORED, failure=why)
        transaction.log(head.workflow_id, head.seq, LogEvent.WORKFLOW_FAILURE, meta_json=render_failure(why))
    elif head.status is Status.WAITING_FOR_PAUSE:
        pause(transaction, head, since_ms=head.paused_on)
    else:
        queue_woken(transaction, head.seq)
    carry_out_pending(transaction, head)


def release_worker(transaction: Transaction, worker_id: str) -> None:
    """Gives all back at once, so that another worker goes on without waiting for the lease to run out."""
    for row in transaction.all(f"SELECT {HEAD_COLUMNS} FROM instances WHERE lease_owner=?", (worker_id,)):
        head = head_of(row)
        transaction.execute("UPDATE instances SET pending_cmd=NULL WHERE seq=?", (head.seq,))
        if head.status is Status.WAITING_FOR_PAUSE:
            pause(transaction, head, since_ms=head.paused_on)
        else:
            queue_woken(transaction, head.seq)
        carry_out_pending(transaction, head)
    transaction.execute("DELETE FROM workers WHERE id=?", (worker_id,))


def wake_due(transaction: Transaction) -> int:
    """Queues what has slept long enough, and counts how late that is. Returns how many."""
    now = transaction.now_ms
    due: list[tuple[int, str, int]] = transaction.all(
        "SELECT seq, workflow_id, wake_at FROM instances WHERE status=7 AND wake_at<=? ORDER BY wake_at LIMIT ?",
        (now, WAKES_MAX),
    )
    transaction.connection.executemany(
        "UPDATE instances SET status=0, woken=1, wake_at=NULL, queued_on=?, modified_on=? WHERE seq=?",
        [(now, now, seq) for seq, _, _ in due],
    )
    for _, workflow_id, wake_at in due:
        transaction.count(workflow_id, LogEvent.WOKEN, wall_ms=now - wake_at)
    return len(due)


def next_wake_ms(transaction: Transaction) -> int | None:
    row = transaction.one(
        "SELECT wake_at FROM instances WHERE status=7 AND wake_at IS NOT NULL ORDER BY wake_at LIMIT 1"
    )
    return row[0] if row else None


def claim(
    transaction: Transaction,
    worker_id: str,
    workflows: Mapping[str, int | None],
    *,
    count_max: int,
    max_running: int,
) -> list[Claimed]:
    """Up to `count_max` ready instances of `workflows` (id -> its own limit of running ones), woken ones first."""
    chosen = choose(transaction.execute, workflows, count_max=count_max, max_running=max_running)
    return [_claim_one(transaction, worker_id, seq) for seq in chosen]


def choose(
    execute: Callable[..., sqlite3.Cursor],
    workflows: Mapping[str, int | None],
    *,
    count_max: int,
    max_running: int,
) -> list[int]:
    """Which ones `claim` would claim, by reading alone."""
    running: dict[str, int] = dict(
        execute(
            "SELECT workflow_id, count(*) FROM instances INDEXED BY instances_running WHERE status IN (1, 6)"
            " GROUP BY workflow_id"
        ).fetchall()
    )
    free = min(count_max, max_running - sum(running.values()))
    if free <= 0:
        return []
    queues: list[Sequence[tuple[int, int, int]]] = []
    for workflow_id, own_max in workflows.items():
        own_free = free if own_max is None else min(free, own_max - running.get(workflow_id, 0))
        if own_free > 0:
            queues.append(
                execute(
                    "SELECT -woken, -priority, seq FROM instances WHERE workflow_id=? AND status=0"
                    " ORDER BY woken DESC, priority DESC, seq LIMIT ?",
                    (workflow_id, own_free),
                ).fetchall()
            )
    return [row[2] for row, _ in zip(heapq.merge(*queues), range(free), strict=False)]


def _claim_one(transaction: Transaction, worker_id: str, seq: int) -> Claimed:
    now = transaction.now_ms
    connection = transaction.connection
    was_started = connection.execute("SELECT started_on FROM instances WHERE seq=?", (seq,)).fetchone()[0] is not None
    row = connection.execute(
        "UPDATE instances SET status=1, lease_owner=?, epoch=epoch+1, woken=0, wake_at=NULL, modified_on=?,"
        f" started_on=coalesce(started_on, ?) WHERE seq=? AND status=0 RETURNING {INSTANCE_COLUMNS}",
        (worker_id, now, now, seq),
    ).fetchone()
    instance = instance_record(row)
    transaction.log(
        instance.workflow_id, seq, LogEvent.RUNNING if was_started else LogEvent.WORKFLOW_START,
        wall_ms=now - instance.queued_on,
    )  # fmt: skip
    if not was_started:
        return Claimed(instance, [])
    steps = connection.execute(f"SELECT {STEP_COLUMNS} FROM steps WHERE instance_seq=? ORDER BY ord", (seq,))
    return Claimed(instance, [step_record(step) for step in steps])


def hibernate(transaction: Transaction, instance: InstanceRecord, wake_at: int, state_bytes: int) -> bool:
    """Gives the instance up until `wake_at`. Queued instead (and False) where an event came or a command waits.

    `state_bytes` is without the events that it has not taken.
    """
    head_row = transaction.one(f"SELECT {HEAD_COLUMNS} FROM instances WHERE seq=?", (instance.seq,))
    if head_row is None:
        return False
    head = head_of(head_row)
    now = transaction.now_ms
    has_event = transaction.one(
        "SELECT 1 FROM events AS e JOIN steps AS s ON s.instance_seq=e.instance_seq AND s.event_type=e.type"
        " AND s.state='pending' WHERE e.instance_seq=? LIMIT 1",
        (instance.seq,),
    )
    transaction.execute(
        "UPDATE instances SET status=7, wake_at=?, modified_on=?, lease_owner=NULL, pending_cmd=NULL,"
        " state_bytes=?+(SELECT coalesce(sum(length(payload)), 0) FROM events WHERE instance_seq=seq) WHERE seq=?",
        (wake_at, now, state_bytes, instance.seq),
    )
    transaction.log(instance.workflow_id, instance.seq, LogEvent.WAITING)
    if has_event is not None:
        queue_woken(transaction, instance.seq)
    carry_out_pending(transaction, head)
    return has_event is None
