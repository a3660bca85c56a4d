"""From raw Host bytes to a pipeline: a cached decision, or one keyed-hash look-up.

Known hosts are cached by the bytes that clients send. Unknown ones are cached apart, so that a flood of names can't
push real hosts out. The change feed evicts what a deploy changed; with nothing changed a request costs one dict
look-up and, at most every LOOK_EVERY_S, one read of the store's last transaction id.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final, Literal

from lru import LRU

from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.feed import Change
from router.kv.schema import FEED_SEQ, Database
from router.kv.store import Snapshot, Store
from router.pipeline import Pipeline, PipelineUnreadable
from router.site_names import SiteNames

KNOWN_MAX: Final = 100_000
UNKNOWN_MAX: Final = 10_000
LOOK_EVERY_S: Final = 0.02


class RouteDamaged(Exception):
    """A stored route can't be read."""

    def __init__(self, hostname: Hostname, reason: str) -> None:
        super().__init__(f"the route of {hostname.name} can't be read: {reason}")
        self.hostname = hostname


@dataclass(frozen=True, slots=True)
class Resolved:
    """A host's decision. `scheme` is how it was found."""

    hostname: Hostname
    pipeline: Pipeline
    route_keys: tuple[bytes, ...]
    scheme: Literal["hashed"] = "hashed"


@dataclass(frozen=True, slots=True)
class Unknown:
    """There's no route."""

    hostname: Hostname


@dataclass(slots=True)
class ResolveCounts:
    hits: int = 0
    unknown_hits: int = 0
    misses: int = 0
    evictions: int = 0
    reloads: int = 0


class FeedReader:
    """Follows the feed from where it stood when this was made."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._txn_id = store.last_txn_id()
        with store.read() as snapshot:
            self._seq = last_seq(snapshot)

    def changes(self) -> Change | None:
        """What happened since the last call, as one; None for nothing, `everything` for having fallen behind."""
        txn_id = self._store.last_txn_id()
        if txn_id == self._txn_id:
            return None
        self._txn_id = txn_id
        route_keys: set[bytes] = set()
        policy = rotated = everything = False
        with self._store.read() as snapshot:
            seq = last_seq(snapshot)
            first = next(snapshot.scan(Database.FEED), None)
            if first is not None and FEED_SEQ.unpack(first[0])[0] > self._seq + 1:
                everything = True
            else:
                for _, value in snapshot.scan(Database.FEED, after=FEED_SEQ.pack(self._seq)):
                    change = Change.parse(value)
                    route_keys |= change.route_keys
                    policy |= change.policy
                    rotated |= change.keys_rotated
                    everything |= change.everything
        if seq == self._seq:
            return None
        self._seq = seq
        return Change(frozenset(route_keys), policy=policy, keys_rotated=rotated, everything=everything)


def last_seq(snapshot: Snapshot) -> int:
    last = next(snapshot.scan(Database.FEED, reverse=True), None)
    return 0 if last is None else int(FEED_SEQ.unpack(last[0])[0])


class Resolver:
    """One process's decisions. `read_keys` gives the key ring as it stands now."""

    def __init__(
        self, store: Store, *, read_keys: Callable[[], KeyRing], names: SiteNames, now_s: Callable[[], float]
    ) -> None:
        self._store = store
        self._read_keys = read_keys
        self._names = names
        self._now_s = now_s
        self._keys = read_keys()
        self._feed = FeedReader(store)
        self._look_at_s = 0.0
        self._hosts_of: dict[bytes, set[bytes]] = {}
        self._known: LRU[bytes, Resolved] = LRU(KNOWN_MAX, callback=self._forget_keys)
        self._unknown: LRU[bytes, Unknown] = LRU(UNKNOWN_MAX)
        self.counts = ResolveCounts()

    def resolve(self, host: bytes) -> Resolved | Unknown:
        """Raises HostRefused, RouteDamaged."""
        now_s = self._now_s()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_EVERY_S
            self._follow()
        known: Resolved | None = self._known.get(host)
        if known is not None:
            self.counts.hits += 1
            return known
        unknown: Unknown | None = self._unknown.get(host)
        if unknown is not None:
            self.counts.unknown_hits += 1
            return unknown
        return self._decide(host)

    def forget(self, host: bytes) -> None:
        """Makes the next request of this host look afresh."""
        resolved = self._known.get(host)
        if resolved is not None:
            self._evict(resolved.route_keys)
        self._unknown.pop(host, None)

    def _decide(self, host: bytes) -> Resolved | Unknown:
        self.counts.misses += 1
        hostname = Hostname.parse(host)
        route_keys = self._keys.route_keys(hostname)
        with self._store.read() as snapshot:
            pipeline = self._look_up(snapshot, hostname, route_keys)
        if pipeline is None:
            unknown = self._unknown[host] = Unknown(hostname)
            return unknown
        resolved = Resolved(hostname, pipeline, route_keys)
        self._known[host] = resolved
        for route_key in route_keys:
            self._hosts_of.setdefault(route_key, set()).add(host)
        return resolved

    def _look_up(self, snapshot: Snapshot, hostname: Hostname, route_keys: tuple[bytes, ...]) -> Pipeline | None:
        for route_key in route_keys:
            value = snapshot.get(Database.ROUTES, route_key)
            if value is not None:
                try:
                    return Pipeline.parse(value)
                except PipelineUnreadable as error:
                    raise RouteDamaged(hostname, str(error)) from None
        return None

    def _follow(self) -> None:
        change = self._feed.changes()
        if change is None:
            return
        if change.keys_rotated:
            self._keys = self._read_keys()
        if change.everything or change.keys_rotated or change.policy:
            self.counts.reloads += 1
            self._known.clear()
            self._hosts_of.clear()
        else:
            self._evict(change.route_keys)
        self._unknown.clear()

    def _evict(self, route_keys: "frozenset[bytes] | tuple[bytes, ...]") -> None:
        for route_key in route_keys:
            for host in tuple(self._hosts_of.get(route_key, ())):
                resolved = self._known.pop(host, None)
                self.counts.evictions += 1
                if resolved is not None:
                    self._forget_keys(host, resolved)

    def _forget_keys(self, host: bytes, resolved: Resolved) -> None:
        for route_key in resolved.route_keys:
            hosts = self._hosts_of.get(route_key)
            if hosts is not None:
                hosts.discard(host)
                if not hosts:
                    del self._hosts_of[route_key]


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a host resolves, for `onehop route`. Times in microseconds."""

    hostname: Hostname
    site: str | None
    label: str | None
    scheme: str
    rule: str
    route_key: bytes
    pipeline: Pipeline | None
    parse_us: float
    hash_us: float
    get_us: float


def explain(store: Store, keys: KeyRing, names: SiteNames, host: bytes) -> Explanation:
    """Resolves without any cache and says each step. Raises HostRefused, PipelineUnreadable."""
    started = perf_counter_ns()
    hostname = Hostname.parse(host)
    parsed = perf_counter_ns()
    route_keys = keys.route_keys(hostname)
    hashed = perf_counter_ns()
    with store.read() as snapshot:
        values = [(route_key, snapshot.get(Database.ROUTES, route_key)) for route_key in route_keys]
    got = perf_counter_ns()
    route_key, value = next(((key, value) for key, value in values if value is not None), values[0])
    named = names.split(hostname)
    return Explanation(
        hostname=hostname,
        site=named[0] if named else None,
        label=named[1] if named else None,
        scheme="hashed",
        rule="default",
        route_key=route_key,
        pipeline=Pipeline.parse(value) if value is not None else None,
        parse_us=(parsed - started) / 1000,
        hash_us=(hashed - parsed) / 1000,
        get_us=(got - hashed) / 1000,
    )
