"""The hashed scheme: a hostname's route lies under its keyed hash, and one look-up finds it.

All writers of routes go through `put_route` and `delete_route`. While a rotation is under way two keys are live: a
route is written under the current one, and whatever lies under the other goes in the same transaction; look-ups try
the current key first. So at no moment is a host without its route, or with two.

`keys` in these functions are those that the caller has, as its file gives them; which of them are live, and in what
order, the snapshot says.
"""

from router.hashing import KeyRing
from router.hostname import Hostname
from router.key_files import KeysRefused, live_key_ids
from router.kv.schema import Database
from router.kv.snapshot import Snapshot, Transaction
from router.pipeline import Pipeline


def live_ring(snapshot: Snapshot, keys: KeyRing) -> KeyRing:
    """Raises KeysRefused when a live key isn't among `keys`. A store that was never given a ring takes them as is."""
    ids = live_key_ids(snapshot)
    if not ids:
        return keys
    live = keys.arranged(ids)
    if live is None:
        raise KeysRefused(
            f"the store's live keys are {', '.join(ids)}, not all of which are here; restore the key file"
        )
    return live


def find_route(snapshot: Snapshot, route_keys: tuple[bytes, ...]) -> bytes | None:
    """The stored pipeline under the first of these keys that has one."""
    for route_key in route_keys:
        value = snapshot.get(Database.ROUTES, route_key)
        if value is not None:
            return value
    return None


def read_route(snapshot: Snapshot, keys: KeyRing, hostname: Hostname) -> Pipeline | None:
    """Raises PipelineUnreadable, KeysRefused."""
    value = find_route(snapshot, live_ring(snapshot, keys).route_keys(hostname))
    return Pipeline.parse(value) if value is not None else None


def put_route(transaction: Transaction, keys: KeyRing, hostname: Hostname, pipeline: Pipeline) -> None:
    """Raises KeysRefused, StoreFull."""
    current, *previous = live_ring(transaction, keys).route_keys(hostname)
    transaction.put(Database.ROUTES, current, pipeline.encode())
    for route_key in previous:
        transaction.delete(Database.ROUTES, route_key)


def delete_route(transaction: Transaction, keys: KeyRing, hostname: Hostname) -> bool:
    """Whether there was one. Raises KeysRefused."""
    route_keys = live_ring(transaction, keys).route_keys(hostname)
    deleted_count = sum(transaction.delete(Database.ROUTES, route_key) for route_key in route_keys)
    return deleted_count > 0
