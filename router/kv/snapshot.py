"""Views of the store: a snapshot that reads, and the transaction that writes.

A snapshot's read transaction comes from the binding's pool, is renewed when the block begins and reset when it ends, so
that no page is held for longer than a request. A transaction is a snapshot of what it will commit on; what it changes
of routes, sites and policy goes into the feed with it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

import lmdb

from router.kv.environment import Environment
from router.kv.feed import ENTRIES_MAX, ROUTES_NAMED_MAX, SITES_NAMED_MAX, Change
from router.kv.schema import FEED_SEQ, SITE_NO, Database
from router.kv.translation import translated, translated_write

PUT_CHUNK_ROWS: Final = 10_000


class Snapshot:
    """A read-consistent view: every call within the block sees the same commit. One thread's at a time."""

    __slots__ = ("_databases", "_environment", "_txn")

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._databases = environment.databases
        self._txn: Any = None

    def __enter__(self) -> Self:
        """Raises StoreError."""
        self._txn = self._environment.begin_reading()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._txn.abort()  # the binding resets it and keeps it for the next `begin` to renew

    def get(self, database: Database, key: bytes) -> bytes | None:
        """A copy of the value, which outlives the snapshot."""
        value = self.view(database, key)
        return None if value is None else bytes(value)

    def view(self, database: Database, key: bytes) -> memoryview | None:
        """The value in place: valid only until the block ends, since LMDB then writes its pages anew."""
        try:
            value: memoryview | None = self._txn.get(key, db=self._databases[database])
        except lmdb.BadValsizeError:
            return None  # nothing can lie under a key that is empty or longer than LMDB's 511 bytes
        except lmdb.Error as error:
            raise translated(error) from None
        return value

    def scan(
        self, database: Database, *, prefix: bytes = b"", after: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Copies of (key, value) whose key begins with `prefix`, in key order; past `after` in that direction.

        Within a transaction, gather before you write: rows that change under the scan may be passed over.
        """
        try:
            with self._txn.cursor(self._databases[database]) as cursor:
                if reverse:
                    yield from scan_backwards(cursor, prefix, after)
                else:
                    yield from scan_forwards(cursor, prefix, after)
        except lmdb.Error as error:
            raise translated(error) from None

    def sizes(self, database: Database, *, after: bytes | None = None) -> Iterator[tuple[bytes, int]]:
        """(key, bytes of its value) in key order, past `after`; no value is copied."""
        try:
            with self._txn.cursor(self._databases[database]) as cursor:
                found = cursor.first() if after is None else cursor.set_range(after)
                if found and after is not None and bytes(cursor.key()) == after:
                    found = cursor.next()
                if found:
                    for key, value in cursor.iternext():
                        yield bytes(key), len(value)
        except lmdb.Error as error:
            raise translated(error) from None

    def txn_id(self) -> int:
        """The commit that this sees. `Store.last_txn_id` may be ahead of it while a commit is being synced."""
        return int(self._txn.id())

    def count(self, database: Database) -> int:
        try:
            return int(self._txn.stat(self._databases[database])["entries"])
        except lmdb.Error as error:
            raise translated(error) from None


def scan_forwards(cursor: Any, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    found = cursor.set_range(prefix if after is None else max(prefix, after))
    if found and after is not None and bytes(cursor.key()) == after:
        found = cursor.next()
    if not found:
        return
    for key_view, value in cursor.iternext():
        key = bytes(key_view)
        if not key.startswith(prefix):
            return
        yield key, bytes(value)


def scan_backwards(cursor: Any, prefix: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    limits = [limit for limit in (after, next_prefix(prefix)) if limit is not None]
    found = cursor.prev() if limits and cursor.set_range(min(limits)) else cursor.last()
    if not found:
        return
    for key_view, value in cursor.iterprev():
        key = bytes(key_view)
        if not key.startswith(prefix):
            return
        yield key, bytes(value)


def next_prefix(prefix: bytes) -> bytes | None:
    """The first key after all those that begin with `prefix`; None when there can't be one."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else None


class Transaction(Snapshot):
    """A write transaction, begun and ended by `Store.write`. It *is* a snapshot: what decides reads what it changes."""

    __slots__ = ("_keys_rotated", "_last_actions", "_policy", "_route_keys", "_site_nos")

    def __init__(self, environment: Environment, txn: Any) -> None:
        super().__init__(environment)
        self._txn = txn
        self._route_keys: set[bytes] = set()
        self._site_nos: set[int] = set()
        self._policy = False
        self._keys_rotated = False
        self._last_actions: list[Callable[[], None]] = []

    def put(self, database: Database, key: bytes, value: bytes) -> None:
        """Raises StoreFull, StoreError."""
        try:
            self._txn.put(key, value, db=self._databases[database])
        except lmdb.Error as error:
            raise translated_write(error, self._environment.path) from None
        self._note(database, key)

    def put_many(self, database: Database, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Replaces what is there. Several times faster where `items` are in key order. Raises StoreFull, StoreError."""
        try:
            with self._txn.cursor(self._databases[database]) as cursor:
                for chunk in chunks_of(items, PUT_CHUNK_ROWS):
                    cursor.putmulti(chunk)
                    for key, _ in chunk:
                        self._note(database, key)
        except lmdb.Error as error:
            raise translated_write(error, self._environment.path) from None

    def delete(self, database: Database, key: bytes) -> bool:
        """Whether there was something to delete."""
        try:
            deleted = bool(self._txn.delete(key, db=self._databases[database]))
        except lmdb.BadValsizeError:
            return False
        except lmdb.Error as error:
            raise translated_write(error, self._environment.path) from None
        if deleted:
            self._note(database, key)
        return deleted

    def move_route(self, old_key: bytes, new_key: bytes) -> bool:
        """Gives a route its key under another live hash key; a row that lies there already is newer, and stays.

        The feed doesn't hear of it: for whoever looks under both keys, no decision has changed.
        """
        routes = self._databases[Database.ROUTES]
        try:
            value = self._txn.get(old_key, db=routes)
            if value is None:
                return False
            self._txn.put(new_key, bytes(value), db=routes, overwrite=False)
            self._txn.delete(old_key, db=routes)
        except lmdb.Error as error:
            raise translated_write(error, self._environment.path) from None
        return True

    def add_routes(self, items: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Puts routes where there is none, in key order; (key, value) of those that were there, and stay.

        The feed doesn't hear of it: only for routes that say what the host's decision is without them. Raises
        StoreFull, StoreError.
        """
        try:
            with self._txn.cursor(self._databases[Database.ROUTES]) as cursor:
                there = [(bytes(key), bytes(value)) for key, value in cursor.getmulti([key for key, _ in items])]
                known = {key for key, _ in there}
                cursor.putmulti([item for item in items if item[0] not in known] if known else items, overwrite=False)
        except lmdb.Error as error:
            raise translated_write(error, self._environment.path) from None
        return there

    def note_keys_rotated(self) -> None:
        """Tells every reader that other keys are live now."""
        self._keys_rotated = True

    def _note(self, database: Database, key: bytes) -> None:
        """One more than an entry may name is enough to know that it has to say "everything"."""
        if database is Database.ROUTES:
            if len(self._route_keys) <= ROUTES_NAMED_MAX:
                self._route_keys.add(key)
        elif database in (Database.SITES, Database.LEGACY_TABLES):
            if len(self._site_nos) <= SITES_NAMED_MAX:
                self._site_nos.add(SITE_NO.unpack(key)[0])
        elif database is Database.POLICY:
            self._policy = True

    def before_commit(self, action: Callable[[], None]) -> None:
        """Runs `action` when the transaction's block has ended well: for what gathers changes and writes them once."""
        self._last_actions.append(action)

    def complete(self) -> None:
        """Called once, by the store, before it commits."""
        for action in self._last_actions:
            action()
        self._append_feed()

    def _append_feed(self) -> None:
        change = Change(
            frozenset(self._route_keys), frozenset(self._site_nos), policy=self._policy, keys_rotated=self._keys_rotated
        )
        if not change:
            return
        with self._txn.cursor(self._databases[Database.FEED]) as cursor:
            last = FEED_SEQ.unpack(cursor.key())[0] if cursor.last() else 0
            if cursor.first() and last - FEED_SEQ.unpack(cursor.key())[0] + 1 >= ENTRIES_MAX:
                cursor.delete()
        self._txn.put(FEED_SEQ.pack(last + 1), change.encode(), db=self._databases[Database.FEED], append=True)


def chunks_of(items: Iterable[tuple[bytes, bytes]], rows_count: int) -> Iterator[list[tuple[bytes, bytes]]]:
    chunk: list[tuple[bytes, bytes]] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == rows_count:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
