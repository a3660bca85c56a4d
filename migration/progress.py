"""How far a migration is, kept in META and written in the very transactions that do its work: so that no kill, at
whatever moment, makes the figures differ from what was done.

At each commit `migrated + failed + skipped` are the filters done, of `total` that were found so far.
"""

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from router.kv.schema import Database
from router.kv.snapshot import Snapshot, Transaction

PROGRESS_KEY: Final = b"migration"
CONTROL_KEY: Final = b"migration_control"
PHASES: Final = 2
"""Each deployment is collected and written: either costs half of its share of the pace."""


class State(StrEnum):
    """What a job is doing; the last three are ends."""

    COLLECTING = "collecting"
    WRITING = "writing"
    REVISITING = "revisiting"
    COMPLETE = "complete"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        return self in (State.COMPLETE, State.STOPPED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Progress:
    """`feed_seq` is where the feed stood when the job began: a site that the feed names since then has changed.
    `key_id` is the hash key that the routes are made with; `guard` says in words how visitors fare. Of `table_bytes`
    of tables so many are read. Times are Unix seconds.
    """

    job: str
    state: State
    key_id: str
    feed_seq: int
    started_s: float
    ended_s: float | None = None
    total: int = 0
    collected: int = 0
    table_bytes: int = 0
    table_bytes_read: int = 0
    migrated: int = 0
    failed: int = 0
    skipped: int = 0
    failures_listed: int = 0
    chunks_done: tuple[int, ...] = ()
    parts: int = 1
    part: int = 0
    row: int = 0
    guard: str = ""
    reason: str = ""
    skipped_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return self.migrated + self.failed + self.skipped

    def with_counts(
        self, *, migrated: int = 0, failed: int = 0, skipped: dict[str, int] | None = None, total: int = 0
    ) -> "Progress":
        """More of each."""
        by_reason = dict(self.skipped_by_reason)
        for reason, count in (skipped or {}).items():
            by_reason[reason] = by_reason.get(reason, 0) + count
        return replace(
            self,
            migrated=self.migrated + migrated,
            failed=self.failed + failed,
            skipped=sum(by_reason.values()),
            skipped_by_reason=by_reason,
            total=self.total + total,
        )


@dataclass(frozen=True, slots=True)
class Control:
    """What an operator has asked for, while a job runs or before the next: None is without a bound."""

    deployments_per_s: float | None = None
    bytes_per_s: float | None = None
    is_paused: bool = False
    pause_reason: str = ""


def read_progress(snapshot: Snapshot) -> Progress | None:
    """Of the job that runs, or of the last one."""
    value = snapshot.get(Database.META, PROGRESS_KEY)
    if value is None:
        return None
    members: dict[str, Any] = orjson.loads(value)
    return Progress(**{**members, "state": State(members["state"]), "chunks_done": tuple(members["chunks_done"])})


def put_progress(transaction: Transaction, progress: Progress) -> None:
    transaction.put(Database.META, PROGRESS_KEY, orjson.dumps(asdict(progress)))


def read_control(snapshot: Snapshot) -> Control:
    value = snapshot.get(Database.META, CONTROL_KEY)
    return Control(**orjson.loads(value)) if value is not None else Control()


def put_control(transaction: Transaction, control: Control) -> None:
    transaction.put(Database.META, CONTROL_KEY, orjson.dumps(asdict(control)))
