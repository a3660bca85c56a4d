"""What could not be moved, with its reason, in the store beside the routes: one row a thing, so that trying again
replaces it. Bounded: past FAILURES_LISTED_MAX rows are only counted."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Final

import orjson

from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction

PREFIX: Final = b"migration_failure:"
DIGEST_BYTES: Final = 8
FAILURES_LISTED_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Failure:
    """`what` is a host, a pattern, or "table"."""

    site_no: int
    what: str
    reason: str

    @property
    def key(self) -> bytes:
        digest = blake2b(self.what.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).digest()
        return PREFIX + SITE_NO.pack(self.site_no) + digest


def put_failures(transaction: Transaction, failures: Iterable[Failure], *, listed_count: int) -> int:
    """How many rows there are now; `listed_count` were there."""
    for each in failures:
        if listed_count >= FAILURES_LISTED_MAX:
            break
        listed_count += transaction.get(Database.META, each.key) is None
        transaction.put(Database.META, each.key, orjson.dumps(asdict(each)))
    return listed_count


def read_failures(snapshot: Snapshot) -> Iterator[Failure]:
    """By site."""
    for _, value in snapshot.scan(Database.META, prefix=PREFIX):
        yield Failure(**orjson.loads(value))


def count_failures(snapshot: Snapshot) -> int:
    return sum(1 for _ in snapshot.scan(Database.META, prefix=PREFIX))


def drop_failures(transaction: Transaction, site_no: int | None = None) -> int:
    """Those of one site, or all; how many there were."""
    prefix = PREFIX if site_no is None else PREFIX + SITE_NO.pack(site_no)
    keys = [key for key, _ in transaction.scan(Database.META, prefix=prefix)]
    for key in keys:
        transaction.delete(Database.META, key)
    return len(keys)
