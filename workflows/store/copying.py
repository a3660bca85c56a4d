"""A copy of a store while it is worked on: one commit's rows, compact, without what lies in its log file."""

import sqlite3
from pathlib import Path

from workflows.store.connection import BUSY_TIMEOUT_MS, translated


def copy_store(path: Path, target: Path) -> None:
    """`target` must not exist. Workers go on meanwhile; instances that run are taken up by whoever opens the copy.
    Raises StoreError."""
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            connection.execute("VACUUM INTO ?", (str(target),))
        finally:
            connection.close()
