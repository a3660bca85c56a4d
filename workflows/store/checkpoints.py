"""Moves what was committed from the log (WAL) into the database file, beside the writer and not in its way.

Left to SQLite, the commit that passes the threshold does this work itself, and every step in it waits for two more
syncs. A PASSIVE checkpoint on a connection of its own blocks nobody. What is committed beside it is left over, and the
log would grow for as long as anybody writes; so a RESTART follows at once. It holds the writer up, but has little left
to move, and then the next commit begins the log from its start: the log stays as small as a second's commits, and to
sync what overwrites a file takes half the time of what makes it longer (200 in place of 400 µs, ext4). Where readers
keep the log's end in use it gives up soon. The writer's own threshold stays, far higher, as the log's bound.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from workflows.store.connection import open_connection

EVERY_S: Final = 1.0
GIVES_UP_MS: Final = 50  # the writer waits that long too


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
        connection = open_connection(self._path, busy_timeout_ms=GIVES_UP_MS)
        seen = 0
        while not self._is_closing.wait(EVERY_S):
            count = self._commits_count()
            if count == seen:
                continue
            seen = count
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                connection.execute("PRAGMA wal_checkpoint(RESTART)")
            except sqlite3.Error:  # full or damaged: the next commit meets it too, and tells whom it concerns
                continue
        connection.close()
