"""One write transaction, shared by every command that came while the one before it was synced.

Rows of the hot path (steps begun, steps done, log, metrics) are gathered and written with one statement a kind, just
before the commit or before any other statement, so that a command always sees what came before it.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from workflows.states import LogEvent
from workflows.store.bounds import TIMED_EVENTS, bound_ms

Row = tuple[Any, ...]
MINUTE_MS: Final = 60_000

ADD_STEP: Final = (
    "INSERT INTO steps(id, instance_seq, key, kind, name, count, ord, state, config_json, has_rollback, attempts,"
    " attempt_started_on, event_type, due, started_on) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
FINISH_STEP: Final = "UPDATE steps SET state='done', result=?, ended_on=?, due=NULL, cpu_ms=? WHERE id=?"
ADD_LOG: Final = "INSERT INTO log(id, instance_seq, ts, event, step_id, attempt, meta_json) VALUES(?,?,?,?,?,?,?)"
ADD_METRIC: Final = (
    "INSERT INTO metrics VALUES(?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
    " n=n+excluded.n, wall_ms=wall_ms+excluded.wall_ms, cpu_ms=cpu_ms+excluded.cpu_ms"
)
ADD_TOTAL: Final = (
    "INSERT INTO totals VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE SET n=n+excluded.n, wall_ms=wall_ms+excluded.wall_ms"
)
PAIRS: Final = frozenset(
    {
        LogEvent.STEP_START, LogEvent.STEP_SUCCESS, LogEvent.STEP_FAILURE,
        LogEvent.ROLLBACK_STEP_START, LogEvent.ROLLBACK_STEP_SUCCESS, LogEvent.ROLLBACK_STEP_FAILURE,
    }
)  # fmt: skip


class Transaction:
    """`now_ms` is the same for all that is written in it."""

    def __init__(self, connection: sqlite3.Connection, now_ms: int) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self._steps: list[Row] = []
        self._finished: list[Row] = []
        self._log: list[Row] = []
        self._totals: dict[tuple[str, int, int], list[int]] = {}
        self._metrics: dict[tuple[str, int, int, str], list[int]] = {}
        step_id, log_id = connection.execute("SELECT step_id, log_id FROM counters").fetchone()
        self._step_id: int = step_id
        self._log_id: int = log_id
        self._counted = False

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        self.flush()
        return self.connection.execute(sql, parameters)

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        row: Row | None = self.execute(sql, parameters).fetchone()
        return row

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self.execute(sql, parameters).fetchall()

    def add_step(self, row: Row) -> int:
        """`row` is what follows the id in ADD_STEP. Returns the id."""
        self._step_id += 1
        self._counted = True
        self._steps.append((self._step_id, *row))
        return self._step_id

    def finish_step(self, step_id: int, result: bytes, cpu_ms: int) -> None:
        self._finished.append((result, self.now_ms, cpu_ms, step_id))

    def log(
        self,
        workflow_id: str,
        seq: int,
        event: LogEvent,
        *,
        step_id: int | None = None,
        step: str = "",
        attempt: int | None = None,
        meta_json: str | None = None,
        wall_ms: int = 0,
        cpu_ms: int = 0,
    ) -> None:
        """Adds the row and counts it in `metrics`, in this transaction. `step` is the step's name, for the metrics."""
        is_pair = event in PAIRS
        self._log_id += 1
        self._log.append((self._log_id, seq, self.now_ms, event, step_id, attempt, meta_json))
        self._log_id += is_pair
        self._counted = True
        self.count(workflow_id, event, step=step, wall_ms=wall_ms, cpu_ms=cpu_ms)

    def leave_out_log_ids(self, count: int) -> None:
        """The next row's id is higher by so many: ids that somebody was told of and that are gone stay gone."""
        self._log_id += count
        self._counted = True

    def count(self, workflow_id: str, event: LogEvent, *, step: str = "", wall_ms: int = 0, cpu_ms: int = 0) -> None:
        key = (workflow_id, self.now_ms // MINUTE_MS, int(event), step)
        counted = self._metrics.get(key)
        if counted is None:
            self._metrics[key] = [1, wall_ms, cpu_ms]
        else:
            counted[0] += 1
            counted[1] += wall_ms
            counted[2] += cpu_ms
        total_key = (workflow_id, int(event), bound_ms(wall_ms) if event in TIMED_EVENTS else 0)
        total = self._totals.get(total_key)
        if total is None:
            self._totals[total_key] = [1, wall_ms]
        else:
            total[0] += 1
            total[1] += wall_ms

    def flush(self) -> None:
        if self._steps:
            self.connection.executemany(ADD_STEP, self._steps)
            self._steps = []
        if self._finished:
            self.connection.executemany(FINISH_STEP, self._finished)
            self._finished = []
        if self._log:
            self.connection.executemany(ADD_LOG, self._log)
            self._log = []

    def close(self) -> None:
        """Writes all that is gathered; the caller commits."""
        self.flush()
        if self._metrics:
            self.connection.executemany(ADD_METRIC, [(*key, *sums) for key, sums in self._metrics.items()])
            self.connection.executemany(ADD_TOTAL, [(*key, *sums) for key, sums in self._totals.items()])
        if self._counted:
            self.connection.execute("UPDATE counters SET step_id=?, log_id=?", (self._step_id, self._log_id))
