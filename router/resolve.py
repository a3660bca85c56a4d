"""From raw Host bytes to a pipeline: a cached decision, or one keyed-hash look-up.

Known hosts are cached by the bytes that clients send. Unknown ones are cached apart, so that a flood of names can't
push real hosts out; nor can a flood of one host's spellings (case, ports), of which few are kept. The change feed
evicts what a deploy changed. With nothing changed a request costs one dict look-up and, at most every LOOK_EVERY_S,
one read of the store's last transaction id.

A decision is made within one snapshot: the live keys, by the store's word, and the route under them are of one commit.
What is cached may be LOOK_EVERY_S old.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Final, Literal

from lru import LRU

from router.hashed import find_route, live_ring
from router.hashing import KeyRing
from router.hostname import Hostname
from router.key_files import RING_KEY, KeysRefused
from router.kv.errors import StoreDamaged, StoreError
from router.kv.feed import EVERYTHING_CHANGED
from router.kv.feed_reader import FeedReader
from router.kv.schema import Database
from router.kv.store import Snapshot, Store
from router.pipeline import Pipeline, PipelineUnreadable
from router.site_names import SiteNames

KNOWN_MAX: Final = 50_000  # about 30 MB when full
UNKNOWN_MAX: Final = 10_000
SPELLINGS_MAX: Final = 8  # of one host: its name with and without a port is what browsers send
LOOK_EVERY_S: Final = 0.02


class RouteDamaged(Exception):
    """A stored route can't be read. That host's requests fail; nothing of it is cached."""

    def __init__(self, hostname: Hostname, reason: str) -> None:
        super().__init__(f"the route of {hostname.name} can't be read: {reason}")
        self.hostname = hostname


@dataclass(frozen=True, slots=True)
class Resolved:
    """A host's decision. `scheme` is how it was found; `route_keys` are its hashes under every live key."""

    hostname: Hostname
    pipeline: Pipeline
    route_keys: tuple[bytes, ...]
    scheme: Literal["hashed"] = "hashed"

    @property
    def found(self) -> tuple[str, str]:
        return self.scheme, "default"


@dataclass(frozen=True, slots=True)
class Unknown:
    """There's no route."""

    hostname: Hostname


@dataclass(slots=True)
class ResolveCounts:
    """Only ever grow. `misses` went to the store: `unknown` of them found nothing, `damaged` nothing that can be read.
    `evictions` are decisions that a change named; `reloads` are changes that emptied the cache."""

    hits: int = 0
    unknown_hits: int = 0
    misses: int = 0
    unknown: int = 0
    damaged: int = 0
    evictions: int = 0
    reloads: int = 0


class Resolver:
    """One process's decisions. `read_keys` reads the key ring's file; it is asked again when the live keys change."""

    def __init__(self, store: Store, *, read_keys: Callable[[], KeyRing], now_s: Callable[[], float]) -> None:
        """Raises KeysRefused."""
        self._store = store
        self._read_keys = read_keys
        self._now_s = now_s
        self._feed = FeedReader(store)
        self._look_at_s = 0.0
        self._spellings: dict[bytes, tuple[bytes, ...]] = {}
        self._known: LRU[bytes, Resolved] = LRU(KNOWN_MAX, callback=self._forget_spelling)
        self._unknown: LRU[bytes, Unknown] = LRU(UNKNOWN_MAX)
        self.counts = ResolveCounts()
        with store.read() as snapshot:
            self._live_ids = snapshot.get(Database.META, RING_KEY)
            self._keys = live_ring(snapshot, read_keys())

    def resolve(self, host: bytes) -> Resolved | Unknown:
        """Raises HostRefused, RouteDamaged, StoreError."""
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

    # -- deciding ------------------------------------------------------------------------------------------------

    def _decide(self, host: bytes) -> Resolved | Unknown:
        self.counts.misses += 1
        hostname = Hostname.parse(host)
        try:
            with self._store.read() as snapshot:
                route_keys = self._live_keys(snapshot).route_keys(hostname)
                value = find_route(snapshot, route_keys)
            pipeline = Pipeline.parse(value) if value is not None else None
        except (PipelineUnreadable, KeysRefused, StoreDamaged) as error:
            self.counts.damaged += 1
            raise RouteDamaged(hostname, str(error)) from None
        if pipeline is None:
            self.counts.unknown += 1
            unknown = self._unknown[host] = Unknown(hostname)
            return unknown
        resolved = Resolved(hostname, pipeline, route_keys)
        self._remember(host, resolved)
        return resolved

    def _live_keys(self, snapshot: Snapshot) -> KeyRing:
        live_ids = snapshot.get(Database.META, RING_KEY)
        if live_ids != self._live_ids:
            self._keys = live_ring(snapshot, self._read_keys())
            self._live_ids = live_ids
        return self._keys

    def _remember(self, host: bytes, resolved: Resolved) -> None:
        spellings = self._spellings.get(resolved.route_keys[0], ())
        if len(spellings) >= SPELLINGS_MAX:
            self._known.pop(spellings[0])
            self._forget_spelling(spellings[0], resolved)
        self._known[host] = resolved
        for route_key in resolved.route_keys:
            self._spellings[route_key] = (*self._spellings.get(route_key, ()), host)

    # -- following the store -------------------------------------------------------------------------------------

    def _follow(self) -> None:
        try:
            change = self._feed.changes_since_last_look()
        except StoreError:
            change = EVERYTHING_CHANGED  # whatever it was, nothing that is cached can be trusted
        if change is None:
            return
        if change.everything or change.keys_rotated or change.policy:
            self.counts.reloads += 1
            self._known.clear()
            self._spellings.clear()
        else:
            self._evict(change.route_keys)
        if change.everything or change.keys_rotated or change.policy or change.route_keys:
            self._unknown.clear()

    def _evict(self, route_keys: Iterable[bytes]) -> None:
        for route_key in route_keys:
            for host in self._spellings.get(route_key, ()):
                resolved = self._known.pop(host, None)
                if resolved is not None:
                    self._forget_spelling(host, resolved)
                    self.counts.evictions += 1

    def _forget_spelling(self, host: bytes, resolved: Resolved) -> None:
        """Also called by the LRU for what it pushes out."""
        for route_key in resolved.route_keys:
            left = tuple(spelling for spelling in self._spellings.get(route_key, ()) if spelling != host)
            if left:
                self._spellings[route_key] = left
            else:
                self._spellings.pop(route_key, None)


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a host resolves, for `onehop route`. Times in microseconds."""

    hostname: Hostname
    site: str | None
    label: str | None
    scheme: str
    rule: str
    key_id: str
    route_key: bytes
    pipeline: Pipeline | None
    parse_us: float
    hash_us: float
    get_us: float


def explain(store: Store, keys: KeyRing, names: SiteNames, host: bytes) -> Explanation:
    """Resolves without any cache and says each step. Raises HostRefused, PipelineUnreadable, KeysRefused."""
    with store.read() as snapshot:
        ring = live_ring(snapshot, keys)
        started = perf_counter_ns()
        hostname = Hostname.parse(host)
        parsed = perf_counter_ns()
        hashed_keys = [(key.id, key.route_key(hostname)) for key in ring.keys]
        hashed = perf_counter_ns()
        values = [snapshot.get(Database.ROUTES, route_key) for _, route_key in hashed_keys]
        got = perf_counter_ns()
    found = next((index for index, value in enumerate(values) if value is not None), 0)
    key_id, route_key = hashed_keys[found]
    value = values[found]
    named = names.split(hostname)
    return Explanation(
        hostname=hostname,
        site=named[0] if named else None,
        label=named[1] if named else None,
        scheme="hashed",
        rule="default",
        key_id=key_id,
        route_key=route_key,
        pipeline=Pipeline.parse(value) if value is not None else None,
        parse_us=(parsed - started) / 1000,
        hash_us=(hashed - parsed) / 1000,
        get_us=(got - hashed) / 1000,
    )
