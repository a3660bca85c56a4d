"""The rows of a store against each other: sites, names, domains, aliases, deployments, ids, and every route.

A route's row says nothing of its host (that is what the keyed hash is for), so routes are proven from the other side:
each host that a record calls for must have its route. Whether routes are left that no record calls for shows in the
count, and only then they are looked for.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from control_plane.activation import pipeline_of
from onehop.check_report import Faults
from onehop.check_tables import TableWalk
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from router.hashing import KeyRing
from router.host_walk import HostWalk
from router.hostname import Hostname
from router.kv.schema import DEPLOYMENT_KEY, SITE_NO, Database, alias_key, deployment_key
from router.kv.store import Snapshot
from router.pipeline import Pipeline, PipelineUnreadable
from router.records import Alias, CustomDomain, Deployment, RecordUnreadable, Site, decode_record

PROGRESS_EVERY: Final = 1_000
CURE_ROUTE: Final = "'onehop check --repair' writes it again from the records"
CURE_ORPHAN: Final = "'onehop check --repair' removes it"
CURE_RECORD: Final = "restore the last backup: onehop restore"

AnyRecord = TypeVar("AnyRecord", Site, Deployment, Alias, CustomDomain)


@dataclass(frozen=True, slots=True)
class Names:
    """What rows may name. `broken_manifests` says why, by content id; `sound_bundles` None: not known."""

    sound_manifests: Set[str]
    broken_manifests: Mapping[str, str]
    sound_bundles: Set[str] | None


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """A route as the records have it."""

    hostname: Hostname
    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Orphan:
    """A row that nothing names."""

    database: Database
    key: bytes


@dataclass(slots=True)
class RecordWalk:
    """One walk over one snapshot, with the keys that are live in it. What can be mended is in `wanted_routes` and
    `orphans`."""

    it: OpenedStore
    snapshot: Snapshot
    keys: KeyRing
    names: Names
    faults: Faults
    watcher: Watcher
    tables: TableWalk
    sites: dict[int, Site] = field(default_factory=dict)
    manifests_named: set[str] = field(default_factory=set)
    wanted_routes: list[WantedRoute] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)
    sites_count: int = 0
    deployments_count: int = 0
    routes_count: int = 0
    routes_found: int = 0

    def run(self) -> None:
        self._walk_sites()
        self._walk_site_names()
        self._walk_aliases()
        self._walk_deployments()
        self._walk_deployment_ids()
        self._walk_domains()
        self._walk_routes()
        self.tables.run(self.sites)
        self.manifests_named |= self.tables.manifests_named
        self.orphans += [Orphan(database, key) for database, key in self.tables.orphans]

    # -- rows that name others -----------------------------------------------------------------------------------

    def _walk_sites(self) -> None:
        self.watcher.begin("sites", self.snapshot.count(Database.SITES))
        for key, value in self.snapshot.scan(Database.SITES):
            self.watcher.advance()
            site = self._decode(Site, Database.SITES, key, value)
            if site is None:
                continue
            self.sites_count += 1
            self.sites[site.site_no] = site
            if self.snapshot.get(Database.SITE_NAMES, site.name.encode("ascii", "replace")) != key:
                self.faults.add("site", site.name, "its name doesn't lead to it", CURE_RECORD)
            for name in site.domains:
                if self.snapshot.view(Database.DOMAINS, name.encode("ascii", "replace")) is None:
                    self.faults.add("domain", name, f"{site.name} names it, but it has no record", CURE_RECORD)
            if site.production is not None:
                hostname = self.it.names.production(site.name)
                shown = self._pointed_at(site, site.production.seq, hostname)
                if shown is not None:
                    for each in (hostname, *(Hostname(name) for name in site.domains)):
                        self._want_route(each, pipeline_of(shown, is_preview=False), keeps=True)

    def _walk_site_names(self) -> None:
        for key, value in self.snapshot.scan(Database.SITE_NAMES):
            site = self.sites.get(SITE_NO.unpack(value)[0]) if len(value) == SITE_NO.size else None
            if site is None or site.name.encode("ascii", "replace") != key:
                self._orphan(Database.SITE_NAMES, key, f"the name {key.decode('ascii', 'replace')} leads to no site")

    def _walk_aliases(self) -> None:
        self.watcher.begin("branch addresses", self.snapshot.count(Database.ALIASES))
        for key, value in self.snapshot.scan(Database.ALIASES):
            self.watcher.advance()
            alias = self._decode(Alias, Database.ALIASES, key, value)
            if alias is None:
                continue
            site = self.sites.get(alias.site_no)
            if site is None or key != alias_key(alias.site_no, alias.slug):
                self._orphan(Database.ALIASES, key, f"the address of branch {alias.branch} belongs to no site")
                continue
            hostname = self.it.names.alias(site.name, alias.slug)
            shown = self._pointed_at(site, alias.pointer.seq, hostname)
            if shown is not None:
                self._want_route(hostname, pipeline_of(shown), keeps=True)

    def _walk_deployments(self) -> None:
        self.watcher.begin("deployments", self.snapshot.count(Database.DEPLOYMENTS))
        for number, (key, value) in enumerate(self.snapshot.scan(Database.DEPLOYMENTS), start=1):
            if number % PROGRESS_EVERY == 0:
                self.watcher.advance(PROGRESS_EVERY)
            deployment = self._decode(Deployment, Database.DEPLOYMENTS, key, value)
            if deployment is None:
                continue
            self.deployments_count += 1
            site = self.sites.get(deployment.site_no)
            if site is None or key != deployment_key(deployment.site_no, deployment.seq):
                self._orphan(Database.DEPLOYMENTS, key, f"deployment {deployment.id} belongs to no site")
                continue
            hostname = self.it.names.deployment(site.name, deployment.short_id)
            if self.snapshot.get(Database.DEPLOYMENT_IDS, bytes.fromhex(deployment.id)) != key:
                self.faults.add("deployment", hostname.name, "its id doesn't lead to it", CURE_RECORD)
            self._need_content(site, deployment, hostname)
            self._want_route(hostname, pipeline_of(deployment), keeps=False)

    def _walk_deployment_ids(self) -> None:
        """Each deployment leads back from its id: rows beyond those are orphans."""
        if self.snapshot.count(Database.DEPLOYMENT_IDS) == self.deployments_count:
            return
        for key, value in self.snapshot.scan(Database.DEPLOYMENT_IDS):
            if len(value) != DEPLOYMENT_KEY.size or self.snapshot.view(Database.DEPLOYMENTS, value) is None:
                self._orphan(Database.DEPLOYMENT_IDS, key, f"the id {key.hex()} leads to no deployment")

    def _walk_domains(self) -> None:
        for key, value in self.snapshot.scan(Database.DOMAINS):
            domain = self._decode(CustomDomain, Database.DOMAINS, key, value)
            site = self.sites.get(domain.site_no) if domain is not None else None
            if domain is not None and (site is None or domain.name not in site.domains):
                self._orphan(Database.DOMAINS, key, f"the domain {domain.name} belongs to no site")

    # -- routes --------------------------------------------------------------------------------------------------

    def _want_route(self, hostname: Hostname, wanted: Pipeline, *, keeps: bool) -> None:
        """`keeps`: the host changes, so its route may name kept assets, which no record tells."""
        values = [self.snapshot.get(Database.ROUTES, key) for key in self.keys.route_keys(hostname)]
        value = next((each for each in values if each is not None), None)
        self.routes_found += sum(each is not None for each in values)
        what = "has no route"
        if value is not None:
            try:
                found = Pipeline.parse(value)
            except PipelineUnreadable as error:
                what = f"has a route that can't be read: {error}"
            else:
                if found.kept is not None:
                    self.manifests_named.add(found.kept)
                if found == wanted or (keeps and replace(found, kept=None) == wanted):
                    self._prove_kept(hostname, found)
                    return
                what = "has a route to something else than its records say"
        elif self.tables.leads(wanted.site_no, hostname, wanted):
            return
        self.faults.add("route", hostname.name, what, CURE_ROUTE)
        self.wanted_routes.append(WantedRoute(hostname, wanted))

    def _prove_kept(self, hostname: Hostname, found: Pipeline) -> None:
        if found.kept is not None and found.kept not in self.names.sound_manifests:
            what = f"keeps replaced assets by manifest {found.kept}, which is damaged or missing"
            self.faults.add("route", hostname.name, what, "'onehop site purge' ends that")

    def _walk_routes(self) -> None:
        self.routes_count = self.snapshot.count(Database.ROUTES)
        if self.routes_count == self.routes_found:
            return
        self.watcher.begin("routes that nothing calls for", self.routes_count)
        walk = HostWalk(self.snapshot, self.it.names)
        called_for = {key for hostname in walk.everything() for key in self.keys.route_keys(hostname)}
        for key, _ in self.snapshot.scan(Database.ROUTES):
            self.watcher.advance()
            if key not in called_for:
                self._orphan(Database.ROUTES, key, f"no site, address or deployment calls for route {key.hex()}")

    # -- findings ------------------------------------------------------------------------------------------------

    def _pointed_at(self, site: Site, seq: int, hostname: Hostname) -> Deployment | None:
        value = self.snapshot.get(Database.DEPLOYMENTS, deployment_key(site.site_no, seq))
        if value is None:
            self.faults.add(
                "pointer", hostname.name, "shows a deployment that isn't there",
                f"deploy or roll back {site.name} to another deployment",
            )  # fmt: skip
            return None
        try:
            return decode_record(Deployment, value)
        except RecordUnreadable:
            return None  # the walk over deployments reports it

    def _need_content(self, site: Site, deployment: Deployment, hostname: Hostname) -> None:
        self.manifests_named.add(deployment.manifest)
        cure = f"deploy its files again, or 'onehop deployment delete {site.name} {deployment.short_id}'"
        if (why := self.names.broken_manifests.get(deployment.manifest)) is not None:
            self.faults.add("deployment", hostname.name, f"needs a {why}", cure)
        elif deployment.manifest not in self.names.sound_manifests:
            self.faults.add(
                "deployment", hostname.name, f"needs manifest {deployment.manifest}, which is missing", cure
            )
        if self.names.sound_bundles is not None and deployment.bundle not in {None, *self.names.sound_bundles}:
            what = f"needs function bundle {deployment.bundle}, which is missing or damaged"
            self.faults.add("deployment", hostname.name, what, cure)

    def _decode(self, kind: type[AnyRecord], database: Database, key: bytes, value: bytes) -> AnyRecord | None:
        try:
            return decode_record(kind, value)
        except RecordUnreadable as error:
            self.faults.add("record", f"{database} {key.hex()}", str(error), CURE_RECORD)
            return None

    def _orphan(self, database: Database, key: bytes, what: str) -> None:
        self.faults.add("orphan", f"{database} {key.hex()}", what, CURE_ORPHAN)
        self.orphans.append(Orphan(database, key))
