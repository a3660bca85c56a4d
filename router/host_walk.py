"""Every hostname that the store's records call for, row by row, so that a walk over millions can stop and go on.

    sites → its production host and custom domains     deployments → each one's own     aliases → each one's

A record that can't be read, or whose site is gone, calls for no host; whoever counts routes against this walk finds
what is left over.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot
from router.records import Alias, Deployment, RecordUnreadable, Site, decode_record
from router.site_names import SiteNames

WALKED: Final = (Database.SITES, Database.DEPLOYMENTS, Database.ALIASES)


@dataclass(frozen=True, slots=True)
class Place:
    """How far a walk has come: past `after` in that database."""

    database: Database
    after: bytes = b""

    def next_database(self) -> "Place | None":
        """The beginning of the one after; None when this was the last."""
        at = WALKED.index(self.database) + 1
        return Place(WALKED[at]) if at < len(WALKED) else None

    def encode(self) -> bytes:
        return self.database.encode() + b":" + self.after

    @classmethod
    def parse(cls, value: bytes) -> "Place":
        """The beginning, for anything but what `encode` writes: walking again does no harm."""
        name, _, after = value.partition(b":")
        found = next((database for database in WALKED if database.encode() == name), None)
        return cls(found, after) if found is not None else BEGINNING


BEGINNING: Final = Place(WALKED[0])


@dataclass(slots=True)
class HostWalk:
    """A walk within one snapshot."""

    snapshot: Snapshot
    names: SiteNames
    _site_no: int = field(default=0, init=False)
    _site_name: str | None = field(default=None, init=False)

    def rows(self, place: Place) -> Iterator[tuple[Place, tuple[Hostname, ...]]]:
        """From `place` to the end of its database: where each row leaves the walk, and the row's hosts."""
        for key, value in self.snapshot.scan(place.database, after=place.after):
            try:
                hostnames = self._hostnames(place.database, value)
            except RecordUnreadable:
                hostnames = ()
            yield Place(place.database, key), hostnames

    def of_site(self, site: Site) -> Iterator[Hostname]:
        """One site's: its production host and domains first."""
        prefix = SITE_NO.pack(site.site_no)
        yield self.names.production(site.name)
        yield from (Hostname(name) for name in site.domains)
        for database in (Database.DEPLOYMENTS, Database.ALIASES):
            for _, value in self.snapshot.scan(database, prefix=prefix):
                with suppress(RecordUnreadable):
                    yield from self._hostnames(database, value)

    def everything(self) -> Iterator[Hostname]:
        place: Place | None = BEGINNING
        while place is not None:
            for _, hostnames in self.rows(place):
                yield from hostnames
            place = place.next_database()

    def _hostnames(self, database: Database, value: bytes) -> tuple[Hostname, ...]:
        if database is Database.SITES:
            site = decode_record(Site, value)
            return (self.names.production(site.name), *(Hostname(name) for name in site.domains))
        if database is Database.DEPLOYMENTS:
            deployment = decode_record(Deployment, value)
            name = self._name_of(deployment.site_no)
            return (self.names.deployment(name, deployment.short_id),) if name is not None else ()
        alias = decode_record(Alias, value)
        name = self._name_of(alias.site_no)
        return (self.names.alias(name, alias.slug),) if name is not None else ()

    def _name_of(self, site_no: int) -> str | None:
        """Rows of one site lie together, so that the last name is nearly always the one."""
        if site_no != self._site_no:
            value = self.snapshot.get(Database.SITES, SITE_NO.pack(site_no))
            self._site_name = decode_record(Site, value).name if value is not None else None
            self._site_no = site_no
        return self._site_name
