"""Compares the two schemes whole, in both directions: what a table leads to against what the route says, for every host
that either the table or the site's records know.

A site verifies when each of its hosts shows the same by both. Where a site's table isn't kept up to date (its dual
write is off), a route that is newer, or that the table hasn't heard of, is right and counts as such. That a site has
verified is remembered together with its table: `cleanup` drops those tables and no other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final

from migration.collect import SiteRows, read_site
from migration.failures import Failure
from migration.invert import invert_table
from migration.runs import CLAIM
from router.hashed import find_route, live_ring
from router.hashing import KeyRing
from router.host_walk import HostWalk
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction
from router.site_names import SiteNames

VERIFIED_PREFIX: Final = b"migration_verified:"
DIFFERING_PREFIX: Final = b"migration_differing:"
WHAT_CHARACTERS_MAX: Final = 300
DIGEST_BYTES: Final = 16
DIFFERENCES_LISTED_MAX: Final = 100


class Kind(StrEnum):
    """How the schemes differ about a host."""

    NOT_MIGRATED = "only the table has it"
    NOT_IN_TABLE = "only the hashed scheme has it"
    OTHER = "they show different things"
    UNREADABLE = "its filter leads nowhere"


@dataclass(frozen=True, slots=True)
class Difference:
    """`what` is a host, or what of the table can't be read."""

    site_no: int
    what: str
    kind: Kind
    detail: str = ""


@dataclass(slots=True)
class SiteVerified:
    """What one site came to: `same` hosts, `newer` ones that a table out of date needn't know, and the differences,
    of which only the first are listed."""

    site_no: int
    same: int = 0
    newer: int = 0
    differences_count: int = 0
    differences: list[Difference] = field(default_factory=list)
    digest: bytes = b""

    @property
    def is_sound(self) -> bool:
        return self.differences_count == 0

    def add(self, what: str, kind: Kind, detail: str = "") -> None:
        self.differences_count += 1
        if len(self.differences) < DIFFERENCES_LISTED_MAX:
            self.differences.append(Difference(self.site_no, what, kind, detail))


@dataclass(frozen=True, slots=True)
class Verifier:
    """Reads only, in one snapshot a site."""

    snapshot: Snapshot
    keys: KeyRing
    names: SiteNames

    def verify(self, site_no: int) -> SiteVerified | None:
        """None for a site without a table."""
        table = self.snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
        if table is None:
            return None
        verified = SiteVerified(site_no, digest=digest_of(table))
        site = read_site(self.snapshot, site_no)
        if site is None:
            verified.add("table", Kind.UNREADABLE, "no readable record of the site goes with it")
            return verified
        rows = SiteRows(self.snapshot, self.names, site)
        by_table: dict[str, bytes] = {}
        for each in invert_table(table):
            found = rows.row_of(each)
            if isinstance(found, Failure):
                verified.add(found.what, Kind.UNREADABLE, found.reason)
            elif found[1].startswith(CLAIM):
                verified.add(found[0], Kind.UNREADABLE, "requests for this host don't come to this site")
            else:
                by_table[found[0]] = found[1]
        ring = live_ring(self.snapshot, self.keys)
        hosts = {hostname.name for hostname in HostWalk(self.snapshot, self.names).of_site(site)} | by_table.keys()
        for host in sorted(hosts):
            route = find_route(self.snapshot, ring.route_keys(Hostname(host)))
            compare(verified, host, by_table.get(host), route, is_kept_up=site.dual_write)
        return verified


def compare(
    verified: SiteVerified, host: str, by_table: bytes | None, by_route: bytes | None, *, is_kept_up: bool
) -> None:
    if by_table == by_route:
        verified.same += by_table is not None
    elif by_route is None:
        verified.add(host, Kind.NOT_MIGRATED)
    elif not is_kept_up:
        verified.newer += 1
    elif by_table is None:
        verified.add(host, Kind.NOT_IN_TABLE)
    else:
        verified.add(host, Kind.OTHER, f"table {by_table.decode()}, route {by_route.decode()}")


def digest_of(table: bytes) -> bytes:
    return blake2b(table, digest_size=DIGEST_BYTES).digest()


def note_verified(transaction: Transaction, verified: SiteVerified) -> None:
    """Remembers the outcome, whichever it is."""
    site_no = SITE_NO.pack(verified.site_no)
    if verified.is_sound:
        transaction.put(Database.META, VERIFIED_PREFIX + site_no, verified.digest)
        transaction.delete(Database.META, DIFFERING_PREFIX + site_no)
    else:
        transaction.delete(Database.META, VERIFIED_PREFIX + site_no)
        transaction.put(Database.META, DIFFERING_PREFIX + site_no, verified.digest + summary_of(verified).encode())


def summary_of(verified: SiteVerified) -> str:
    first = verified.differences[0]
    return f"{verified.differences_count} differ, such as {first.what[:WHAT_CHARACTERS_MAX]}: {first.kind}"


def known_difference(snapshot: Snapshot, site_no: int) -> str | None:
    """What the last comparison of the site found, with the very table that it has now; None if it was sound, or with
    another table, or never made."""
    table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
    known = snapshot.get(Database.META, DIFFERING_PREFIX + SITE_NO.pack(site_no))
    if table is None or known is None or known[:DIGEST_BYTES] != digest_of(table):
        return None
    return known[DIGEST_BYTES:].decode()


def has_verified(snapshot: Snapshot, site_no: int) -> bool:
    """Whether the site has verified with the very table that it has now."""
    table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
    known = snapshot.get(Database.META, VERIFIED_PREFIX + SITE_NO.pack(site_no))
    return table is not None and known == digest_of(table)


def verified_sites(snapshot: Snapshot) -> Iterator[int]:
    for key, _ in snapshot.scan(Database.META, prefix=VERIFIED_PREFIX):
        yield int(SITE_NO.unpack(key[len(VERIFIED_PREFIX) :])[0])
