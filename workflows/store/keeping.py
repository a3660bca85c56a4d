"""Keeping a store: a copy of it and a look at its pages, while it is worked on."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from workflows.errors import StoreError
from workflows.store.connection import BUSY_TIMEOUT_MS, translated

PROBLEMS_MAX: Final = 20


def copy_store(path: Path, target: Path) -> None:
    """One commit's rows, compact. `target` must not exist. Workers go on meanwhile; what the instances were doing is
    taken up by whoever opens the copy. Raises StoreError."""
    with opened(path) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def problems_of(path: Path, *, is_deep: bool) -> list[str]:
    """What is wrong with the file's pages; `is_deep`: also whether every index agrees with its table."""
    check = "integrity_check" if is_deep else "quick_check"
    try:
        with opened(path) as connection:
            rows = connection.execute(f"PRAGMA {check}({PROBLEMS_MAX})").fetchall()
    except StoreError as error:
        return [error.why]
    return [text for (text,) in rows if text != "ok"]


def count_instances(path: Path) -> int:
    """Raises StoreError."""
    with opened(path) as connection:
        count: int = connection.execute("SELECT coalesce(sum(n), 0) FROM tallies").fetchone()[0]
    return count


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with translated(path):
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
            yield connection
        finally:
            connection.close()
