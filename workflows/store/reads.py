"""Typed reads. Short, synchronous, on a connection of their own: in WAL mode no writer makes them wait.

One `Reads` belongs to one thread at a time. Each call sees one commit, also where it makes several queries.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Generic, Literal, TypeVar

from workflows.errors import Failure
from workflows.states import LIVE, LogEvent, Status, StepState
from workflows.store.connection import open_reader, translated
from workflows.store.cursor import Cursor, InstanceFilter
from workflows.store.log_feed import FeedEvent, read_feed
from workflows.store.records import (
    INSTANCE_COLUMNS,
    STEP_COLUMNS,
    AttemptRecord,
    InstanceRecord,
    StepRecord,
    VersionRecord,
    WorkflowRecord,
    instance_record,
    parse_failure,
    step_record,
)

Item = TypeVar("Item")
WORKFLOW_COLUMNS: Final = (
    "id, name, script_name, class_name, limits_json, schedules_json, success_ret_ms, error_ret_ms, max_running,"
    " created_on, modified_on, triggered_on"
)
VERSION_COLUMNS: Final = "id, workflow_id, class_name, code_hash, created_on, modified_on"


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page by number. `total_count` counts all pages."""

    items: tuple[Item, ...]
    total_count: int


@dataclass(frozen=True, slots=True)
class InstancePage:
    """`cursor` goes on; None at the end."""

    items: tuple[InstanceRecord, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class StepDetail:
    """A step with its attempts, in order; `rollback` is its undoing, once that began.

    What an answer has no room for is left out: `left_out_bytes` of a result, which is None then, and the first
    `attempts_left_out` attempts.
    """

    step: StepRecord
    attempts: tuple[AttemptRecord, ...]
    rollback: "StepDetail | None" = None
    left_out_bytes: int = 0
    attempts_left_out: int = 0


@dataclass(frozen=True, slots=True)
class InstanceDetail:
    instance: InstanceRecord
    steps: tuple[StepDetail, ...]


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """`n` events of one kind in the bucket that begins at `at_ms`; wall and CPU time summed, ms."""

    at_ms: int
    event: LogEvent
    step: str
    n: int
    wall_ms: int
    cpu_ms: int


@dataclass(frozen=True, slots=True)
class Gauges:
    """`totals`: (workflow, event, bound in ms as bounds.py has it) -> (how many ever, their wall ms).
    `oldest_queued_on` is None with an empty queue, `next_wake_on` where nothing hibernates."""

    instances: dict[tuple[str, Status], int]
    totals: dict[tuple[str, LogEvent, int], tuple[int, int]]
    oldest_queued_on: int | None
    state_bytes: int
    next_wake_on: int | None


METRICS_MAX: Final = 10_000
STEPS_TOLD_MAX: Final = 50_000
ATTEMPTS_TOLD_MAX: Final = 20_000
ATTEMPTS_TOLD_BYTES_MAX: Final = 4 << 20
ERROR_TOLD_MAX: Final = 1000
RESULTS_TOLD_BYTES_MAX: Final = 4 << 20
"""How much of an instance one answer tells: an instance may hold a gigabyte, and ten may ask for it at once."""
TOLD_ERROR: Final = (
    "json_object('name', json_extract({0}, '$.name'), 'message',"
    f" substr(json_extract({{0}}, '$.message'), 1, {ERROR_TOLD_MAX}))"
)
STEPS_TOLD: Final = (
    STEP_COLUMNS.replace(" result,", " CASE WHEN length(result) <= ?1 THEN result END,").replace(
        " error_json,", f" CASE WHEN error_json IS NOT NULL THEN {TOLD_ERROR.format('error_json')} END,"
    )
    + ", coalesce(length(result), 0)"
)
LISTED_COLUMNS: Final = INSTANCE_COLUMNS.replace("params, output,", "x'', NULL,")


class Reads:
    """Raises StoreError where the database can't be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_reader(path)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _one_commit(self) -> Iterator[None]:
        with translated(self._path):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def _all(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, parameters).fetchall()

    # ---- workflows

    def workflows(self, *, page: int = 1, per_page: int = 25, search: str = "") -> Page[WorkflowRecord]:
        """Newest first; `search` is a part of the name."""
        with self._one_commit():
            where = "WHERE instr(name, ?) > 0 OR ? = ''"
            ((total,),) = self._all(f"SELECT count(*) FROM workflows {where}", search, search)
            rows = self._all(
                f"SELECT {WORKFLOW_COLUMNS} FROM workflows {where} ORDER BY created_on DESC, name LIMIT ? OFFSET ?",
                search, search, per_page, (page - 1) * per_page,
            )  # fmt: skip
        return Page(tuple(WorkflowRecord(*row) for row in rows), total)

    def workflow(self, name: str) -> WorkflowRecord | None:
        with translated(self._path):
            rows = self._all(f"SELECT {WORKFLOW_COLUMNS} FROM workflows WHERE name = ?", name)
        return WorkflowRecord(*rows[0]) if rows else None

    def versions(self, workflow_id: str, *, page: int = 1, per_page: int = 25) -> Page[VersionRecord]:
        """Newest first."""
        with self._one_commit():
            ((total,),) = self._all("SELECT count(*) FROM versions WHERE workflow_id = ?", workflow_id)
            rows = self._all(
                f"SELECT {VERSION_COLUMNS} FROM versions WHERE workflow_id = ?"
                " ORDER BY modified_on DESC, rowid DESC LIMIT ? OFFSET ?",
                workflow_id, per_page, (page - 1) * per_page,
            )  # fmt: skip
        return Page(tuple(VersionRecord(*row) for row in rows), total)

    def version(self, workflow_id: str, version_id: str) -> VersionRecord | None:
        with translated(self._path):
            rows = self._all(
                f"SELECT {VERSION_COLUMNS} FROM versions WHERE workflow_id = ? AND id = ?",
                workflow_id, version_id,
            )  # fmt: skip
        return VersionRecord(*rows[0]) if rows else None

    def status_counts(self, workflow_id: str) -> dict[Status, int]:
        """For every state, also those with none."""
        with translated(self._path):
            rows = self._all("SELECT status, n FROM tallies WHERE workflow_id = ?", workflow_id)
        return dict.fromkeys(Status, 0) | {Status(status): count for status, count in rows}

    # ---- instances

    def instances(
        self, workflow_id: str, filter_: InstanceFilter, *, per_page: int = 25, cursor: str | None = None, page: int = 1
    ) -> InstancePage:
        """By creation, without params and outputs. Goes on from `cursor`, or (deprecated) skips the pages before
        `page`. Raises WorkflowError."""
        mark = filter_.mark(workflow_id)
        conditions, parameters = ["workflow_id = ?"], [workflow_id]
        for condition, value in (
            ("status = ?", filter_.status),
            ("created_on >= ?", filter_.from_ms),
            ("created_on <= ?", filter_.to_ms),
            ("instr(id, ?) > 0", filter_.search or None),
        ):
            if value is not None:
                conditions.append(condition)
                parameters.append(value)  # type: ignore[arg-type]
        if cursor:
            after = Cursor.decode(cursor, mark)
            conditions.append("(created_on, seq) " + ("<" if filter_.direction == "desc" else ">") + " (?, ?)")
            parameters += [after.created_on, after.seq]  # type: ignore[list-item]
        order = filter_.direction.upper()
        with translated(self._path):
            rows = self._all(
                f"SELECT {LISTED_COLUMNS} FROM instances WHERE {' AND '.join(conditions)}"
                f" ORDER BY created_on {order}, seq {order} LIMIT ? OFFSET ?",
                *parameters, per_page + 1, (page - 1) * per_page,
            )  # fmt: skip
        items = tuple(instance_record(row) for row in rows[:per_page])
        more = len(rows) > per_page
        return InstancePage(items, Cursor(items[-1].created_on, items[-1].seq, mark).encode() if more else None)

    def count_instances(self, workflow_id: str, status: Status | None = None) -> int:
        with translated(self._path):
            rows = self._all(
                "SELECT coalesce(sum(n), 0) FROM tallies WHERE workflow_id = ?1 AND (?2 IS NULL OR status = ?2)",
                workflow_id, status,
            )  # fmt: skip
        count: int = rows[0][0]
        return count

    def count_queued(self, workflow_id: str, count_max: int) -> int:
        """How many are queued, counted no further than `count_max`."""
        with translated(self._path):
            ((count,),) = self._all(
                "SELECT count(*) FROM (SELECT 1 FROM instances WHERE workflow_id = ? AND status = 0 LIMIT ?)",
                workflow_id, count_max,
            )  # fmt: skip
        return int(count)

    def instance(self, workflow_id: str, instance_id: str) -> InstanceRecord | None:
        with translated(self._path):
            rows = self._all(
                f"SELECT {INSTANCE_COLUMNS} FROM instances WHERE workflow_id = ? AND id = ?",
                workflow_id, instance_id,
            )  # fmt: skip
        return instance_record(rows[0]) if rows else None

    def describe(
        self, workflow_id: str, instance_id: str, *, order: Literal["asc", "desc"] = "asc", only: str | None = None,
        results_bytes_max: int = RESULTS_TOLD_BYTES_MAX,
    ) -> InstanceDetail | None:  # fmt: skip
        """The instance with its steps in order of start, each with its attempts; rollbacks lie within their steps.

        Where results take more than `results_bytes_max` together, the largest are left out. `only` is one step's shown
        name, whose result is there whatever its size.
        """
        with self._one_commit():
            rows = self._all(
                f"SELECT {INSTANCE_COLUMNS} FROM instances WHERE workflow_id = ? AND id = ?",
                workflow_id, instance_id,
            )  # fmt: skip
            if not rows:
                return None
            instance = instance_record(rows[0])
            each_max = (
                self._result_bytes_max(instance.seq, results_bytes_max) if only is None else RESULTS_TOLD_BYTES_MAX
            )
            steps = self._all(
                f"SELECT {STEPS_TOLD} FROM steps WHERE instance_seq = ?2 AND (?3 IS NULL OR name || '-' || count = ?3)"
                " ORDER BY ord LIMIT ?4",
                each_max, instance.seq, only, STEPS_TOLD_MAX,
            )  # fmt: skip
            attempts = self._attempts(instance.seq)
        details = [_detail(step_record(row[:-1]), attempts.get(row[0], []), row[-1]) for row in steps]
        undone = {
            detail.step.key.removeprefix("rollback:"): detail for detail in details if detail.step.kind == "rollback"
        }
        shown = [
            replace(detail, rollback=undone.get(detail.step.key))
            for detail in details
            if detail.step.kind != "rollback"
        ]
        return InstanceDetail(instance, tuple(shown if order == "asc" else reversed(shown)))

    def _result_bytes_max(self, seq: int, total_max: int) -> int:
        """How large a result may be so that all that are no larger take `total_max` together, at most."""
        ((total,),) = self._all("SELECT coalesce(sum(length(result)), 0) FROM steps WHERE instance_seq = ?", seq)
        if total <= total_max:
            return int(total)
        lengths = self._all(
            "SELECT length(result) FROM steps WHERE instance_seq = ? AND result NOT NULL ORDER BY 1", seq
        )
        upto = accumulate(length for (length,) in lengths)
        first_out: int = next(length for (length,), sum_ in zip(lengths, upto, strict=True) if sum_ > total_max)
        return first_out - 1

    def _attempts(self, seq: int) -> dict[int, list[AttemptRecord]]:
        """Failed attempts by step's id, oldest first: the newest that there is room for."""
        rows = self._connection.execute(
            f"SELECT step_id, n, started_on, ended_on, {TOLD_ERROR.format('error_json')}, retry_delay_ms FROM attempts"
            " WHERE instance_seq = ? ORDER BY step_id DESC, n DESC LIMIT ?",
            (seq, ATTEMPTS_TOLD_MAX),
        )
        attempts: dict[int, list[AttemptRecord]] = {}
        told_bytes = 0
        for step_id, n, started_on, ended_on, error_json, retry_delay_ms in rows:
            told_bytes += len(error_json)
            if told_bytes > ATTEMPTS_TOLD_BYTES_MAX:
                break
            attempt = AttemptRecord(n, started_on, ended_on, False, parse_failure(error_json), retry_delay_ms)
            attempts.setdefault(step_id, []).insert(0, attempt)
        rows.close()
        return attempts

    def feed(self, seq: int, *, after: int = 0) -> list[FeedEvent]:
        """Events of the instance past id `after`, oldest first, bounded; [] when there are none yet."""
        return read_feed(self._connection, self._path, seq, after=after)

    def last_event_id(self, seq: int) -> int | None:
        with translated(self._path):
            ((last,),) = self._all("SELECT max(id) FROM log WHERE instance_seq = ?", seq)
        newest: int | None = last
        return newest

    def metrics(
        self, workflow_id: str, *, from_ms: int, to_ms: int, bucket_minutes: int, by_step: bool = False
    ) -> tuple[MetricRecord, ...]:
        """Counters summed in buckets of `bucket_minutes`, by event and, if wanted, by step; times within [from, to)."""
        step = "step" if by_step else "''"
        with translated(self._path):
            rows = self._all(
                f"SELECT minute / ?1 * ?1 * 60000, event, {step}, sum(n), sum(wall_ms), sum(cpu_ms) FROM metrics"
                " WHERE workflow_id = ?2 AND minute >= ?3 AND minute < ?4 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT ?5",
                bucket_minutes, workflow_id, from_ms // 60_000, -(-to_ms // 60_000), METRICS_MAX,
            )  # fmt: skip
        return tuple(MetricRecord(row[0], LogEvent(row[1]), *row[2:]) for row in rows)

    def gauges(self) -> Gauges:
        """The whole store's figures for a metrics scraper."""
        with self._one_commit():
            counts = self._all(
                "SELECT w.name, t.status, t.n, t.state_bytes FROM tallies AS t JOIN workflows AS w"
                " ON w.id = t.workflow_id"
            )
            totals = self._all(
                "SELECT w.name, t.event, t.le_ms, t.n, t.wall_ms FROM totals AS t JOIN workflows AS w"
                " ON w.id = t.workflow_id"
            )
            ((oldest,),) = self._all("SELECT min(queued_on) FROM instances WHERE status = 0")
            ((next_wake,),) = self._all("SELECT min(wake_at) FROM instances WHERE status = 7")
        return Gauges(
            {(name, Status(status)): count for name, status, count, _ in counts},
            {(name, LogEvent(event), le_ms): (n, wall_ms) for name, event, le_ms, n, wall_ms in totals},
            oldest, sum(held for *_, held in counts), next_wake,
        )  # fmt: skip

    def live_ids(self, workflow_id: str, status: Status | None = None) -> list[str]:
        """Of instances that have not ended, oldest first; in `status` if given."""
        wanted = tuple(LIVE) if status is None else (status,)
        places = ", ".join("?" * len(wanted))
        with translated(self._path):
            rows = self._all(
                f"SELECT id FROM instances WHERE workflow_id = ? AND status IN ({places}) ORDER BY seq",
                workflow_id,
                *wanted,
            )
        return [row[0] for row in rows]

    def some_ids(self, workflow_id: str) -> list[str]:
        """Up to 100 of its instances' ids, in any state; [] once there are none."""
        with translated(self._path):
            return [
                row[0] for row in self._all("SELECT id FROM instances WHERE workflow_id = ? LIMIT 100", workflow_id)
            ]

    def is_live(self, seq: int) -> bool:
        """Whether the instance is there and has not ended."""
        with translated(self._path):
            return bool(self._all("SELECT 1 FROM instances WHERE seq = ? AND status NOT IN (3, 4, 5)", seq))

    def next_wake_ms(self) -> int | None:
        """When the next hibernating instance is due."""
        with translated(self._path):
            ((due,),) = self._all("SELECT min(wake_at) FROM instances WHERE status = 7")
        return due if due is None else int(due)

    def step_result(
        self, workflow_id: str, instance_id: str, name: str, count: int
    ) -> tuple[bytes | None, Failure | None]:
        """What this `do` gave: (result, None), (None, failure), or (None, None) while it has given nothing."""
        with translated(self._path):
            rows = self._all(
                "SELECT steps.result, steps.error_json, steps.state FROM steps JOIN instances ON seq = instance_seq"
                " WHERE workflow_id = ? AND instances.id = ? AND name = ? AND count = ? AND kind = 'do'",
                workflow_id, instance_id, name, count,
            )  # fmt: skip
        if not rows:
            return None, None
        result, error_json, state = rows[0]
        return result, parse_failure(error_json) if state == StepState.FAILED else None


def _detail(step: StepRecord, failed: list[AttemptRecord], result_bytes: int) -> StepDetail:
    attempts = failed
    is_tried = step.kind in ("do", "rollback") and step.attempt_started_on is not None
    is_open = step.state in (StepState.RUNNING, StepState.DONE)
    if is_tried and is_open and step.attempts > (failed[-1].n if failed else 0):
        assert step.attempt_started_on is not None
        is_done = step.state is StepState.DONE
        last = AttemptRecord(
            step.attempts,
            step.attempt_started_on,
            step.ended_on if is_done else None,
            True if is_done else None,
            None,
            None,
        )
        attempts = [*attempts, last]
    left_out_bytes = result_bytes if step.result is None else 0
    attempts_left_out = step.attempts - len(attempts) if is_tried else 0
    return StepDetail(step, tuple(attempts), None, left_out_bytes, attempts_left_out)
