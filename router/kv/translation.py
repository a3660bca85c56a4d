"""LMDB's errors, and the system's that pass through it, as the store's own: the one place that knows both.

A class that isn't named here becomes a plain StoreError: its cause is a bug of ours or a failing machine, and what
LMDB said goes into the message.
"""

import errno
import os
from pathlib import Path
from typing import Final

import lmdb

from router.kv.errors import StoreDamaged, StoreError, StoreFull, StoreLocked, StoreRefused

FULL: Final = (lmdb.DiskError,)
OUTGROWN: Final = (lmdb.MapFullError, lmdb.MapResizedError)
DAMAGED: Final = (
    lmdb.BadChecksumError,
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.ProblemError,
    lmdb.VersionMismatchError,
)
LOCKED: Final = (lmdb.LockError, lmdb.ReadersFullError)
REFUSED: Final = (
    lmdb.CryptoFailError,
    lmdb.EnvEncryptionError,
    lmdb.IncompatibleError,
    lmdb.MemoryError,
    lmdb.ReadonlyError,
)

DAMAGED_CURE: Final = "stop onehop, see 'onehop check', and bring the last backup back with 'onehop restore'"

BY_ERRNO: Final = {errno.ENOSPC: FULL[0], errno.EDQUOT: FULL[0], errno.EROFS: REFUSED[0], errno.EACCES: REFUSED[0]}


FULL_MESSAGE: Final = "the disk of the data folder is full; free some space and try again, nothing was changed"
FREE_BYTES_OF_A_FULL_DISK: Final = 1 << 20


def translated(error: lmdb.Error) -> StoreError:
    kind = kind_of(error)
    if issubclass(kind, FULL):
        return StoreFull(FULL_MESSAGE)
    if issubclass(kind, OUTGROWN):
        return StoreFull("the store has outgrown what this process may map; start it again with 'ulimit -v unlimited'")
    if issubclass(kind, DAMAGED):
        return StoreDamaged(f"the store is damaged ({error}); {DAMAGED_CURE}")
    if issubclass(kind, LOCKED):
        return StoreLocked(f"too many processes read the store, or one holds it ({error}); end some and try again")
    if issubclass(kind, REFUSED):
        return StoreRefused(
            f"the store can't be used ({error}); it needs a disk that can be written, and 'ulimit -v unlimited'"
        )
    return StoreError(f"the store failed ({error}); nothing was changed")


def translated_write(error: lmdb.Error, folder: Path) -> StoreError:
    """The same for a transaction: where the disk's end cuts a write short, LMDB says "Input/output error"."""
    if str(error).endswith(os.strerror(errno.EIO)):
        disk = os.statvfs(folder)
        if disk.f_bavail * disk.f_frsize < FREE_BYTES_OF_A_FULL_DISK:
            return StoreFull(FULL_MESSAGE)
    return translated(error)


def kind_of(error: lmdb.Error) -> type[lmdb.Error]:
    """The binding has classes for some of the system's errors only; of the others it gives just the words."""
    if type(error) is lmdb.Error:
        for number, kind in BY_ERRNO.items():
            if str(error).endswith(os.strerror(number)):
                return kind
    return type(error)
