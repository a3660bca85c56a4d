"""A file that a worker keeps locked while it lives, so that its death is known at once and not when its lease runs out.

The kernel drops a dead process's lock, whatever killed it, and across containers that share the folder. A worker that
merely stalls keeps its lock: then the lease decides. So a free lock proves death, a held one proves nothing.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def lock_path(store: Path, worker_id: str) -> Path:
    return store.with_name(f"{store.name}-worker-{worker_id}")


class LifeLock:
    """Held from its making until `release`, or the process's end."""

    def __init__(self, store: Path, worker_id: str) -> None:
        self._path = lock_path(store, worker_id)
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def release(self) -> None:
        with suppress(OSError):
            self._path.unlink()
        with suppress(OSError):
            os.close(self._file)


def is_dead(store: Path, worker_id: str) -> bool:
    """Whether the worker's lock is free. Without its file nothing is known: False."""
    path = lock_path(store, worker_id)
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def forget(store: Path, worker_id: str) -> None:
    """Removes a dead worker's file."""
    with suppress(OSError):
        lock_path(store, worker_id).unlink()
