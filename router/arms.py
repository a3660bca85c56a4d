"""Hosts whose way is chosen request by request: by legacy, by a split, with a comparison, or with a word on the timing.

Plain hashed hosts never come here. For the others a decision holds what the hashed scheme says (or, where that has
nothing, what the site's table says when it is looked up rather than run), and each request picks its arm.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from time import perf_counter_ns
from typing import Final

from lru import LRU

from router.event_log import event_log
from router.hostname import Hostname
from router.legacy import Found, LegacyTables, TableOutrun, TableUnusable, subject_of
from router.metrics.catalogue import FALLBACKS, SHADOW_DIFFERENCES, SHADOWS, TABLE_FAULTS
from router.metrics.meter import EdgeMeter
from router.pipeline import Pipeline
from router.policy import BUCKETS, Policy, RuleName, Scheme, SiteRule
from router.shadow import Compared, Difference, Shadow

COOKIE: Final = b"onehop_bucket"
COOKIE_AGE_S: Final = 30 * 24 * 60 * 60
LOGGED_MAX: Final = 1_024
FAULTS_LOGGED_MAX: Final = 16
"""Of one version of a site's table; all are counted."""
NANOSECONDS_PER_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a request goes. `scheme` is how that was found and `rule` what chose it; `route_keys` are the host's hashes
    under every live key. `target` is what the legacy scheme took for the request's target, None: the request's own."""

    hostname: Hostname
    pipeline: Pipeline
    route_keys: tuple[bytes, ...]
    scheme: Scheme = Scheme.HASHED
    rule: RuleName = RuleName.DEFAULT
    target: bytes | None = None


@dataclass(frozen=True, slots=True)
class ByRequest:
    """A host's decision that leaves the last word to each request. `known` is the hashed scheme's."""

    hostname: Hostname
    site_no: int
    rule: SiteRule
    known: Resolved
    tells_timing: bool

    @property
    def route_keys(self) -> tuple[bytes, ...]:
        return self.known.route_keys


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request may decide over its arm. `host` and `target` as received; `client` is its address."""

    host: bytes
    target: bytes
    client: str
    headers: Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Settled:
    """A request's way, and the fields that its answer gets because of it."""

    route: Resolved
    fields: tuple[tuple[bytes, bytes], ...] = ()


class Arms:
    """One process's legacy tables and comparisons. `on_difference` is called for each that is found."""

    def __init__(
        self, tables: LegacyTables, meter: EdgeMeter, shadow: Shadow, *, on_difference: Callable[[Difference], None]
    ) -> None:
        self.tables = tables
        self._meter = meter
        self._on_difference = on_difference
        self._logged: LRU[str, bool] = LRU(LOGGED_MAX)
        self._faults_logged: LRU[int, frozenset[str]] = LRU(LOGGED_MAX)
        self._shadow = shadow

    def settle(self, route: ByRequest, asked: Asked, policy: Policy) -> Settled:
        """Raises StoreError."""
        started_ns = perf_counter_ns()
        split = route.rule.split
        bucket = kept = None
        scheme = route.rule.scheme
        if split is not None:
            kept = bucket_in_cookie(asked.headers) if split.cookie else None
            bucket = kept if kept is not None else policy.client_bucket(asked.client)
            scheme = split.arm(bucket)
        served = self._by_legacy(route, scheme, asked) if scheme.is_legacy else route.known
        resolved_ns = perf_counter_ns()
        if scheme.is_legacy:
            self._meter.resolved(scheme, resolved_ns - started_ns)
        if self._shadow.is_due(policy.shadow_percent):
            self._compare(route, served, asked)
        fields = []
        if route.tells_timing:
            duration_ms = (resolved_ns - started_ns) / NANOSECONDS_PER_MS
            fields.append((b"server-timing", b'onehop;dur=%.3f;desc="%b"' % (duration_ms, served.scheme.encode())))
        if split is not None and split.cookie and kept is None:
            assert bucket is not None, "a split has dealt this client"
            value = b"%b=%d; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % (COOKIE, bucket, COOKIE_AGE_S)
            fields.append((b"set-cookie", value))
        return Settled(served, tuple(fields))

    def look_up(self, hostname: Hostname, site_no: int) -> Pipeline | None:
        """For a host without a route: what its site's table has for it. Raises TableUnusable, StoreError."""
        try:
            pipeline = self.tables.look_up(site_no, hostname.name)
        except TableUnusable as error:
            self.note_fault(error)
            raise
        if pipeline is not None:
            self._meter.add(FALLBACKS, "legacy")
        return pipeline

    def note_damage(self, hostname: Hostname, reason: str) -> None:
        """A route that couldn't be read, where the table has stood in."""
        if hostname.name not in self._logged:
            self._logged[hostname.name] = True
            event_log().error("route.damaged", host=hostname.name, what=reason, cure="run 'onehop check --repair'")

    def note_fault(self, error: TableUnusable) -> None:
        self._meter.add(TABLE_FAULTS)
        logged = self._faults_logged.get(error.site_no, frozenset())
        if error.reason not in logged and len(logged) < FAULTS_LOGGED_MAX:
            self._faults_logged[error.site_no] = logged | {error.reason}
            event_log().error(
                "table.unusable", site_no=error.site_no, what=str(error), cure="run 'onehop check --repair'"
            )

    def forget(self, site_nos: Collection[int]) -> None:
        """These sites have changed: what is wrong with one from now on is told anew."""
        for site_no in site_nos:
            self._faults_logged.pop(site_no, None)
        self.tables.forget(site_nos)

    def clear(self) -> None:
        self._faults_logged.clear()
        self.tables.clear()

    def _by_legacy(self, route: ByRequest, scheme: Scheme, asked: Asked) -> Resolved:
        """What the table says. Where it can't be used or isn't kept up to date, or has no such host: what is known."""
        try:
            found = self._run(route, scheme, asked)
        except TableUnusable as error:
            self.note_fault(error)
            found = None
        if found is None:
            self._meter.add(FALLBACKS, "hashed")
            return replace(route.known, rule=route.rule.name)
        return found

    def _run(self, route: ByRequest, scheme: Scheme, asked: Asked) -> Resolved | None:
        """Raises TableUnusable, StoreError."""
        table = self.tables.table_of(route.site_no)
        if table.problem is None and not table.is_written:
            return None
        subject = subject_of(asked.host, route.hostname.name, asked.target)
        try:
            found = self.tables.find(table, scheme, subject)
        except TableOutrun as outrun:
            table_now = self.tables.look_afresh(outrun)
            if table_now is None:
                raise
            found = self.tables.find(table_now, scheme, subject)
        if found is None:
            return None
        return Resolved(route.hostname, found.pipeline, route.route_keys, scheme, route.rule.name, found.target)

    # -- comparing -----------------------------------------------------------------------------------------------

    def _compare(self, route: ByRequest, served: Resolved, asked: Asked) -> None:
        """The other way than the one that is served. A host that waits to be migrated has just one, as has a site whose
        table isn't kept up to date: both are counted elsewhere."""
        table = self.tables.table_of(route.site_no)
        if route.known.scheme.is_legacy or not (table.is_written or table.problem is not None):
            return
        self._meter.add(SHADOWS)
        legacy: Found | TableUnusable | None
        try:
            by_table = served if served.scheme.is_legacy else self._run(route, Scheme.LEGACY, asked)
            legacy = Found(by_table.pipeline, by_table.target or asked.target) if by_table is not None else None
        except TableUnusable as error:
            legacy = error
        compared = Compared(
            route.hostname, route.site_no, served.scheme, route.known.pipeline, legacy, target=asked.target
        )
        difference = self._shadow.confirmed(compared, subject_of(asked.host, route.hostname.name, asked.target))
        if difference is not None:
            self._meter.add(SHADOW_DIFFERENCES)
            self._on_difference(difference)


def bucket_in_cookie(headers: Sequence[tuple[bytes, bytes]]) -> int | None:
    """The bucket that a client was given before; None for none, and for what was never given."""
    for name, value in headers:
        if name == b"cookie":
            for pair in value.split(b";"):
                key, _, number = pair.strip().partition(b"=")
                if key == COOKIE and number.isdigit() and len(number) <= len(str(BUCKETS)) and int(number) < BUCKETS:
                    return int(number)
    return None
