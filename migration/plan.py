"""What a migration would do, found out by doing all of it but the writing."""

from dataclasses import dataclass, field
from typing import Final, Protocol

from migration.collect import SiteRows, read_site
from migration.failures import Failure
from migration.invert import invert_table
from migration.runs import CLAIM
from migration.write import FOREIGN
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
    """Reads every table. A host that two sites' tables name counts once as fit and once as a failure."""
    planned = Planned()
    ring = live_ring(snapshot, keys)
    watcher.begin("reading tables", snapshot.count(Database.LEGACY_TABLES))
    for key, table in snapshot.scan(Database.LEGACY_TABLES):
        (site_no,) = SITE_NO.unpack(key)
        planned.sites += 1
        site = read_site(snapshot, site_no)
        if site is None:
            planned.total += 1
            planned.fail(Failure(site_no, "table", "no readable record of the site goes with it"))
        else:
            plan_site(planned, SiteRows(snapshot, names, site), table, ring)
        watcher.advance()
    return planned


def plan_site(planned: Planned, rows: SiteRows, table: bytes, ring: KeyRing) -> None:
    for each in invert_table(table):
        planned.total += 1
        found = rows.row_of(each)
        if isinstance(found, Failure):
            planned.fail(found)
        elif found[1].startswith(CLAIM):
            planned.fail(Failure(rows.site.site_no, found[0], FOREIGN))
        elif find_route(rows.snapshot, ring.route_keys(Hostname(found[0]))) is not None:
            planned.there_already += 1
        else:
            planned.to_migrate += 1
            planned.expected_bytes += ROUTE_KEY_BYTES + len(found[1])
