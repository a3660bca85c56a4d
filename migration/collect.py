"""From sites to rows that are ready to be written: each host of a table, hashed, with the pipeline that it leads to.

Reads only, one snapshot a chunk of sites. A host counts for a site where requests would find it: below the site's own
name, or as its custom domain. A host that isn't the site's leaves a claim among the rows, so that a host in two sites'
tables is found out when the rows of one key come together, whichever site is right.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from migration.failures import Failure
from migration.invert import Inverted, NotInverted, invert_table
from migration.runs import CLAIM, RunBuilder, claim_of
from router.hashing import KeyRing
from router.hostname import Hostname, HostRefused
from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot
from router.pipeline import Pipeline, PipelineUnreadable
from router.records import CustomDomain, RecordUnreadable, Site, decode_record
from router.site_names import SiteNames

PLAIN_LABEL: Final = re.compile(r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A label that `Hostname.parse` takes as it is; others are asked of it. Two hyphens there mark IDNA."""
CLAIMS_MAX: Final = 100_000
"""So many hosts that two tables may name are remembered for whoever reads one of the tables alone."""


@dataclass(slots=True)
class Collection:
    """What some sites' tables came to. `claims` are (route key, site number) of hosts that aren't the site's, the first
    CLAIMS_MAX of them."""

    filters_count: int = 0
    claims: list[tuple[bytes, int]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Collector:
    """Hashes under `keys`, of which there is one: a job and a key rotation don't run together."""

    snapshot: Snapshot
    keys: KeyRing
    names: SiteNames

    def collect(self, site_nos: Iterable[int], runs: RunBuilder) -> Collection:
        collection = Collection()
        for site_no in site_nos:
            self._collect_site(site_no, runs, collection)
        return collection

    def _collect_site(self, site_no: int, runs: RunBuilder, collection: Collection) -> None:
        table = self.snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
        if table is None:
            return
        site = read_site(self.snapshot, site_no)
        if site is None:
            collection.filters_count += 1
            collection.failures.append(Failure(site_no, "table", "no readable record of the site goes with it"))
            return
        rows = SiteRows(self.snapshot, self.names, site)
        for each in invert_table(table):
            collection.filters_count += 1
            found = rows.row_of(each)
            if isinstance(found, Failure):
                collection.failures.append(found)
            else:
                host, value = found
                key = self.keys.route_key(Hostname(host))
                runs.add(key, value)
                if value.startswith(CLAIM) and len(collection.claims) < CLAIMS_MAX:
                    collection.claims.append((key, site_no))


@dataclass(slots=True)
class SiteRows:
    """One site's filters as (host, value of its route), or as failures."""

    snapshot: Snapshot
    names: SiteNames
    site: Site
    _suffix: str = field(init=False)
    _sound: dict[bytes, str | None] = field(default_factory=dict)
    """Why a pipeline's bytes can't be used, or None; deployments of one site often share them."""

    def __post_init__(self) -> None:
        self._suffix = "." + self.names.production(self.site.name).name

    def row_of(self, each: Inverted | NotInverted) -> tuple[str, bytes] | Failure:
        if isinstance(each, NotInverted):
            return Failure(self.site.site_no, each.what, each.reason)
        if not self.owns(each.host):
            return each.host, claim_of(self.site.site_no)
        value = self.snapshot.get(Database.PIPELINES, each.script_hash.encode("ascii", "replace"))
        problem = f"script hash {each.script_hash[:64]} names no pipeline" if value is None else self._problem_of(value)
        if value is None or problem is not None:
            return Failure(self.site.site_no, each.host, problem or "")
        return each.host, value

    def owns(self, host: str) -> bool:
        """Whether requests for the host come to this site."""
        label, suffix = host[: -len(self._suffix)], host[-len(self._suffix) :]
        if suffix == self._suffix and PLAIN_LABEL.fullmatch(label):
            return True
        if host == self._suffix[1:]:
            return True
        try:
            hostname = Hostname.parse(host.encode("ascii"))
        except (HostRefused, UnicodeEncodeError):
            return False
        if hostname.name != host:
            return False
        split = self.names.split(hostname)
        if split is not None:
            return split[0] == self.site.name
        return not self.names.is_below_pages_domain(hostname) and self._is_own_domain(host)

    def _is_own_domain(self, host: str) -> bool:
        value = self.snapshot.get(Database.DOMAINS, host.encode("ascii"))
        try:
            return value is not None and decode_record(CustomDomain, value).site_no == self.site.site_no
        except RecordUnreadable:
            return False

    def _problem_of(self, value: bytes) -> str | None:
        if value not in self._sound:
            self._sound[value] = self._examine(value)
        return self._sound[value]

    def _examine(self, value: bytes) -> str | None:
        try:
            pipeline = Pipeline.parse(value)
        except PipelineUnreadable as error:
            return str(error)
        if pipeline.site_no != self.site.site_no:
            return f"its pipeline belongs to site {pipeline.site_no}"
        return None


def read_site(snapshot: Snapshot, site_no: int) -> Site | None:
    value = snapshot.get(Database.SITES, SITE_NO.pack(site_no))
    try:
        return decode_record(Site, value) if value is not None else None
    except RecordUnreadable:
        return None
