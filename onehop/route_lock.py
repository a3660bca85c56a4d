"""One lock for work that moves routes: a migration's job or a key rotation, one of them at a time in a data folder.

`DATA/migration/lock` names who holds it, so that whoever comes second is told at once whom to wait for. The kernel lets
go of it when the holder's process ends, however that is.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from onehop.data_folder import DataFolder, try_lock
from onehop.errors import CommandFailed

NAME_BYTES_MAX: Final = 200
ROTATION: Final = "a key rotation"


class RoutesBusy(CommandFailed):
    """Another process moves routes in this data folder; the message names it and says what to do."""


def job_name(job: str) -> str:
    return f"job {job}"


@contextmanager
def moving_routes(folder: DataFolder) -> Iterator[Callable[[str], None]]:
    """Holds the lock; what it yields tells others the holder's name. Raises RoutesBusy."""
    folder.migration.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder.migration / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not try_lock(descriptor):
            raise RoutesBusy(busy_because_of(read_name(descriptor)))
        os.ftruncate(descriptor, 0)

        def tell(name: str) -> None:
            os.pwrite(descriptor, f"{name}\n".encode("ascii"), 0)

        yield tell
    finally:
        os.close(descriptor)


def mover_now(folder: DataFolder) -> str | None:
    """Who moves routes just now, by its name; None when nobody does."""
    try:
        descriptor = os.open(folder.migration / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return read_name(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def refuse_if_busy(folder: DataFolder) -> None:
    """Before the store is opened, for which a writer that is stopped in the middle would be waited for. Raises
    RoutesBusy."""
    name = mover_now(folder)
    if name is not None:
        raise RoutesBusy(busy_because_of(name))


def read_name(descriptor: int) -> str:
    """Empty where the holder hasn't told it yet."""
    return os.pread(descriptor, NAME_BYTES_MAX, 0).decode("ascii", "replace").strip()


def busy_because_of(name: str) -> str:
    if name == ROTATION:
        return f"{ROTATION} is under way in another process; wait until it has ended, then run this again"
    return (
        f"{name or 'a job'} is under way; 'onehop migrate status' shows how far it is; wait until it has ended, then "
        "run this again"
    )
