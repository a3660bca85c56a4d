"""What the store says of itself when somebody asks."""

from collections.abc import Mapping
from dataclasses import dataclass

from router.kv.feed_reader import last_seq
from router.kv.schema import Database
from router.kv.store import Store


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """Of one commit. `rows` by database; `feed_seq` is the change feed's last entry."""

    rows: Mapping[str, int]
    feed_seq: int
    file_bytes: int


def read_store_info(store: Store) -> StoreInfo:
    """Raises StoreError."""
    with store.read() as snapshot:
        return StoreInfo(
            rows={database.value: snapshot.count(database) for database in Database},
            feed_seq=last_seq(snapshot),
            file_bytes=store.file_bytes(),
        )
