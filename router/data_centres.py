"""The labels of data centres that an edge of this store was ever started with, so that a policy names no other."""

from typing import Final

from router.kv.schema import Database
from router.kv.snapshot import Snapshot
from router.kv.store import Store

PREFIX: Final = b"dc:"


def note_data_centre(store: Store, dc: str) -> None:
    """Writes only what is new: a start costs no commit."""
    with store.read() as snapshot:
        if dc in data_centres(snapshot):
            return
    with store.write() as transaction:
        transaction.put(Database.META, PREFIX + dc.encode("ascii"), b"")


def data_centres(snapshot: Snapshot) -> list[str]:
    return [key.removeprefix(PREFIX).decode("ascii") for key, _ in snapshot.scan(Database.META, prefix=PREFIX)]
