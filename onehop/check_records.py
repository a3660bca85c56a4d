"""The rows of a store against each other: sites, names, domains, aliases, deployments, ids, and every route.

A route's row says nothing of its host (that is what the keyed hash is for), so routes are proven from the other side:
each host that a record calls for must have its route. Whether routes are left that no record calls for shows in the
count, and only then they are looked for.

A damaged record calls for nothing and owns what it owned. So a site with a record that can't be read, or that
contradicts its key or another record, is in doubt: none of its rows is an orphan, since each may be what the damaged
record had named, and nothing is written by the record that is wrong. Only what belongs to a site that is gone, or to
one that is sound in all its records, can be proven to be nobody's.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from control_plane.activation import pipeline_of
from control_plane.tokens import TokenRecord
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
CURE_UNDECIDED: Final = "mend or delete what is named above, then check again; until then they stay and serve"

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
    """A row that nothing names. `site_no` is whose it would be; None: that can't be told."""

    database: Database
    key: bytes
    site_no: int | None
    what: str


@dataclass(slots=True)
class RecordWalk:
    """One walk over one snapshot, with the keys that are live in it. What can be mended is in `wanted_routes` and
    `orphans`. `sites` are those whose own record is sound, `doubtful` the numbers of those with any damaged record."""

    it: OpenedStore
    snapshot: Snapshot
    keys: KeyRing
    names: Names
    faults: Faults
    watcher: Watcher
    tables: TableWalk
    sites: dict[int, Site] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    manifests_named: set[str] = field(default_factory=set)
    wanted_routes: list[WantedRoute] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)
    _unnamed: list[Orphan] = field(default_factory=list)
    _unreadable_deployments: dict[bytes, str] = field(default_factory=dict)
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
        self._name_unreadable_deployments()
        self._walk_routes()
        self.tables.run(self.sites)
        self.manifests_named |= self.tables.manifests_named
        self._unnamed += [Orphan(*each) for each in self.tables.unnamed]
        self._settle_orphans()
        self._walk_tokens()

    # -- rows that name others -----------------------------------------------------------------------------------

    def _walk_sites(self) -> None:
        self.watcher.begin("sites", self.snapshot.count(Database.SITES))
        for key, value in self.snapshot.scan(Database.SITES):
            self.watcher.advance()
            (site_no,) = SITE_NO.unpack(key)
            site = self._decode(Site, Database.SITES, key, value, site_no)
            if site is None:
                continue
            self.sites_count += 1
            if site.site_no != site_no:
                self.doubtful.add(site.site_no)
                self._damaged(Database.SITES, key, f"says that it is site {site.site_no}", site_no)
            elif self.snapshot.get(Database.SITE_NAMES, site.name.encode("ascii", "replace")) != key:
                self.doubtful.add(site_no)
                self.faults.add("site", site.name, "its name doesn't lead to it", CURE_RECORD)
            else:
                self.sites[site_no] = site
                self._want_production(site)

    def _want_production(self, site: Site) -> None:
        hostnames = [self.it.names.production(site.name)]
        for name in site.domains:
            if self.snapshot.view(Database.DOMAINS, name.encode("ascii", "replace")) is None:
                self.doubtful.add(site.site_no)
                self.faults.add("domain", name, f"{site.name} names it, but it has no record", CURE_RECORD)
            else:
                hostnames.append(Hostname(name))
        if site.production is not None:
            shown = self._pointed_at(site, site.production.seq, hostnames[0])
            if shown is not None:
                for each in hostnames:
                    self._want_route(each, pipeline_of(shown, is_preview=False), keeps=True)

    def _walk_site_names(self) -> None:
        for key, value in self.snapshot.scan(Database.SITE_NAMES):
            site = self.sites.get(SITE_NO.unpack(value)[0]) if len(value) == SITE_NO.size else None
            if site is None or site.name.encode("ascii", "replace") != key:
                what = f"the name {key.decode('ascii', 'replace')} leads to no site"
                self._suspect(Database.SITE_NAMES, key, what, site_no=None)

    def _walk_aliases(self) -> None:
        self.watcher.begin("branch addresses", self.snapshot.count(Database.ALIASES))
        for key, value in self.snapshot.scan(Database.ALIASES):
            self.watcher.advance()
            (site_no,) = SITE_NO.unpack_from(key)
            alias = self._decode(Alias, Database.ALIASES, key, value, site_no)
            if alias is None:
                continue
            if key != alias_key(alias.site_no, alias.slug):
                self.doubtful.add(alias.site_no)
                self._damaged(Database.ALIASES, key, f"says that it is {alias.slug} of site {alias.site_no}", site_no)
                continue
            if self._is_gone(site_no):
                what = f"the address of branch {alias.branch} belongs to no site"
                self._suspect(Database.ALIASES, key, what, site_no)
            site = self.sites.get(site_no)
            if site is None:
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
            self.deployments_count += 1
            site_no, _ = DEPLOYMENT_KEY.unpack(key)
            deployment, problem = read_deployment_row(self.snapshot, key, value)
            if deployment is None:
                self.doubtful |= {site_no, claimed_site(value)}
                self._unreadable_deployments[key] = problem
                continue
            if self._is_gone(site_no):
                what = f"deployment {deployment.id} belongs to no site"
                self._suspect(Database.DEPLOYMENTS, key, what, site_no)
            site = self.sites.get(site_no)
            if site is not None:
                hostname = self.it.names.deployment(site.name, deployment.short_id)
                self._need_content(site, deployment, hostname)
                self._want_route(hostname, pipeline_of(deployment), keeps=False)

    def _walk_deployment_ids(self) -> None:
        """Each deployment leads back from its id: rows beyond those are orphans."""
        if self.snapshot.count(Database.DEPLOYMENT_IDS) == self.deployments_count:
            return
        for key, value in self.snapshot.scan(Database.DEPLOYMENT_IDS):
            if len(value) != DEPLOYMENT_KEY.size or self.snapshot.view(Database.DEPLOYMENTS, value) is None:
                what = f"the id {key.hex()} leads to no deployment"
                self._suspect(Database.DEPLOYMENT_IDS, key, what, site_no=None)

    def _walk_domains(self) -> None:
        for key, value in self.snapshot.scan(Database.DOMAINS):
            domain = self._decode(CustomDomain, Database.DOMAINS, key, value, None)
            if domain is None:
                continue
            site = self.sites.get(domain.site_no)
            if domain.name.encode("ascii", "replace") != key:
                self._damaged(Database.DOMAINS, key, f"says that it is {domain.name}", None)
            elif self._is_gone(domain.site_no) or (site is not None and domain.name not in site.domains):
                what = f"the domain {domain.name} belongs to no site"
                self._suspect(Database.DOMAINS, key, what, site_no=None)

    def _name_unreadable_deployments(self) -> None:
        """By the id that leads to each, which is what it takes to delete it."""
        if not self._unreadable_deployments:
            return
        ids: dict[bytes, str] = {}
        for key, value in self.snapshot.scan(Database.DEPLOYMENT_IDS):
            if value in self._unreadable_deployments:
                ids[value] = key.hex()
        for key, problem in self._unreadable_deployments.items():
            site_no, seq = DEPLOYMENT_KEY.unpack(key)
            site = self.sites.get(site_no)
            cure = CURE_RECORD
            if site is not None and key in ids:
                cure += f", or 'onehop deployment delete {site.name} {ids[key]}' and deploy its files again"
            where = f"{Database.DEPLOYMENTS} {key.hex()}, {ids.get(key, 'no id')}, number {seq} of "
            self.faults.add("record", where + (site.name if site is not None else f"site {site_no}"), problem, cure)

    def _walk_tokens(self) -> None:
        for key, value in self.snapshot.scan(Database.TOKENS):
            try:
                TokenRecord.parse(value)
            except RecordUnreadable as error:
                token_id = key.decode("ascii", "replace")
                cure = f"'onehop token revoke {token_id}' and make another"
                self.faults.add("record", f"{Database.TOKENS} {token_id}", str(error), cure)

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
                if self._is_there(found) and not self._is_there(wanted):
                    self.faults.add("route", hostname.name, f"{what}, which isn't there", CURE_RECORD)
                    return
        elif self.tables.leads(wanted.site_no, hostname, wanted):
            return
        self.faults.add("route", hostname.name, what, CURE_ROUTE)
        self.wanted_routes.append(WantedRoute(hostname, wanted))

    def _is_there(self, pipeline: Pipeline) -> bool:
        """Whether what it names is. A route that answers isn't given up for a record that can't."""
        bundles = self.names.sound_bundles
        return self.snapshot.view(Database.MANIFESTS, pipeline.manifest.encode("ascii")) is not None and (
            pipeline.function is None or bundles is None or pipeline.function in bundles
        )

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
        for key, value in self.snapshot.scan(Database.ROUTES):
            self.watcher.advance()
            if key not in called_for:
                what = f"no site, address or deployment calls for route {key.hex()}"
                self._suspect(Database.ROUTES, key, what, site_of_route(value))

    # -- findings ------------------------------------------------------------------------------------------------

    def _pointed_at(self, site: Site, seq: int, hostname: Hostname) -> Deployment | None:
        value = self.snapshot.get(Database.DEPLOYMENTS, deployment_key(site.site_no, seq))
        if value is None:
            self.faults.add(
                "pointer", hostname.name, "shows a deployment that isn't there",
                f"deploy or roll back {site.name} to another deployment",
            )  # fmt: skip
            return None
        return read_deployment_row(self.snapshot, deployment_key(site.site_no, seq), value)[0]

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

    def _decode(
        self, kind: type[AnyRecord], database: Database, key: bytes, value: bytes, site_no: int | None
    ) -> AnyRecord | None:
        try:
            return decode_record(kind, value)
        except RecordUnreadable as error:
            self._damaged(database, key, str(error), site_no)
            return None

    def _damaged(self, database: Database, key: bytes, what: str, site_no: int | None) -> None:
        """`site_no` None: of a domain, whose routes follow from its site's record."""
        if site_no is not None:
            self.doubtful.add(site_no)
        self.faults.add("record", f"{database} {key.hex()}", what, CURE_RECORD)

    def _is_gone(self, site_no: int) -> bool:
        """A site that has no record at all. One that can't be read is there, and so is one whose key is damaged."""
        return site_no not in self.sites and site_no not in self.doubtful and self._has_no_row(site_no)

    def _has_no_row(self, site_no: int) -> bool:
        return self.snapshot.view(Database.SITES, SITE_NO.pack(site_no)) is None

    def _suspect(self, database: Database, key: bytes, what: str, site_no: int | None) -> None:
        self._unnamed.append(Orphan(database, key, site_no, what))

    def _settle_orphans(self) -> None:
        """Once all of the damage is known."""
        undecided_count = 0
        doubtful = self.doubtful | self.tables.unreadable
        for each in self._unnamed:
            if each.site_no in doubtful if each.site_no is not None else doubtful:
                undecided_count += 1
            else:
                self.faults.add("orphan", f"{each.database} {each.key.hex()}", each.what, CURE_ORPHAN)
                self.orphans.append(each)
        if undecided_count:
            what = f"named by nothing that can be read: {undecided_count}; they may be of the damaged records above"
            self.faults.add("undecided", "rows", what, CURE_UNDECIDED)


def read_deployment_row(snapshot: Snapshot, key: bytes, value: bytes) -> tuple[Deployment | None, str]:
    """The record, or None and what is wrong with it: it can't be read, or it contradicts its key or its id's row."""
    try:
        deployment = decode_record(Deployment, value)
    except RecordUnreadable as error:
        return None, str(error)
    if key != deployment_key(deployment.site_no, deployment.seq):
        return None, f"says that it is number {deployment.seq} of site {deployment.site_no}"
    try:
        leads_to = snapshot.get(Database.DEPLOYMENT_IDS, bytes.fromhex(deployment.id))
    except ValueError:
        leads_to = None
    return (deployment, "") if leads_to == key else (None, f"its id {deployment.id} doesn't lead to it")


def claimed_site(value: bytes) -> int:
    """The site that a deployment's record says it is of, whatever its key says; else 0, which none has."""
    try:
        return decode_record(Deployment, value).site_no
    except RecordUnreadable:
        return 0


def site_of_route(value: bytes) -> int | None:
    try:
        return Pipeline.parse(value).site_no
    except PipelineUnreadable:
        return None
