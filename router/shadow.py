"""Shadow compare: would the scheme that doesn't serve this request have led it elsewhere?

What a request is served by may be of two commits: a decision may be LOOK_EVERY_S old while the site's table was read
a moment ago. So what looks like a difference is one only where nothing has changed since the last look, or where both
schemes still differ when they are looked up afresh, within one snapshot.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from router.hashed import find_route
from router.hashing import KeyRing
from router.hostname import Hostname
from router.key_files import KeysRefused
from router.kv.feed_reader import last_seq
from router.kv.snapshot import Snapshot
from router.kv.store import Store
from router.legacy import Found, TableUnusable, find_afresh, read_site_table
from router.pipeline import Pipeline, PipelineUnreadable
from router.policy import PERCENT_MAX, Scheme

PIPELINES_DIFFER: Final = "the pipelines differ"
NO_SUCH_HOST: Final = "the table has no such host"
ANOTHER_PATH: Final = "the table takes another path"


@dataclass(frozen=True, slots=True)
class Difference:
    """A request that the two schemes would answer differently; pipelines as they are stored."""

    host: str
    site_no: int
    served: Scheme
    hashed: str
    legacy: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One request, by both schemes. `legacy` is what the table has for it, or why it can't be used."""

    hostname: Hostname
    site_no: int
    served: Scheme
    hashed: Pipeline
    legacy: Found | TableUnusable | None
    target: bytes

    def difference(self) -> Difference | None:
        found = self.legacy if isinstance(self.legacy, Found) else None
        if isinstance(self.legacy, TableUnusable):
            reason = str(self.legacy)
        elif found is None:
            reason = NO_SUCH_HOST
        elif found.target != self.target:
            reason = ANOTHER_PATH
        elif found.pipeline != self.hashed:
            reason = PIPELINES_DIFFER
        else:
            return None
        return Difference(
            host=self.hostname.name,
            site_no=self.site_no,
            served=self.served,
            hashed=self.hashed.encode().decode("ascii"),
            legacy=found.pipeline.encode().decode("ascii") if found is not None else None,
            reason=reason,
        )


class Shadow:
    """Which requests are compared, and what of it is a difference. `seen_seq` is the feed's last entry that what is
    cached has taken in; `live_keys` are those that a snapshot's routes lie under."""

    def __init__(self, store: Store, *, seen_seq: Callable[[], int], live_keys: Callable[[Snapshot], KeyRing]) -> None:
        self._store = store
        self._seen_seq = seen_seq
        self._live_keys = live_keys
        self._due = 0.0

    def is_due(self, percent: float) -> bool:
        """Every so-and-so-manieth request, so that a share needs no dice."""
        self._due += percent
        if self._due < PERCENT_MAX:
            return False
        self._due -= PERCENT_MAX
        return True

    def confirmed(self, compared: Compared, subject: bytes) -> Difference | None:
        """Raises StoreError."""
        difference = compared.difference()
        if difference is None:
            return None
        with self._store.read() as snapshot:
            if last_seq(snapshot) == self._seen_seq():
                return difference  # whatever was cached or read, it is of this commit
            afresh = self._afresh(snapshot, compared, subject)
        return afresh.difference() if afresh is not None else None

    def _afresh(self, snapshot: Snapshot, compared: Compared, subject: bytes) -> Compared | None:
        """None where there is nothing to compare (any more); a route that can't be read is told of where it serves."""
        try:
            value = find_route(snapshot, self._live_keys(snapshot).route_keys(compared.hostname))
            hashed = Pipeline.parse(value) if value is not None else None
        except (KeysRefused, PipelineUnreadable):
            return None
        table = read_site_table(snapshot, compared.site_no)
        if hashed is None or hashed.site_no != compared.site_no or not (table.is_written or table.problem is not None):
            return None
        legacy: Found | TableUnusable | None
        try:
            legacy = find_afresh(snapshot, table, subject)
        except TableUnusable as error:
            legacy = error
        return replace(compared, hashed=hashed, legacy=legacy)
