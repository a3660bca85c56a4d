"""The store: one LMDB environment, the only truth about routing.

Readers see a commit whole or not at all, and never wait for the writer; there is one writer at a time, across
processes. `read()` gives a snapshot, `write()` a transaction: it commits when its block ends well and leaves no trace
when it doesn't.

    schema        what lies on disk          environment    LMDB, opened           translation    its errors as ours
    snapshot      reading and writing        feed           what changed           feed_reader    following it
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from router.kv.environment import STORE_ID_KEY, Environment, open_environment
from router.kv.errors import StoreDamaged, StoreError, StoreFull, StoreRefused
from router.kv.schema import Database
from router.kv.snapshot import Snapshot, Transaction
from router.kv.translation import translated_write

__all__ = ["Snapshot", "Store", "StoreDamaged", "StoreError", "StoreFull", "StoreRefused", "Transaction", "open_store"]


class Store:
    """One process's handle on the store. Threads may share it; a forked child opens its own."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def read(self) -> Snapshot:
        """`with store.read() as snapshot`. Short: a snapshot that is held makes the file grow."""
        return Snapshot(self._environment)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """Waits for its turn. Durable when the block has ended. Raises StoreFull, StoreError."""
        txn = self._environment.begin_writing()
        try:
            transaction = Transaction(self._environment, txn)
            yield transaction
            transaction.complete()
            txn.commit()
        except lmdb.Error as error:
            txn.abort()
            raise translated_write(error, self._environment.path) from None
        except BaseException:
            txn.abort()
            raise

    def last_txn_id(self) -> int:
        """Grows with each commit of any process; a read of shared memory."""
        return self._environment.last_txn_id()

    def store_id(self) -> str:
        """Made with the store: tells a store, its replicas and its backups from any other."""
        with self.read() as snapshot:
            return (snapshot.get(Database.META, STORE_ID_KEY) or b"").decode("ascii", "replace")

    def copy(self, folder: Path) -> None:
        """A consistent copy, while others write, into a folder that is there and empty. Raises StoreError."""
        self._environment.copy(folder)

    def file_bytes(self) -> int:
        """What the store takes on disk."""
        return (self._environment.path / "data.mdb").stat().st_size

    def close(self) -> None:
        self._environment.close()


@contextmanager
def open_store(path: Path, *, create: bool = False, only_reads: bool = False) -> Iterator[Store]:
    """`only_reads`: never waits for a writer, not even to open.

    Raises StoreMissing, SchemaUnknown, StoreRefused, StoreDamaged, StoreFull."""
    store = Store(open_environment(path, create=create, only_reads=only_reads))
    try:
        yield store
    finally:
        store.close()
