"""One SQLite file that processes and threads share; opened at its first use, so that no start ever fails of it."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

BUSY_MS: Final = 5_000
PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
Row = tuple[Any, ...]


class SqliteFile:
    """Raises sqlite3.Error at each call, and OSError at the first. Calls block; any thread may call."""

    def __init__(self, path: Path, schema: str, *, synchronous: Literal["NORMAL", "OFF"]) -> None:
        self._path = path
        self._schema = schema
        self._synchronous = synchronous
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def run(self, statement: str, values: tuple[object, ...] = ()) -> list[Row]:
        with self._lock:
            return self._opened().execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """All of what the block does, or nothing."""
        with self._lock:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            try:
                self._path.chmod(PRIVATE_FILE)
                connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(f"PRAGMA synchronous = {self._synchronous}")
                connection.executescript(self._schema)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


class Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: tuple[object, ...] = ()) -> None:
        self._connection.execute(statement, values)

    def run_many(self, statement: str, values: Iterable[tuple[object, ...]]) -> None:
        self._connection.executemany(statement, values)
