"""Puts collected rows where there is no route yet, a transaction a batch: compare-and-set against everything else.

Within the transaction the feed says which sites have changed since their tables were read; their rows are left to
`revisit`. A route that is there already stays: if it differs it is newer. No edge is told, since no answer changes: the
host was found by its table, and what is written is what the table leads to.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import MappingProxyType
from typing import Final

from migration.progress import Progress, put_progress
from migration.refused import Refused, put_refused
from migration.runs import CLAIM, VALUE_SITE_AT, site_no_of
from router.kv.feed import Change, ChangeUnreadable
from router.kv.schema import FEED_SEQ, ROUTE_KEY_BYTES, Database
from router.kv.snapshot import Snapshot, Transaction

THERE_ALREADY: Final = "there already"
NEWER: Final = "a newer route is there"
CONTESTED: Final = "another site's table names this host too"
FOREIGN: Final = "requests for this host don't come to this site"
TAKEN: Final = "the host's route belongs to another site"


@dataclass(frozen=True, slots=True)
class Changes:
    """Sites that the feed names, up to `seq`. `everything`: it named more than it can tell."""

    seq: int
    site_nos: frozenset[int] = frozenset()
    everything: bool = False

    def includes(self, site_no: int) -> bool:
        return self.everything or site_no in self.site_nos

    def read_on(self, snapshot: Snapshot) -> "Changes":
        """With what has come since."""
        site_nos, seq, everything = set(self.site_nos), self.seq, self.everything
        for key, value in snapshot.scan(Database.FEED, after=FEED_SEQ.pack(self.seq)):
            (entry_seq,) = FEED_SEQ.unpack(key)
            everything = everything or entry_seq != seq + 1  # the feed is bounded: some entries are gone
            seq = entry_seq
            try:
                change = Change.parse(value)
            except ChangeUnreadable:
                everything = True
                continue
            everything = everything or change.everything
            site_nos |= change.site_nos
        return Changes(seq, frozenset(site_nos), everything)


@dataclass(slots=True)
class Written:
    """What a batch came to; `deferred` rows belong to sites that have changed. `claimed` are what other sites' tables
    have to do with it: reported, but no rows of this batch."""

    migrated: int = 0
    deferred: int = 0
    bytes_count: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    claimed: list[Refused] = field(default_factory=list)

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


def write_rows(
    transaction: Transaction,
    rows: Sequence[bytes],
    changes: Changes,
    claims: Mapping[bytes, Sequence[int]] = MappingProxyType({}),
) -> Written:
    """`rows` are sorted, and hold all rows of each key; `claims` are what tables that aren't among them say, sites by
    route key. Raises StoreFull, StoreError."""
    written = Written()
    wanted = list(settled_rows(rows, changes, written, claims))
    there = dict(transaction.add_routes(wanted))
    written.migrated = len(wanted) - len(there)
    written.bytes_count = sum(ROUTE_KEY_BYTES + len(value) for _, value in wanted)
    if there:
        for key, value in wanted:
            if key in there:
                note_existing(written, key, value, there[key])
    return written


def settled_rows(
    rows: Sequence[bytes], changes: Changes, written: Written, claims: Mapping[bytes, Sequence[int]]
) -> Iterator[tuple[bytes, bytes]]:
    """(route key, value) of those that may be written; of the others, what became of them is noted."""
    asks_for_site = bool(changes.site_nos or changes.everything)
    contested = contested_keys(rows)
    if claims:
        contested |= note_claimed(rows, claims, written)
    for row in rows:
        key, value = row[:ROUTE_KEY_BYTES], row[ROUTE_KEY_BYTES:]
        if asks_for_site and changes.includes(site_no_of(value)):
            written.deferred += 1
        elif value.startswith(CLAIM) or key in contested:
            written.refused.append(Refused(key, site_no_of(value), CONTESTED if key in contested else FOREIGN))
        else:
            yield key, value


def note_claimed(rows: Sequence[bytes], claims: Mapping[bytes, Sequence[int]], written: Written) -> frozenset[bytes]:
    """The keys that a site claims which isn't the row's; each such claim is noted."""
    found = set()
    for row in rows:
        key = row[:ROUTE_KEY_BYTES]
        others = [each for each in claims.get(key, ()) if each != site_no_of(row[ROUTE_KEY_BYTES:])]
        if others:
            found.add(key)
            written.claimed += [Refused(key, each, CONTESTED) for each in others]
    return frozenset(found)


def contested_keys(rows: Sequence[bytes]) -> frozenset[bytes]:
    """Keys that more than one row has: hosts that two sites' tables name."""
    keys = [row[:ROUTE_KEY_BYTES] for row in rows]
    if len(set(keys)) == len(keys):
        return frozenset()
    return frozenset(key for key, group in groupby(keys) if sum(1 for _ in group) > 1)


def note_existing(written: Written, key: bytes, value: bytes, there: bytes) -> None:
    """The route stays, whatever it is; one of another site is no newer version of ours."""
    if there == value:
        written.skip(THERE_ALREADY)
    elif there.startswith(value[: value.index(b",", VALUE_SITE_AT) + 1]):
        written.skip(NEWER)
    else:
        written.refused.append(Refused(key, site_no_of(value), TAKEN))


def note_written(transaction: Transaction, progress: Progress, written: Written) -> None:
    """Which hosts were refused is a walk through their tables, which isn't for this transaction: see `refused`."""
    listed = put_refused(transaction, written.refused + written.claimed, listed_count=progress.failures_listed)
    counted = progress.with_counts(
        migrated=written.migrated, failed=len(written.refused), skipped=written.skipped, total=-written.deferred
    )
    put_progress(transaction, replace(counted, failures_listed=listed))
