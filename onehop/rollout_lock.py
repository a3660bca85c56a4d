"""One rollout at a time: it holds `DATA/migration/rollout.lock`, which names it; who finds that held is told which."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from onehop.data_folder import DataFolder, try_lock
from onehop.errors import CommandFailed

LOCK_NAME: Final = "rollout.lock"
NAMED_BYTES_MAX: Final = 200


class RolloutUnderWay(CommandFailed):
    """Another process rolls out."""


@contextmanager
def only_rollout(folder: DataFolder, rollout_id: str) -> Iterator[None]:
    """Raises RolloutUnderWay. The kernel lets go of the lock when the process ends."""
    folder.migration.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder.migration / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if not try_lock(descriptor):
            holder = os.pread(descriptor, NAMED_BYTES_MAX, 0).decode("ascii", "replace").strip()
            raise RolloutUnderWay(
                f"rollout {holder or 'unknown'} is under way; wait for it, or take it back with "
                "'onehop migrate rollout --back'"
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{rollout_id} (process {os.getpid()})\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def is_rolling_out(folder: DataFolder) -> bool:
    """Whether a process holds the lock just now."""
    try:
        descriptor = os.open(folder.migration / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
