"""The store: one LMDB environment. Readers see a commit whole or not at all and never wait for the writer.

`read()` gives a snapshot whose read transaction the binding takes from its pool, renews, and resets when the block
ends, so that no page is held longer than a request. `write()` commits on leaving the block and aborts on an exception;
what it changed of routes goes into the feed in the same transaction.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import lmdb

from router.kv.errors import StoreDamaged, StoreError, StoreFull, StoreRefused
from router.kv.feed import ENTRIES_MAX, Change
from router.kv.schema import FEED_SEQ, SCHEMA_VERSION, Database

__all__ = ["Snapshot", "Store", "StoreDamaged", "StoreError", "StoreFull", "StoreRefused", "Transaction", "open_store"]

MAP_BYTES: Final = 1 << 40  # a reservation of addresses, not of memory or disk: the disk is the only limit
MAP_BYTES_MIN: Final = 1 << 32
READERS_MAX: Final = 2_048
SPARE_READS: Final = 16
SCHEMA_KEY: Final = b"schema_version"
STORE_ID_KEY: Final = b"store_id"


def translated(error: lmdb.Error) -> StoreError:
    """The one place where LMDB's errors become the store's."""
    if isinstance(error, lmdb.MapFullError | lmdb.DiskError) or "No space left" in str(error):
        return StoreFull("the disk of the data folder is full; free some space and try again, nothing was changed")
    if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.InvalidError | lmdb.VersionMismatchError):
        return StoreDamaged(f"the store is damaged ({error}); see 'onehop check', then restore a backup")
    return StoreError(f"the store failed: {error}")


class Snapshot:
    """A read-consistent view. Every call within the block sees the same commit."""

    __slots__ = ("_databases", "_txn")

    def __init__(self, txn: Any, databases: dict[Database, Any]) -> None:
        self._txn = txn
        self._databases = databases

    def get(self, database: Database, key: bytes) -> bytes | None:
        """A copy of the value, which outlives the snapshot."""
        value = self.view(database, key)
        return None if value is None else bytes(value)

    def view(self, database: Database, key: bytes) -> memoryview | None:
        """The value in place: valid only until the block ends."""
        try:
            value: memoryview | None = self._txn.get(key, db=self._databases[database])
        except lmdb.Error as error:
            raise translated(error) from None
        return value

    def scan(
        self, database: Database, *, prefix: bytes = b"", after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Copies of (key, value) whose key begins with `prefix`, in key order; past `after` (in that direction)."""
        try:
            with self._txn.cursor(self._databases[database]) as cursor:
                if reverse:
                    yield from self._scan_back(cursor, prefix, after)
                    return
                found = cursor.set_range(prefix if after is None else max(prefix, after))
                if found and after is not None and bytes(cursor.key()) == after:
                    found = cursor.next()
                while found and (key := bytes(cursor.key())).startswith(prefix):
                    yield key, bytes(cursor.value())
                    found = cursor.next()
        except lmdb.Error as error:
            raise translated(error) from None

    def _scan_back(self, cursor: Any, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        limit = after if after is not None else next_prefix(prefix)
        found = cursor.last() if limit is None or not cursor.set_range(limit) else cursor.prev()
        while found and (key := bytes(cursor.key())).startswith(prefix):
            yield key, bytes(cursor.value())
            found = cursor.prev()

    def count(self, database: Database) -> int:
        return int(self._txn.stat(self._databases[database])["entries"])


def next_prefix(prefix: bytes) -> bytes | None:
    """The first key after all those that begin with `prefix`; None when there can't be one."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


class Transaction(Snapshot):
    """A write transaction: what it reads is what it will commit on."""

    __slots__ = ("_keys_rotated", "_policy", "_route_keys")

    def __init__(self, txn: Any, databases: dict[Database, Any]) -> None:
        super().__init__(txn, databases)
        self._route_keys: list[bytes] = []
        self._policy = False
        self._keys_rotated = False

    def put(self, database: Database, key: bytes, value: bytes) -> None:
        try:
            self._txn.put(key, value, db=self._databases[database])
        except lmdb.Error as error:
            raise translated(error) from None
        self._note(database, key)

    def put_many(self, database: Database, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Fastest when `items` are in key order."""
        pairs = list(items)
        try:
            with self._txn.cursor(self._databases[database]) as cursor:
                cursor.putmulti(pairs)
        except lmdb.Error as error:
            raise translated(error) from None
        if database is Database.ROUTES:
            self._route_keys.extend(key for key, _ in pairs)

    def delete(self, database: Database, key: bytes) -> bool:
        """Whether there was something to delete."""
        try:
            deleted = bool(self._txn.delete(key, db=self._databases[database]))
        except lmdb.Error as error:
            raise translated(error) from None
        if deleted:
            self._note(database, key)
        return deleted

    def note_keys_rotated(self) -> None:
        """Tells every reader to load the key ring again."""
        self._keys_rotated = True

    def _note(self, database: Database, key: bytes) -> None:
        if database is Database.ROUTES:
            self._route_keys.append(key)
        elif database is Database.POLICY:
            self._policy = True

    def append_feed(self) -> None:
        change = Change.of_routes(self._route_keys, policy=self._policy, keys_rotated=self._keys_rotated)
        if not change:
            return
        with self._txn.cursor(self._databases[Database.FEED]) as cursor:
            last = FEED_SEQ.unpack(cursor.key())[0] if cursor.last() else 0
            if cursor.first() and last - FEED_SEQ.unpack(cursor.key())[0] >= ENTRIES_MAX:
                cursor.delete()
        self._txn.put(FEED_SEQ.pack(last + 1), change.encode(), db=self._databases[Database.FEED])


class PooledRead:
    """`with store.read() as snapshot`: a class, not a generator, since each request passes here."""

    __slots__ = ("_snapshot", "_store")

    def __init__(self, store: "Store") -> None:
        self._store = store

    def __enter__(self) -> Snapshot:
        self._snapshot = self._store.take_snapshot()
        return self._snapshot

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._snapshot._txn.abort()  # the binding resets it and keeps it for the next `begin` to renew


class Store:
    """One process's handle on the environment."""

    def __init__(self, env: Any, databases: dict[Database, Any]) -> None:
        self._env = env
        self._databases = databases
        self._pid = os.getpid()

    def read(self) -> PooledRead:
        return PooledRead(self)

    def take_snapshot(self) -> Snapshot:
        assert os.getpid() == self._pid, "an open store doesn't survive a fork"
        try:
            return Snapshot(self._env.begin(buffers=True), self._databases)
        except lmdb.Error as error:
            raise translated(error) from None

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One writer at a time, across processes; waits for its turn."""
        try:
            txn = self._env.begin(write=True, buffers=True)
        except lmdb.Error as error:
            raise translated(error) from None
        transaction = Transaction(txn, self._databases)
        try:
            yield transaction
            transaction.append_feed()
        except lmdb.Error as error:
            txn.abort()
            raise translated(error) from None
        except BaseException:
            txn.abort()
            raise
        try:
            txn.commit()
        except lmdb.Error as error:
            raise translated(error) from None

    def last_txn_id(self) -> int:
        """Grows with each commit of any process; a read of shared memory."""
        return int(self._env.info()["last_txnid"])

    def close(self) -> None:
        self._env.close()


@contextmanager
def open_store(path: Path, *, create: bool = False) -> Iterator[Store]:
    """Raises StoreRefused, StoreDamaged."""
    store = open_environment(path, create=create)
    try:
        yield store
    finally:
        store.close()


def open_environment(path: Path, *, create: bool) -> Store:
    if not create and not (path / "data.mdb").exists():
        raise StoreRefused(f"there is no store in {path}; 'onehop serve' makes one, or name another with --data")
    map_bytes = MAP_BYTES
    while True:
        try:
            env = lmdb.open(
                str(path),
                map_size=map_bytes,
                max_dbs=len(Database),
                max_readers=READERS_MAX,
                mode=0o600,
                create=create,
                max_spare_txns=SPARE_READS,
            )
            break
        except lmdb.MemoryError:
            if map_bytes <= MAP_BYTES_MIN:
                raise StoreRefused("not enough address space for the store; raise 'ulimit -v'") from None
            map_bytes //= 2
        except lmdb.Error as error:
            raise translated(error) from None
    try:
        env.reader_check()
        databases = {database: env.open_db(database.encode(), create=create) for database in Database}
        store = Store(env, databases)
        check_schema(store, create=create)
    except lmdb.Error as error:
        env.close()
        raise translated(error) from None
    except StoreError:
        env.close()
        raise
    return store


def check_schema(store: Store, *, create: bool) -> None:
    with store.read() as snapshot:
        version = snapshot.get(Database.META, SCHEMA_KEY)
    if version is None and create:
        with store.write() as transaction:
            transaction.put(Database.META, SCHEMA_KEY, str(SCHEMA_VERSION).encode())
            transaction.put(Database.META, STORE_ID_KEY, os.urandom(16).hex().encode())
    elif version != str(SCHEMA_VERSION).encode():
        raise StoreRefused(
            f"the store has schema {version.decode('ascii', 'replace') if version else 'none'}, this release reads "
            f"{SCHEMA_VERSION}; use the release that wrote it"
        )
