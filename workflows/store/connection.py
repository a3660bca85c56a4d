"""Opens the database with the pragmas that its promises rest on, and gives SQLite's errors our names.

`journal_mode=WAL` with `synchronous=FULL`: COMMIT returns once the log file that holds the transaction is synced,
so what was reported survives a power cut (SQLite, "PRAGMA synchronous": in WAL mode FULL "syncs the WAL after each
transaction commit"; NORMAL does not). What is committed under NORMAL survives the end of every process all the same,
as the kernel has it. A later sync of the log takes it along, since a log is synced whole and read in order: with
whatever is on the disk after a power cut, everything committed before it is there too. Readers never wait for the
writer, nor the writer for readers.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from workflows.errors import StoreError
from workflows.store.schema import bring_up_to_date

BUSY_TIMEOUT_MS: Final = 5_000
STATEMENTS_CACHED: Final = 256
PRIMARY_CODE: Final = 0xFF  # SQLite's extended codes keep the primary one in the low byte
CHECKPOINT_PAGES: Final = 32_000  # 128 MiB of log: from there on a commit moves it itself, if checkpoints.py has not
FULL: Final = "PRAGMA synchronous = FULL"
NORMAL: Final = "PRAGMA synchronous = NORMAL"
CACHE_KIB: Final = 32 * 1024
LOG_BYTES_KEPT: Final = 128 << 20
"""A log's file that is larger is made smaller once the log begins anew. It can grow past CHECKPOINT_PAGES, as far as
the disk goes: by one large commit, and by all that is committed while a reader holds an older view."""


def open_connection(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> sqlite3.Connection:
    """For writing and reading. Raises StoreError."""
    with translated(path):
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_CACHED
        )
        try:
            set_busy_timeout(connection, busy_timeout_ms)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(FULL)
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_KEPT}")
            bring_up_to_date(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Refuses every write. The file must exist with its tables: open it for writing first."""
    with translated(path):
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_CACHED
        )
        set_busy_timeout(connection, BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA query_only = ON")
        return connection


def set_busy_timeout(connection: sqlite3.Connection, ms: int) -> None:
    """How long a statement waits for another connection's lock. Takes effect at once."""
    connection.execute(f"PRAGMA busy_timeout = {ms}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises StoreError in place of SQLite's errors."""
    try:
        yield
    except sqlite3.Error as problem:
        raise store_error(path, problem) from problem


def store_error(path: Path, problem: sqlite3.Error) -> StoreError:
    code = getattr(problem, "sqlite_errorcode", None)
    match (code or 0) & PRIMARY_CODE:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(
                "store.busy",
                f"{path} stayed locked for {BUSY_TIMEOUT_MS // 1000} s or more; another program holds it: {problem}",
            )
        case sqlite3.SQLITE_FULL:
            return StoreError("store.full", f"no room for {path}: {problem}; free some, the work goes on by itself")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreError(
                "store.damaged",
                f"{path} is damaged: {problem}. Stop what uses it, move it and its -wal and -shm away, and put the "
                f"last backup in its place; without one, 'sqlite3 {path} .recover' saves what can be read",
            )
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return StoreError(
                "store.failed", f"can't open {path} for writing: {problem}; check its folder's owner and mode"
            )
    return StoreError("store.failed", f"{path}: {problem}")
