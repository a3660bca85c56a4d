"""Moves what was committed from the log (WAL) into the database file, beside the writer and not in its way.

Left to SQLite, the commit that passes the threshold does this work itself, and every step in it waits for two more
syncs. A PASSIVE checkpoint on a connection of its own blocks nobody; the writer's own threshold stays, far higher, as
the bound of the log's size.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from workflows.store.connection import open_connection

EVERY_S: Final = 1.0


class Checkpointer:
    """A thread from its making until `close`. `commits_count` tells whether there is anything new."""

    def __init__(self, path: Path, commits_count: Callable[[], int]) -> None:
        self._path = path
        self._commits_count = commits_count
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="workflows-checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closing.set()
        self._thread.join()

    def _run(self) -> None:
        connection = open_connection(self._path)
        seen = 0
        while not self._is_closing.wait(EVERY_S):
            count = self._commits_count()
            if count == seen:
                continue
            seen = count
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            except sqlite3.Error:  # full or damaged: the next commit meets it too, and tells whom it concerns
                continue
        connection.close()
