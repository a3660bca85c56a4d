"""Moves what was committed from the log (WAL) into the database file, beside the writer and not in its way.

Left to SQLite, the commit that passes the threshold does this work itself, and every step in it waits for two more
syncs. A PASSIVE checkpoint on a connection of its own blocks nobody. What is committed beside it is left over, and the
log would grow for as long as anybody writes. So the writer is told each time, and moves the rest between two of its own
transactions (`restart_log`): little is left by then, and its next commit begins the log from its start. The log stays
as small as a second's commits, and to sync what overwrites a file takes half the time of what makes it longer (200 in
place of 400 µs, ext4). A second connection would wait for the writer's lock in vain where it hardly lets go of it.

A reader that stays (a backup) keeps the log's end in use: then nothing is asked of the writer. Its own threshold stays,
far higher, for when this one doesn't keep up.
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from workflows.store.connection import open_connection, set_busy_timeout

EVERY_S: Final = 1.0
LEFT_PAGES_MAX: Final = 2_000  # 8 MiB, some ms: more than is committed beside a checkpoint, so a reader holds it up
GIVES_UP_MS: Final = 20  # how long the writer may wait for a reader that came just then


class Checkpointer:
    """A thread from its making until `close`. `commits_count` tells whether there is anything new; `on_moved` is called
    in the thread when the log can soon begin anew."""

    def __init__(self, path: Path, commits_count: Callable[[], int], on_moved: Callable[[], None]) -> None:
        self._path = path
        self._commits_count = commits_count
        self._on_moved = on_moved
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
                _, pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.Error:  # full or damaged: the next commit meets it too, and tells whom it concerns
                continue
            if pages - moved <= LEFT_PAGES_MAX:
                self._on_moved()
        connection.close()


def restart_log(connection: sqlite3.Connection) -> None:
    """Moves what is left, so that the next commit, by whomever, begins the log from its start. Outside transactions,
    on a connection that else waits for nobody."""
    try:
        set_busy_timeout(connection, GIVES_UP_MS)
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    except sqlite3.Error:
        return  # as above
    finally:
        set_busy_timeout(connection, 0)
