"""Routes under the live keys, and the replacement of a key while every host is served.

All writers of routes go through `put_route` and `delete_route`: a route is written under the current key, and whatever
lies under the previous one goes in the same transaction. Look-ups try the current key first, so at no moment is a host
without its route.
"""

from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.schema import Database
from router.kv.store import Snapshot, Transaction
from router.pipeline import Pipeline


def read_route(snapshot: Snapshot, keys: KeyRing, hostname: Hostname) -> Pipeline | None:
    """Raises PipelineUnreadable."""
    for route_key in keys.route_keys(hostname):
        value = snapshot.get(Database.ROUTES, route_key)
        if value is not None:
            return Pipeline.parse(value)
    return None


def put_route(transaction: Transaction, keys: KeyRing, hostname: Hostname, pipeline: Pipeline) -> None:
    current, *previous = keys.route_keys(hostname)
    transaction.put(Database.ROUTES, current, pipeline.encode())
    for route_key in previous:
        transaction.delete(Database.ROUTES, route_key)


def delete_route(transaction: Transaction, keys: KeyRing, hostname: Hostname) -> bool:
    """Whether there was one."""
    deleted = [transaction.delete(Database.ROUTES, route_key) for route_key in keys.route_keys(hostname)]
    return any(deleted)
