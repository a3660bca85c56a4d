"""The tables, their version, and how an older file becomes this version.

One file holds everything, so that several processes can list and claim. It departs from one table an idea where
that saves writes, and a step's writes are what a workflow costs:

- `steps.due` is the step's one pending timer (a sleep's end, a wait's deadline, the next attempt); there is no table
  of timers. `instances.wake_at` is the least of them while the instance hibernates.
- The open or succeeded attempt is told by its step's row (`attempts`, `attempt_started_on`); the table `attempts`
  has a row for each attempt that failed.
- A log row may stand for two events that were committed together (see log_feed.py); it then takes two ids.
- Steps and log rows get ids in order of writing (`counters`), so that what one commit writes lies together, however
  many instances it is for. A clustered key by instance would touch a page for each.
- A lease is a row in `workers`, not a time on each instance: one update a heartbeat, one look a commit.

- `tallies` holds how many instances of a workflow are in a state, kept by triggers: to count them costs the same with
  a million that have ended. `totals` holds how often each event ever came, and for the ends of steps by how long they
  took: the row's `le_ms` is the least bound that holds it (bounds.py), 0 for events that are not told by time.
- `streams` has a row for each attempt whose result is a stream, `chunks` its bytes. One that is given up has no
  instance any more; its chunks are removed a few at a time (chunks.py).

No foreign keys: what belongs to an instance is deleted with it, table by table, in the same transaction.
All times are epoch ms.
"""

import sqlite3
from typing import Final

from workflows.errors import StoreError
from workflows.states import LogEvent
from workflows.store.bounds import TIMED_EVENTS, UNBOUNDED_MS

VERSION: Final = 3
APPLICATION_ID: Final = 0x6F68_7766  # "ohwf"

TIMED: Final = ", ".join(str(int(event)) for event in TIMED_EVENTS)

V1: Final = """
CREATE TABLE workflows(
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, script_name TEXT NOT NULL, class_name TEXT NOT NULL,
  limits_json TEXT, schedules_json TEXT, success_ret_ms INTEGER, error_ret_ms INTEGER, max_running INTEGER,
  created_on INTEGER NOT NULL, modified_on INTEGER NOT NULL, triggered_on INTEGER);
CREATE TABLE versions(
  id TEXT PRIMARY KEY, workflow_id TEXT NOT NULL, class_name TEXT NOT NULL, code_hash TEXT NOT NULL,
  created_on INTEGER NOT NULL, modified_on INTEGER NOT NULL, UNIQUE(workflow_id, code_hash));
CREATE TABLE instances(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, workflow_id TEXT NOT NULL, id TEXT NOT NULL, version_id TEXT NOT NULL,
  status INTEGER NOT NULL, trigger_source INTEGER NOT NULL, params BLOB NOT NULL, output BLOB, error_json TEXT,
  created_on INTEGER NOT NULL, modified_on INTEGER NOT NULL, queued_on INTEGER NOT NULL, started_on INTEGER,
  ended_on INTEGER, paused_on INTEGER, wake_at INTEGER, woken INTEGER NOT NULL DEFAULT 0,
  priority INTEGER NOT NULL DEFAULT 0, pending_cmd TEXT, rollback_json TEXT, success_ret_ms INTEGER,
  error_ret_ms INTEGER, expires_on INTEGER, lease_owner TEXT, epoch INTEGER NOT NULL DEFAULT 0,
  recoveries INTEGER NOT NULL DEFAULT 0, state_bytes INTEGER NOT NULL DEFAULT 0, UNIQUE(workflow_id, id));
CREATE INDEX instances_ready ON instances(workflow_id, woken DESC, priority DESC, seq) WHERE status = 0;
CREATE INDEX instances_wake ON instances(wake_at) WHERE status = 7;
CREATE INDEX instances_running ON instances(workflow_id) WHERE status IN (1, 6);
CREATE INDEX instances_leased ON instances(lease_owner) WHERE lease_owner IS NOT NULL;
CREATE INDEX instances_commanded ON instances(lease_owner, seq) WHERE pending_cmd IS NOT NULL;
CREATE INDEX instances_expiring ON instances(expires_on) WHERE expires_on IS NOT NULL;
CREATE INDEX instances_listed ON instances(workflow_id, created_on, seq);
CREATE INDEX instances_by_status ON instances(workflow_id, status, created_on, seq);
CREATE TABLE steps(
  id INTEGER PRIMARY KEY, instance_seq INTEGER NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  count INTEGER NOT NULL, ord INTEGER NOT NULL, state TEXT NOT NULL, config_json TEXT,
  has_rollback INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, attempt_started_on INTEGER,
  result BLOB, error_json TEXT, event_type TEXT, due INTEGER, started_on INTEGER NOT NULL, ended_on INTEGER,
  cpu_ms INTEGER);
CREATE INDEX steps_of ON steps(instance_seq, ord);
CREATE INDEX steps_due ON steps(instance_seq, due) WHERE due IS NOT NULL;
CREATE INDEX steps_waiting ON steps(instance_seq, event_type) WHERE kind = 'waitForEvent' AND state = 'pending';
CREATE TABLE attempts(
  step_id INTEGER NOT NULL, n INTEGER NOT NULL, instance_seq INTEGER NOT NULL, started_on INTEGER NOT NULL,
  ended_on INTEGER NOT NULL, error_json TEXT NOT NULL, retry_delay_ms INTEGER, PRIMARY KEY(step_id, n)) WITHOUT ROWID;
CREATE INDEX attempts_of ON attempts(instance_seq);
CREATE TABLE events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, instance_seq INTEGER NOT NULL, type TEXT NOT NULL, payload BLOB NOT NULL,
  received_on INTEGER NOT NULL);
CREATE INDEX events_of ON events(instance_seq, id);
CREATE TABLE log(
  id INTEGER PRIMARY KEY, instance_seq INTEGER NOT NULL, ts INTEGER NOT NULL, event INTEGER NOT NULL, step_id INTEGER,
  attempt INTEGER, meta_json TEXT);
CREATE INDEX log_of ON log(instance_seq);
CREATE TABLE counters(only INTEGER PRIMARY KEY CHECK(only = 1), step_id INTEGER NOT NULL, log_id INTEGER NOT NULL);
INSERT INTO counters VALUES(1, 0, 0);
CREATE TABLE workers(
  id TEXT PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, started INTEGER NOT NULL, heartbeat INTEGER NOT NULL,
  lease_until INTEGER NOT NULL);
CREATE TABLE fired(workflow_id TEXT NOT NULL, cron TEXT NOT NULL, fired_on INTEGER NOT NULL,
  PRIMARY KEY(workflow_id, cron)) WITHOUT ROWID;
CREATE TABLE metrics(
  workflow_id TEXT NOT NULL, minute INTEGER NOT NULL, event INTEGER NOT NULL, step TEXT NOT NULL, n INTEGER NOT NULL,
  wall_ms INTEGER NOT NULL, cpu_ms INTEGER NOT NULL, PRIMARY KEY(minute, workflow_id, event, step)) WITHOUT ROWID;
"""
V2: Final = f"""
CREATE TABLE tallies(
  workflow_id TEXT NOT NULL, status INTEGER NOT NULL, n INTEGER NOT NULL, state_bytes INTEGER NOT NULL,
  PRIMARY KEY(workflow_id, status)) WITHOUT ROWID;
INSERT INTO tallies SELECT workflow_id, status, count(*), sum(state_bytes) FROM instances GROUP BY 1, 2;
CREATE TRIGGER instance_made AFTER INSERT ON instances BEGIN
  INSERT INTO tallies VALUES(new.workflow_id, new.status, 1, new.state_bytes)
    ON CONFLICT DO UPDATE SET n = n + 1, state_bytes = state_bytes + excluded.state_bytes; END;
CREATE TRIGGER instance_moved AFTER UPDATE OF status, state_bytes ON instances BEGIN
  UPDATE tallies SET n = n - 1, state_bytes = state_bytes - old.state_bytes
    WHERE workflow_id = old.workflow_id AND status = old.status; INSERT INTO tallies
    VALUES(new.workflow_id, new.status, 1, new.state_bytes)
    ON CONFLICT DO UPDATE SET n = n + 1, state_bytes = state_bytes + excluded.state_bytes; END;
CREATE TRIGGER instance_gone AFTER DELETE ON instances BEGIN
  UPDATE tallies SET n = n - 1, state_bytes = state_bytes - old.state_bytes
    WHERE workflow_id = old.workflow_id AND status = old.status; END;
CREATE TABLE totals(
  workflow_id TEXT NOT NULL, event INTEGER NOT NULL, le_ms INTEGER NOT NULL, n INTEGER NOT NULL,
  wall_ms INTEGER NOT NULL, PRIMARY KEY(workflow_id, event, le_ms)) WITHOUT ROWID;
INSERT INTO totals SELECT workflow_id, event, CASE WHEN event IN ({TIMED}) THEN {UNBOUNDED_MS} ELSE 0 END, sum(n),
  sum(wall_ms) FROM metrics GROUP BY 1, 2;
INSERT INTO totals SELECT workflow_id, {int(LogEvent.RECOVERED)}, 0, sum(recoveries), 0 FROM instances GROUP BY 1
  HAVING sum(recoveries) > 0;
"""
V3: Final = """
CREATE TABLE streams(id INTEGER PRIMARY KEY AUTOINCREMENT, instance_seq INTEGER, step_id INTEGER NOT NULL);
CREATE INDEX streams_of ON streams(instance_seq, step_id);
CREATE TABLE chunks(stream_id INTEGER NOT NULL, idx INTEGER NOT NULL, chunk BLOB NOT NULL,
  PRIMARY KEY(stream_id, idx));
"""
MIGRATIONS: Final[tuple[str, ...]] = (V1, V2, V3)  # MIGRATIONS[n] takes a file from version n to n + 1; append only
assert len(MIGRATIONS) == VERSION


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Within one transaction, so that two processes that start at once make the tables once."""
    if _version(connection) == VERSION:
        return
    connection.execute("BEGIN EXCLUSIVE")
    try:
        version = _version(connection)
        if version > VERSION:
            raise StoreError(
                "store.newer", f"this database has version {version}, this program knows {VERSION}; update it"
            )
        for migration in MIGRATIONS[version:]:
            for statement in migration.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
