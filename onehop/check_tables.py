"""The routing tables of the legacy scheme against records and routes: a site at a time, both ways.

A host that only its site's table knows isn't at fault: it waits to be migrated, and is counted. While a site's dual
write is on, its table must say of each of its hosts what the route says, and of no other. While it is off, the table
must merely be readable, since hosts without a route are looked up there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from control_plane.catalogue import StoreInconsistent
from control_plane.dual_write import hosts_of
from onehop.check_report import Faults
from onehop.output import Watcher
from router.hashed import read_route
from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.store import Snapshot
from router.legacy import TableUnusable, read_pipeline
from router.legacy_table import TableRefused, parse_table
from router.pipeline import Pipeline, PipelineUnreadable
from router.records import RecordUnreadable, Site
from router.site_names import SiteNames

CURE_TABLE: Final = "'onehop check --repair' writes it again from the records"
FAULTS_PER_TABLE_MAX: Final = 20


@dataclass(slots=True)
class TableWalk:
    """Over one snapshot. `broken` are sites whose table wants to be made anew, `orphans` keys that nothing names."""

    snapshot: Snapshot
    keys: KeyRing
    names: SiteNames
    faults: Faults
    watcher: Watcher
    broken: list[int] = field(default_factory=list)
    orphans: list[tuple[Database, bytes]] = field(default_factory=list)
    manifests_named: set[str] = field(default_factory=set)
    tables_count: int = 0
    unmigrated_count: int = 0
    _pipelines_found: int = 0
    _stored_count: int = 0
    _site_no: int = 0
    _hosts: dict[str, Pipeline | None] = field(default_factory=dict)

    def leads(self, site_no: int, hostname: Hostname, wanted: Pipeline) -> bool:
        """Whether the site's table leads a host without a route to where it should be led; counts it."""
        if site_no != self._site_no:
            self._site_no, self._hosts = site_no, {}
            raw = self.snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
            if raw is not None:
                self._read(site_no, raw)  # what is wrong with it is reported when it has its turn
        found = self._hosts.get(hostname.name)
        is_led = found is not None and replace(found, kept=None) == wanted
        self.unmigrated_count += is_led
        return is_led

    def run(self, sites: Mapping[int, Site]) -> None:
        self.watcher.begin("routing tables", self.snapshot.count(Database.LEGACY_TABLES))
        for key, raw in self.snapshot.scan(Database.LEGACY_TABLES):
            self.watcher.advance()
            self.tables_count += 1
            site = sites.get(SITE_NO.unpack(key)[0]) if len(key) == SITE_NO.size else None
            if site is None:
                self._orphan(Database.LEGACY_TABLES, key, f"the routing table {key.hex()} belongs to no site")
            else:
                self._check_table(site, raw)
        if self.snapshot.count(Database.PIPELINES) != self._pipelines_found:
            self._find_orphaned_pipelines()

    def _check_table(self, site: Site, raw: bytes) -> None:
        self._site_no, self._hosts = site.site_no, {}
        problems = self._read(site.site_no, raw)
        self._pipelines_found += self._stored_count
        if site.dual_write:
            try:
                wanted = {host.name: each for host, each in hosts_of(self.snapshot, self.keys, self.names, site)}
            except (StoreInconsistent, RecordUnreadable, PipelineUnreadable):
                return  # the walks over records and routes report it
            problems += [f"lacks {host}" for host in wanted.keys() - self._hosts.keys()]
            problems += [f"has {host}, which no record calls for" for host in self._hosts.keys() - wanted.keys()]
            problems += [
                f"leads {host} to something else than its route"
                for host, found in self._hosts.items()
                if found is not None and host in wanted and not self._agrees(host, found, wanted[host])
            ]
        for problem in problems[:FAULTS_PER_TABLE_MAX]:
            self.faults.add("table", site.name, problem, CURE_TABLE)
        if problems:
            self.broken.append(site.site_no)

    def _agrees(self, host: str, found: Pipeline, wanted: Pipeline) -> bool:
        if found == wanted:
            return True
        return replace(found, kept=None) == wanted and read_route(self.snapshot, self.keys, Hostname(host)) is None

    def _read(self, site_no: int, raw: bytes) -> list[str]:
        """Fills `_hosts`; what is wrong with the table by itself."""
        problems = []
        pipelines: dict[str, Pipeline | None] = {}
        try:
            for each in parse_table(raw):
                if each.script_hash not in pipelines:
                    try:
                        pipelines[each.script_hash] = read_pipeline(self.snapshot, site_no, each.script_hash)
                    except TableUnusable as error:
                        pipelines[each.script_hash] = None
                        problems.append(str(error))
                self._hosts[each.host] = pipelines[each.script_hash]
        except TableRefused as error:
            problems.append(f"can't be read: {error}")
        self._stored_count = sum(
            self.snapshot.view(Database.PIPELINES, each.encode("ascii")) is not None for each in pipelines
        )
        for pipeline in pipelines.values():
            if pipeline is not None:
                self.manifests_named.update(each for each in (pipeline.manifest, pipeline.kept) if each is not None)
        return problems

    def _find_orphaned_pipelines(self) -> None:
        named: set[bytes] = set()
        for _, raw in self.snapshot.scan(Database.LEGACY_TABLES):
            try:
                named.update(each.script_hash.encode("ascii") for each in parse_table(raw))
            except TableRefused:
                continue
        for key, _ in self.snapshot.scan(Database.PIPELINES):
            if key not in named:
                self._orphan(Database.PIPELINES, key, f"no routing table names {key.decode('ascii', 'replace')}")

    def _orphan(self, database: Database, key: bytes, what: str) -> None:
        self.faults.add("orphan", f"{database} {key.hex()}", what, "'onehop check --repair' removes it")
        self.orphans.append((database, key))
