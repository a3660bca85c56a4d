"""What a migration would do, found out by doing all of it but the writing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from migration.claims import claimed_hosts
from migration.collect import CLAIMS_MAX, SiteRows, read_site
from migration.failures import Failure
from migration.invert import invert_table
from migration.runs import CLAIM
from migration.write import CONTESTED, FOREIGN
from router.hashed import find_route, live_ring
from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO, Database
from router.kv.snapshot import Snapshot
from router.site_names import SiteNames

USUAL_PER_S: Final = 100_000
"""Deployments a second of a job without a bound, by loadtests/migration.py."""
FAILURES_LISTED_MAX: Final = 1_000


class Watcher(Protocol):
    """Is told how far the walk is."""

    def begin(self, what: str, total: int | None = None) -> None: ...

    def advance(self, count: int = 1) -> None: ...


@dataclass(slots=True)
class Planned:
    """Counts of filters; `failures` are the first of those that have no way into the hashed scheme."""

    sites: int = 0
    total: int = 0
    to_migrate: int = 0
    there_already: int = 0
    failed: int = 0
    expected_bytes: int = 0
    failures: list[Failure] = field(default_factory=list)

    @property
    def expected_s(self) -> float:
        return self.total / USUAL_PER_S

    def fail(self, failure: Failure) -> None:
        self.failed += 1
        if len(self.failures) < FAILURES_LISTED_MAX:
            self.failures.append(failure)


def plan_migration(snapshot: Snapshot, keys: KeyRing, names: SiteNames, watcher: Watcher) -> Planned:
    """Reads every table, first for the hosts that it names and its site doesn't own: two tables' hosts go to neither.
    More than CLAIMS_MAX of those are each counted by themselves."""
    planned = Planned()
    numbers = [int(SITE_NO.unpack(key)[0]) for key, _ in snapshot.sizes(Database.LEGACY_TABLES)]
    claims = Claims()
    watcher.begin("comparing tables", len(numbers))
    for site_no in numbers:
        for host in claimed_hosts(snapshot, names, site_no):
            claims.add(host, site_no)
        watcher.advance()
    ring = live_ring(snapshot, keys)
    watcher.begin("reading tables", len(numbers))
    for site_no in numbers:
        planned.sites += 1
        site = read_site(snapshot, site_no)
        if site is None:
            planned.total += 1
            planned.fail(Failure(site_no, "table", "no readable record of the site goes with it"))
        else:
            table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no)) or b""
            plan_site(planned, SiteRows(snapshot, names, site), table, ring, claims)
        watcher.advance()
    for failure in claims.failures():
        planned.fail(failure)
    return planned


@dataclass(slots=True)
class Claims:
    """Sites by the host that their tables claim; `contested` are hosts that their own site's table names too."""

    by_host: dict[str, list[int]] = field(default_factory=dict)
    contested: set[str] = field(default_factory=set)

    def add(self, host: str, site_no: int) -> None:
        if host in self.by_host or len(self.by_host) < CLAIMS_MAX:
            self.by_host.setdefault(host, []).append(site_no)

    def failures(self) -> Iterator[Failure]:
        for host, site_nos in self.by_host.items():
            is_contested = len(site_nos) > 1 or host in self.contested
            for site_no in site_nos:
                yield Failure(site_no, host, CONTESTED if is_contested else FOREIGN)


def plan_site(planned: Planned, rows: SiteRows, table: bytes, ring: KeyRing, claims: Claims) -> None:
    for each in invert_table(table):
        planned.total += 1
        found = rows.row_of(each)
        if isinstance(found, Failure):
            planned.fail(found)
            continue
        host, value = found
        if value.startswith(CLAIM):
            if host not in claims.by_host:
                planned.fail(Failure(rows.site.site_no, host, FOREIGN))
        elif host in claims.by_host:
            claims.contested.add(host)
            planned.fail(Failure(rows.site.site_no, host, CONTESTED))
        elif find_route(rows.snapshot, ring.route_keys(Hostname(host))) is not None:
            planned.there_already += 1
        else:
            planned.to_migrate += 1
            planned.expected_bytes += ROUTE_KEY_BYTES + len(value)
