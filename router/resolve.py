"""From raw Host bytes to a decision: a cached one, or one keyed-hash look-up and a word of the policy.

Known hosts are cached by the bytes that clients send. Unknown ones are cached apart, so that a flood of names can't
push real hosts out; nor can a flood of one host's spellings (case, ports), of which few are kept. The change feed
evicts what a deploy changed. With nothing changed a request costs one dict look-up and, at most every LOOK_EVERY_S,
one read of the store's last transaction id.

A decision is made within one snapshot: the live keys, by the store's word, and the route under them are of one commit.
What is cached may be LOOK_EVERY_S old. Most decisions are `Resolved`, and final. Where the policy wants legacy, a
split, a comparison or a word on the timing, a decision is `ByRequest`, which `settle` brings to its end.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final

from lru import LRU

from router.arms import Arms, Asked, ByRequest, Resolved, Settled
from router.event_log import event_log
from router.hashed import find_route, live_ring
from router.hashing import KeyRing
from router.hostname import Hostname, HostRefused
from router.key_files import RING_KEY, KeysRefused
from router.kv.errors import StoreDamaged, StoreError
from router.kv.feed import EVERYTHING_CHANGED
from router.kv.feed_reader import FeedReader
from router.kv.schema import SITE_NO, Database
from router.kv.store import Snapshot, Store
from router.legacy import LegacyTables, TableUnusable
from router.metrics.catalogue import (
    DAMAGED_ROUTES,
    DECISION_HITS,
    DECISION_MISSES,
    DECISIONS_CACHED,
    EVICTIONS,
    FEED_SEQ,
    RELOADS,
    UNKNOWN_CACHED,
    UNKNOWN_HITS,
    UNKNOWN_HOSTS,
    cell,
)
from router.metrics.meter import EdgeMeter
from router.pipeline import Pipeline, PipelineUnreadable
from router.policy import Policy, Scheme, SiteRule
from router.policy_record import PolicyUnreadable, read_policy
from router.records import CustomDomain, RecordUnreadable, decode_record
from router.shadow import Difference, Shadow
from router.site_names import SiteNames

__all__ = ["Asked", "ByRequest", "Resolved", "Resolver", "RouteDamaged", "Settled", "Unknown"]

KNOWN_MAX: Final = 32_768  # about 25 MB when full
UNKNOWN_MAX: Final = 10_000
SPELLINGS_MAX: Final = 8  # of one host: its name with and without a port is what browsers send
LOOK_EVERY_S: Final = 0.02

HITS: Final = cell(DECISION_HITS)
MISSES: Final = cell(DECISION_MISSES)
CACHED: Final = cell(DECISIONS_CACHED)
UNKNOWN: Final = cell(UNKNOWN_HITS)


class RouteDamaged(Exception):
    """A stored route can't be read. That host's requests fail; nothing of it is cached."""

    def __init__(self, hostname: Hostname, reason: str) -> None:
        super().__init__(f"the route of {hostname.name} can't be read: {reason}")
        self.hostname = hostname


@dataclass(frozen=True, slots=True)
class Unknown:
    """There's no route. `is_below_pages_domain`: it can only be a site's own, never a custom domain; `site`, whose it
    would be."""

    hostname: Hostname
    is_below_pages_domain: bool = False
    site: str | None = None


class Resolver:
    """One process's decisions. `read_keys` reads the key ring's file; it is asked again when the live keys change.

    `dc` is the label of the data centre that this edge is in.
    """

    def __init__(
        self,
        store: Store,
        *,
        read_keys: Callable[[], KeyRing],
        names: SiteNames,
        dc: str,
        now_s: Callable[[], float],
        meter: EdgeMeter,
        on_difference: Callable[[Difference], None] = lambda _: None,
    ) -> None:
        """Raises KeysRefused."""
        self._store = store
        self._read_keys = read_keys
        self._names = names
        self._dc = dc
        self._now_s = now_s
        self._meter = meter
        self._cells = meter.cells
        self._feed = FeedReader(store)
        self.look_at_s = 0.0
        self.generation = 0
        self._spellings: dict[bytes, tuple[bytes, ...]] = {}
        self._known: LRU[bytes, Resolved | ByRequest] = LRU(KNOWN_MAX, callback=self._forget_spelling)
        self._unknown: LRU[bytes, Unknown] = LRU(UNKNOWN_MAX)
        self._hosts_by_table: dict[int, set[bytes]] = {}
        shadow = Shadow(store, seen_seq=lambda: self._feed.seq, live_keys=self._live_keys)
        self.arms = Arms(LegacyTables(store, meter), meter, shadow, on_difference=on_difference)
        self.policy = Policy()
        with store.read() as snapshot:
            self._live_ids = snapshot.get(Database.META, RING_KEY)
            self._keys = live_ring(snapshot, read_keys())
        self._take_policy()
        self._meter.put(FEED_SEQ, self._feed.seq)

    def resolve(self, host: bytes) -> Resolved | ByRequest | Unknown:
        """Raises HostRefused, RouteDamaged, StoreError."""
        self.follow(self._now_s())
        known: Resolved | ByRequest | None = self._known.get(host)
        if known is not None:
            self._cells[HITS] += 1
            return known
        unknown: Unknown | None = self._unknown.get(host)
        if unknown is not None:
            self._cells[UNKNOWN] += 1
            return unknown
        return self._decide(host)

    def follow(self, now_s: float) -> None:
        """Takes in what the store has changed, where the last look is LOOK_EVERY_S ago: before `look_at_s` it does
        nothing. Each change makes a new `generation`; what was resolved in one holds until the next."""
        if now_s >= self.look_at_s:
            self.look_at_s = now_s + LOOK_EVERY_S
            self._follow()

    def peek(self, host: bytes) -> Resolved | ByRequest | None:
        """The cached decision, if there is one; not counted as a request's."""
        decision: Resolved | ByRequest | None = self._known.get(host)
        return decision

    def decide_by_route(self, host: bytes) -> Resolved | ByRequest | None:
        """The decision of a host that isn't cached, if a route says it. None, with nothing counted or kept, where more
        is to be looked at: no route, damage, a host that can't be one. For that there's `resolve`."""
        if host in self._unknown:
            return None
        started_ns = perf_counter_ns()
        try:
            hostname = Hostname.parse(host)
            with self._store.read() as snapshot:
                route_keys = self._live_keys(snapshot).route_keys(hostname)
                value = find_route(snapshot, route_keys)
            if value is None:
                return None
            pipeline = Pipeline.parse(value)
        except (HostRefused, KeysRefused, PipelineUnreadable, StoreError):
            return None
        self._cells[MISSES] += 1
        return self._decided_by_route(host, hostname, pipeline, route_keys, started_ns)

    def settle(self, route: ByRequest, asked: Asked) -> Settled:
        """One request's way, where its host's decision leaves that open. Raises StoreError."""
        return self.arms.settle(route, asked, self.policy)

    def forget(self, host: bytes) -> None:
        """Makes the next request of this host look afresh."""
        self.generation += 1
        known = self._known.get(host)
        if known is not None:
            self._evict(known.route_keys)
            if isinstance(known, ByRequest):
                self.arms.tables.forget((known.site_no,))
        self._unknown.pop(host, None)

    # -- deciding ------------------------------------------------------------------------------------------------

    def _decide(self, host: bytes) -> Resolved | ByRequest | Unknown:
        self._cells[MISSES] += 1
        started_ns = perf_counter_ns()
        hostname = Hostname.parse(host)
        pipeline, damage = None, None
        try:
            with self._store.read() as snapshot:
                route_keys = self._live_keys(snapshot).route_keys(hostname)
                value = find_route(snapshot, route_keys)
                try:
                    pipeline = Pipeline.parse(value) if value is not None else None
                except PipelineUnreadable as error:
                    damage = str(error)
                site_no = pipeline.site_no if pipeline is not None else find_site_no(snapshot, self._names, hostname)
        except (KeysRefused, StoreDamaged) as error:
            self._meter.add(DAMAGED_ROUTES)
            raise RouteDamaged(hostname, str(error)) from None
        if pipeline is not None:
            return self._decided_by_route(host, hostname, pipeline, route_keys, started_ns)
        fallback = self._by_table(hostname, site_no, damage)
        if fallback is None:
            self._meter.add(UNKNOWN_HOSTS)
            unknown = self._unknown[host] = self._unknown_host(hostname)
            self._meter.put(UNKNOWN_CACHED, len(self._unknown))
            return unknown
        rule = self.policy.rule_of(site_no, self._dc)
        known = Resolved(hostname, fallback, route_keys, Scheme.LEGACY, rule.name)
        decision = self._decision(known, rule)
        if damage is None:
            self._remember(host, decision)
        self._meter.resolved(known.scheme, perf_counter_ns() - started_ns)
        return decision

    def _decided_by_route(
        self, host: bytes, hostname: Hostname, pipeline: Pipeline, route_keys: tuple[bytes, ...], started_ns: int
    ) -> Resolved | ByRequest:
        rule = self.policy.rule_of(pipeline.site_no, self._dc)
        decision = self._decision(Resolved(hostname, pipeline, route_keys, Scheme.HASHED, rule.name), rule)
        self._remember(host, decision)
        self._meter.resolved(Scheme.HASHED, perf_counter_ns() - started_ns)
        return decision

    def _unknown_host(self, hostname: Hostname) -> Unknown:
        named = self._names.split(hostname)
        site = named[0] if named is not None else None
        return Unknown(hostname, self._names.is_below_pages_domain(hostname), site)

    def _decision(self, known: Resolved, rule: SiteRule) -> Resolved | ByRequest:
        site_no = known.pipeline.site_no
        tells_timing = self.policy.tells_timing(site_no)
        is_plain = rule.split is None and not rule.scheme.is_legacy
        if is_plain and not tells_timing and not self.policy.shadow_percent:
            return known
        return ByRequest(known.hostname, site_no, rule, known, tells_timing)

    def _by_table(self, hostname: Hostname, site_no: int | None, damage: str | None) -> Pipeline | None:
        """For a host without a route, or with one that is damaged. Raises RouteDamaged where nothing else helps."""
        reason = damage
        pipeline = None
        if site_no is not None:
            try:
                if damage is None or self.arms.tables.table_of(site_no).is_written:
                    pipeline = self.arms.look_up(hostname, site_no)
            except TableUnusable as error:
                reason = f"{reason}; {error}" if reason is not None else str(error)
        if reason is not None:
            self._meter.add(DAMAGED_ROUTES)
            if pipeline is None:
                raise RouteDamaged(hostname, reason)
            self.arms.note_damage(hostname, reason)
        return pipeline

    def _live_keys(self, snapshot: Snapshot) -> KeyRing:
        live_ids = snapshot.get(Database.META, RING_KEY)
        if live_ids != self._live_ids:
            self._keys = live_ring(snapshot, self._read_keys())
            self._live_ids = live_ids
        return self._keys

    def _take_policy(self) -> None:
        """A policy that can't be read changes nothing: the last good one goes on."""
        try:
            with self._store.read() as snapshot:
                self.policy = read_policy(snapshot)
        except (PolicyUnreadable, StoreError) as error:
            event_log().error("policy.unreadable", what=str(error), cure="set it again: onehop policy set")

    def _remember(self, host: bytes, decision: Resolved | ByRequest) -> None:
        spellings = self._spellings.get(decision.route_keys[0], ())
        if len(spellings) >= SPELLINGS_MAX:
            self._evict_hosts(spellings[:1])
        known = self._known
        known[host] = decision
        for route_key in decision.route_keys:
            self._spellings[route_key] = (*self._spellings.get(route_key, ()), host)
        site_no = table_needed(decision)
        if site_no is not None:
            self._hosts_by_table.setdefault(site_no, set()).add(host)
        self._cells[CACHED] = len(known)

    # -- following the store -------------------------------------------------------------------------------------

    def _follow(self) -> None:
        try:
            change = self._feed.changes_since_last_look()
        except StoreError:
            change = EVERYTHING_CHANGED  # whatever it was, nothing that is cached can be trusted
        if change is None:
            return
        self.generation += 1
        if change.everything or change.policy:
            self._take_policy()
        if change.everything or change.keys_rotated or change.policy:
            self._meter.add(RELOADS)
            self._known.clear()
            self._spellings.clear()
            self._hosts_by_table.clear()
        else:
            self._evict(change.route_keys)
            for site_no in change.site_nos:
                self._evict_hosts(self._hosts_by_table.get(site_no, ()))
        if change.everything:
            self.arms.clear()
        else:
            self.arms.forget(change.site_nos)
        self._unknown.clear()
        self._meter.put(DECISIONS_CACHED, len(self._known))
        self._meter.put(UNKNOWN_CACHED, 0)
        self._meter.put(FEED_SEQ, self._feed.seq)

    def _evict(self, route_keys: Iterable[bytes]) -> None:
        for route_key in route_keys:
            self._evict_hosts(self._spellings.get(route_key, ()))

    def _evict_hosts(self, hosts: Iterable[bytes]) -> None:
        for host in tuple(hosts):
            known = self._known.pop(host, None)
            if known is not None:
                self._forget_spelling(host, known)
                self._meter.add(EVICTIONS)

    def _forget_spelling(self, host: bytes, decision: Resolved | ByRequest) -> None:
        """Also called by the LRU for what it pushes out."""
        for route_key in decision.route_keys:
            left = tuple(spelling for spelling in self._spellings.get(route_key, ()) if spelling != host)
            if left:
                self._spellings[route_key] = left
            else:
                self._spellings.pop(route_key, None)
        site_no = table_needed(decision)
        hosts = self._hosts_by_table.get(site_no) if site_no is not None else None
        if hosts is not None and site_no is not None:
            hosts.discard(host)
            if not hosts:
                del self._hosts_by_table[site_no]


def table_needed(decision: Resolved | ByRequest) -> int | None:
    """The site whose table a cached decision was read from. What runs a table for each request reads it afresh."""
    known = decision.known if isinstance(decision, ByRequest) else decision
    return known.pipeline.site_no if known.scheme.is_legacy else None


def find_site_no(snapshot: Snapshot, names: SiteNames, hostname: Hostname) -> int | None:
    """The site that a host belongs to, by its name or as a custom domain; None for none."""
    named = names.split(hostname)
    if named is not None:
        key = snapshot.get(Database.SITE_NAMES, named[0].encode("ascii"))
        return SITE_NO.unpack(key)[0] if key is not None and len(key) == SITE_NO.size else None
    value = snapshot.get(Database.DOMAINS, hostname.name.encode("ascii"))
    try:
        return decode_record(CustomDomain, value).site_no if value is not None else None
    except RecordUnreadable:
        return None
