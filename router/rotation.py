"""Replaces the key that hostnames are hashed with, while every host is served and people deploy.

    begin     one transaction: the new key is current, the old one previous; its file has both before the commit
    rehash    many small ones: each route's row moves from the old key's hash to the new one's
    finish    once no row is left behind: one transaction, and only the new key is live; then the file drops the old

Each of them may be cut short at any point and simply run again. Writers meanwhile write under the new key and take
the old row away, so a row that lies under the new key already is newer than the one to be moved. Readers look under
both. What is never known here is which row a stranger's hash belongs to: a row that no record calls for can't be moved,
and `finish` refuses to leave more of them behind than it was told to.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from router.hashed import live_ring
from router.hashing import HashKey, KeyRing
from router.host_walk import BEGINNING, HostWalk, Place
from router.key_files import KeysRefused, put_live_keys, read_key_ring, tidy_key_file, write_key_ring
from router.kv.schema import Database
from router.kv.snapshot import Snapshot
from router.kv.store import Store
from router.site_names import SiteNames

__all__ = ["Progress", "RotationBlocked", "rotate_keys"]

PLACE_KEY: Final = b"rotation_place"
BATCH_ROWS: Final = 1_000  # some ten milliseconds in which a deploy waits for the write lock


class RotationBlocked(Exception):
    """Dropping the old key now would lose routes. Both keys stay live; nothing is lost."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`rows_count` records done of about `rows_total`, in this run; `moved_count` routes have a new key by it."""

    rows_count: int
    rows_total: int
    moved_count: int


@dataclass(frozen=True, slots=True)
class Rotated:
    """`is_resumed`: an earlier rotation was brought to its end, and its key is the current one, not the one given."""

    key_id: str
    moved_count: int
    is_resumed: bool


def rotate_keys(
    store: Store,
    path: Path,
    names: SiteNames,
    *,
    new_key: HashKey,
    on_progress: Callable[[Progress], None] = lambda _: None,
    orphans_max: int = 0,
) -> Rotated:
    """The whole of it, or the rest of one that was cut short. `on_progress` runs between transactions and sets the
    pace: whatever time it takes, the store is free. Raises RotationBlocked, KeysRefused, StoreError."""
    keys = begin_rotation(store, path, new_key)
    moved_count = 0
    for progress in rehash(store, keys, names):
        moved_count = progress.moved_count
        on_progress(progress)
    finish_rotation(store, path, names, orphans_max=orphans_max)
    return Rotated(keys.current.id, moved_count, is_resumed=keys.current.id != new_key.id)


def begin_rotation(store: Store, path: Path, new_key: HashKey) -> KeyRing:
    """The two live keys; those of the rotation that is under way, if one is. Raises KeysRefused, StoreError."""
    with store.write() as transaction:
        keys = live_ring(transaction, read_key_ring(path))
        if keys.previous is not None:
            return keys
        write_key_ring(path, KeyRing(keys.current, new_key))
        rotated = KeyRing(new_key, keys.current)
        put_live_keys(transaction, rotated)
        transaction.put(Database.META, PLACE_KEY, BEGINNING.encode())
    return rotated


def rehash(store: Store, keys: KeyRing, names: SiteNames) -> Iterator[Progress]:
    """Moves rows, a transaction a step, from where the last run was cut short. Raises KeysRefused, StoreError."""
    with store.read() as snapshot:
        rows_total = sum(snapshot.count(each) for each in (Database.SITES, Database.DEPLOYMENTS, Database.ALIASES))
    rows_count = moved_count = 0
    while True:
        with store.write() as transaction:
            ring = live_ring(transaction, keys)
            place = Place.parse(transaction.get(Database.META, PLACE_KEY) or b"")
            if ring.previous is None:
                return  # another process has finished it
            rows = list(islice(HostWalk(transaction, names).rows(place), BATCH_ROWS))
            for _, hostnames in rows:
                for hostname in hostnames:
                    new, old = ring.route_keys(hostname)
                    moved_count += transaction.move_route(old, new)
            next_place = rows[-1][0] if rows else place.next_database()
            if next_place is not None:
                transaction.put(Database.META, PLACE_KEY, next_place.encode())
        if next_place is None:
            return
        if rows:
            rows_count += len(rows)
            yield Progress(rows_count, max(rows_total, rows_count), moved_count)


def finish_rotation(store: Store, path: Path, names: SiteNames, *, orphans_max: int = 0) -> None:
    """Raises RotationBlocked, KeysRefused, StoreError."""
    keys = read_key_ring(path)
    with store.read() as snapshot:
        ring = live_ring(snapshot, keys)
        if ring.previous is not None:
            left_count, orphans_count = count_left_behind(snapshot, ring, names)
    if ring.previous is not None:
        if left_count:
            restart_rehash(store)
            raise RotationBlocked(f"{left_count} routes still lie under key {ring.previous.id}; rotate again to go on")
        if orphans_count > orphans_max:
            raise RotationBlocked(
                f"{orphans_count} routes belong to no record and would be lost with key {ring.previous.id}; both keys "
                "stay in use; run 'onehop check', which names them, then rotate again"
            )
        with store.write() as transaction:
            if live_ring(transaction, keys) != ring:
                raise KeysRefused("the live keys have changed meanwhile; run 'onehop keys list'")
            put_live_keys(transaction, KeyRing(ring.current))
            transaction.delete(Database.META, PLACE_KEY)
    tidy_key_file(store, path)


def count_left_behind(snapshot: Snapshot, ring: KeyRing, names: SiteNames) -> tuple[int, int]:
    """(rows under the previous key, rows that no record calls for).

    In one snapshot, or deploys would make the second count a guess: a minute or two for ten million, in which
    the store's file grows by what is written.
    """
    left_count = found_count = 0
    for hostname in HostWalk(snapshot, names).everything():
        new, *previous = ring.route_keys(hostname)
        left_here = sum(snapshot.view(Database.ROUTES, old) is not None for old in previous)
        left_count += left_here
        found_count += left_here + (snapshot.view(Database.ROUTES, new) is not None)
    return left_count, snapshot.count(Database.ROUTES) - found_count


def restart_rehash(store: Store) -> None:
    with store.write() as transaction:
        transaction.put(Database.META, PLACE_KEY, BEGINNING.encode())
