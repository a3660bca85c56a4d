"""Writes the legacy scheme beside the hashed one: every change of a site's routes, in the transaction that makes it.

A table is one value, which is written whole for each change, as it always was. So the changes of a transaction are
gathered, and each site's table is written once, as the last of the transaction. While a site's dual write is off its
table isn't kept up to date, and doesn't serve by the legacy scheme; but what is deleted leaves it even then, since a
host without a route is still looked up there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from control_plane.catalogue import aliases_of, deployment_values_newest_first, outline_of, read_deployment
from router.hashed import read_route
from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.store import Snapshot, Transaction
from router.legacy import TableUnusable, read_pipeline, read_site_record
from router.legacy_table import (
    Filter,
    TableRefused,
    cut_out,
    edit_table,
    find_filter,
    parse_table,
    render_table,
    script_hash_of,
)
from router.pipeline import Pipeline
from router.records import Deployment, Site
from router.site_names import SiteNames


@dataclass(slots=True)
class TableEdits:
    """The changes of one transaction, until `write`. None takes a host out."""

    transaction: Transaction
    keys: KeyRing
    names: SiteNames
    _by_site: dict[int, dict[str, Pipeline | None]] = field(default_factory=dict)

    def put(self, hostname: Hostname, pipeline: Pipeline) -> None:
        self._note(pipeline.site_no, hostname, pipeline)

    def drop(self, site_no: int, hostname: Hostname) -> None:
        self._note(site_no, hostname, None)

    def _note(self, site_no: int, hostname: Hostname, pipeline: Pipeline | None) -> None:
        if not self._by_site:
            self.transaction.before_commit(self.write)
        self._by_site.setdefault(site_no, {})[hostname.name] = pipeline

    def write(self) -> None:
        for site_no, edits in self._by_site.items():
            site = read_site_record(self.transaction, site_no)
            table = self.transaction.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
            if site is None:
                drop_table(self.transaction, site_no, table)
            elif site.dual_write:
                self._put_edited(site, table, edits)
            elif table is not None:
                gone = {host: None for host, pipeline in edits.items() if pipeline is None}
                if gone:
                    self._put_edited(site, table, gone)
        self._by_site.clear()

    def _put_edited(self, site: Site, table: bytes | None, edits: Mapping[str, Pipeline | None]) -> None:
        """A table that isn't there, or can't be edited, is made anew from the records; while dual write is off, what is
        deleted is cut out of it as it lies there."""
        try:
            if table is None:
                raise TableRefused("there's none yet")
            replaced = {found.script_hash for host in edits if (found := find_filter(table, host)) is not None}
            hashes = {host: script_hash_of(each) if each is not None else None for host, each in edits.items()}
            edited = edit_table(table, hashes)
        except TableRefused:
            if site.dual_write:
                rebuild_table(self.transaction, self.keys, self.names, site)
            elif table is not None:
                left, cut = cut_out(table, edits.keys())
                put_table(self.transaction, site.site_no, left, replaced=cut)
            return
        for pipeline in edits.values():
            if pipeline is not None:
                put_pipeline(self.transaction, pipeline)
        put_table(self.transaction, site.site_no, edited, replaced=replaced)


def put_pipeline(transaction: Transaction, pipeline: Pipeline) -> str:
    """Its script hash. A record never changes, so that one which is another was damaged."""
    script_hash = script_hash_of(pipeline)
    put_pipeline_as(transaction, script_hash, pipeline)
    return script_hash


def put_pipeline_as(transaction: Transaction, script_hash: str, pipeline: Pipeline) -> None:
    key, value = script_hash.encode("ascii"), pipeline.encode()
    if transaction.get(Database.PIPELINES, key) != value:
        transaction.put(Database.PIPELINES, key, value)


def put_table(transaction: Transaction, site_no: int, table: bytes, *, replaced: set[str]) -> None:
    """`replaced` are script hashes of the table until now: what the new one doesn't name goes. They are one site's,
    since a pipeline names its site."""
    transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(site_no), table)
    for script_hash in replaced:
        if b'"%b"' % script_hash.encode("ascii") not in table:
            transaction.delete(Database.PIPELINES, script_hash.encode("ascii"))


def drop_table(transaction: Transaction, site_no: int, table: bytes | None) -> None:
    """The table with its pipelines."""
    if table is not None:
        for script_hash in script_hashes_of(table):
            transaction.delete(Database.PIPELINES, script_hash.encode("ascii"))
        transaction.delete(Database.LEGACY_TABLES, SITE_NO.pack(site_no))


def rebuild_table(transaction: Transaction, keys: KeyRing, names: SiteNames, site: Site) -> int:
    """The site's table from its records and routes; how many filters it has."""
    before = transaction.get(Database.LEGACY_TABLES, SITE_NO.pack(site.site_no))
    hosts = dict(hosts_of(transaction, keys, names, site))
    hashes = {pipeline: put_pipeline(transaction, pipeline) for pipeline in set(hosts.values())}
    table = render_table(Filter(hostname.name, hashes[pipeline]) for hostname, pipeline in hosts.items())
    put_table(transaction, site.site_no, table, replaced=script_hashes_of(before) if before is not None else set())
    return len(hosts)


def hosts_of(snapshot: Snapshot, keys: KeyRing, names: SiteNames, site: Site) -> Iterator[tuple[Hostname, Pipeline]]:
    """Every host of a site with what it shows. A deployment's own host is as its record says; one that changes is as
    its route says, or without one its filter: they alone name the assets that it keeps."""
    table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site.site_no))

    def shown(hostname: Hostname, deployment: Deployment, *, is_preview: bool) -> Pipeline:
        by_record = Pipeline(site.site_no, deployment.manifest, deployment.bundle, is_preview=is_preview)
        route = read_route(snapshot, keys, hostname)
        return route or in_table(snapshot, table, site.site_no, hostname) or by_record

    for value in deployment_values_newest_first(snapshot, site.site_no):
        outline = outline_of(value)
        pipeline = Pipeline(site.site_no, outline.manifest, outline.bundle, is_preview=True)
        yield names.deployment(site.name, outline.id[:8]), pipeline
    for alias in aliases_of(snapshot, site.site_no):
        hostname = names.alias(site.name, alias.slug)
        yield hostname, shown(hostname, read_deployment(snapshot, site.site_no, alias.pointer.seq), is_preview=True)
    if site.production is not None:
        deployment = read_deployment(snapshot, site.site_no, site.production.seq)
        for hostname in (names.production(site.name), *(Hostname(name) for name in site.domains)):
            yield hostname, shown(hostname, deployment, is_preview=False)


def shown_in_table(snapshot: Snapshot, site_no: int, hostname: Hostname) -> Pipeline | None:
    """What a host shows that has no route (yet), as far as the site's table can be read."""
    return in_table(snapshot, snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no)), site_no, hostname)


def in_table(snapshot: Snapshot, table: bytes | None, site_no: int, hostname: Hostname) -> Pipeline | None:
    try:
        found = find_filter(table, hostname.name) if table is not None else None
        return read_pipeline(snapshot, site_no, found.script_hash) if found is not None else None
    except (TableRefused, TableUnusable):
        return None


def script_hashes_of(table: bytes) -> set[str]:
    """As far as it can be read."""
    hashes = set()
    try:
        for each in parse_table(table):
            hashes.add(each.script_hash)
    except TableRefused:
        pass
    return hashes
