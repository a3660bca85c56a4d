"""Rows that lead nowhere: which hosts they were, their sites' tables tell, and reading those takes long.

So the transaction that refuses a row only keeps its key, in META: `migration_refused:` ‖ site number ‖ route key, with
the reason. After it, each site's table is read once for all of its refused rows, and they become failures. What a kill
leaves unnamed is named by whoever comes next. Bounded together with the failures that are listed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from migration.failures import FAILURES_LISTED_MAX, Failure, put_failures
from migration.invert import Inverted, invert_table
from migration.progress import need_progress, put_progress
from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction
from router.kv.store import Store

PREFIX: Final = b"migration_refused:"
NAMED_AT_ONCE_MAX: Final = 2_000
"""In one transaction, for which deploys wait: some 15 ms."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Of a site's table, the row with that key."""

    route_key: bytes
    site_no: int
    reason: str

    @property
    def key(self) -> bytes:
        return PREFIX + SITE_NO.pack(self.site_no) + self.route_key


def put_refused(transaction: Transaction, refused: Iterable[Refused], *, listed_count: int) -> int:
    """How many failures there are to list now, these included; `listed_count` were."""
    for each in refused:
        if listed_count >= FAILURES_LISTED_MAX:
            break
        listed_count += transaction.get(Database.META, each.key) is None
        transaction.put(Database.META, each.key, each.reason.encode())
    return listed_count


def read_refused(snapshot: Snapshot) -> list[Refused]:
    """By site."""
    return [
        Refused(key[-ROUTE_KEY_BYTES:], int(SITE_NO.unpack_from(key, len(PREFIX))[0]), value.decode())
        for key, value in snapshot.scan(Database.META, prefix=PREFIX)
    ]


def drop_refused(transaction: Transaction, refused: Iterable[Refused]) -> None:
    for each in refused:
        transaction.delete(Database.META, each.key)


def name_refused(store: Store, keys: KeyRing) -> None:
    """Those that are kept become failures. Raises StoreFull, StoreError."""
    with store.read() as snapshot:
        named = [
            each
            for site_no, group in groupby(read_refused(snapshot), key=lambda each: each.site_no)
            for each in named_of(snapshot, keys, site_no, {each.route_key: each for each in group})
        ]
    for at in range(0, len(named), NAMED_AT_ONCE_MAX):
        batch = named[at : at + NAMED_AT_ONCE_MAX]
        with store.write() as transaction:
            progress = need_progress(transaction)
            drop_refused(transaction, [refused for refused, _ in batch])
            listed = progress.failures_listed - len(batch)
            listed = put_failures(transaction, [failure for _, failure in batch], listed_count=listed)
            put_progress(transaction, replace(progress, failures_listed=listed))


def named_of(
    snapshot: Snapshot, keys: KeyRing, site_no: int, refused: dict[bytes, Refused]
) -> list[tuple[Refused, Failure]]:
    """`refused` are by route key; a host that the table hasn't any more goes by its key."""
    found = []
    table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no)) or b""
    for each in invert_table(table):
        if not refused:
            break
        if isinstance(each, Inverted):
            row = refused.pop(keys.route_key(Hostname(each.host)), None)
            if row is not None:
                found.append((row, Failure(site_no, each.host, row.reason)))
    return found + [(row, Failure(site_no, f"route key {key.hex()}", row.reason)) for key, row in refused.items()]
