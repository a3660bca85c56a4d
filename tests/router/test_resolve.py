"""The resolver: what is cached, what a change evicts, what no flood can push out, what damage comes to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from router import resolve
from router.hashed import delete_route, put_route
from router.hashing import HashKey, KeyRing
from router.hostname import Hostname, HostRefused
from router.key_files import put_live_keys
from router.kv.feed import ROUTES_NAMED_MAX
from router.kv.schema import Database
from router.kv.store import Store, open_store
from router.metrics.catalogue import (
    DAMAGED_ROUTES,
    DECISION_HITS,
    DECISION_MISSES,
    EVICTIONS,
    RELOADS,
    UNKNOWN_HITS,
    UNKNOWN_HOSTS,
    Metric,
)
from router.metrics.meter import EdgeMeter
from router.metrics.reading import Reading
from router.metrics.slot import Cells, unshared_cells
from router.pipeline import Pipeline
from router.resolve import LOOK_EVERY_S, SPELLINGS_MAX, Resolved, Resolver, RouteDamaged, Unknown
from router.site_names import SiteNames

NAMES = SiteNames("pages.test")
HOST = b"example.pages.test"
ONE = Pipeline(1, "1" * 22)
TWO = Pipeline(1, "2" * 22)
OLD_KEY = HashKey("old", b"o" * 32)
NEW_KEY = HashKey("new", b"n" * 32)
OLD_RING = KeyRing(OLD_KEY)


@dataclass
class Edge:
    """A store, the resolver of one process, the key file, and time that passes when told."""

    store: Store
    keys: KeyRing = OLD_RING
    now_s: float = 100.0
    cells: Cells = field(default_factory=unshared_cells)
    resolver: Resolver = field(init=False)

    def __post_init__(self) -> None:
        self.resolver = self.another_process()

    def another_process(self) -> Resolver:
        return Resolver(
            self.store,
            read_keys=lambda: self.keys,
            names=NAMES,
            dc="local",
            now_s=lambda: self.now_s,
            meter=EdgeMeter(self.cells),
        )

    def counted(self, metric: Metric) -> int:
        return Reading(tuple(self.cells)).count(metric)

    def look(self, host: bytes = HOST) -> Pipeline | None:
        resolved = self.resolver.resolve(host)
        return resolved.pipeline if isinstance(resolved, Resolved) else None

    def later(self) -> None:
        self.now_s += LOOK_EVERY_S

    def put(self, pipeline: Pipeline, *hosts: bytes) -> None:
        with self.store.write() as transaction:
            for host in hosts or (HOST,):
                put_route(transaction, self.keys, Hostname.parse(host), pipeline)

    def delete(self, host: bytes = HOST) -> None:
        with self.store.write() as transaction:
            delete_route(transaction, self.keys, Hostname.parse(host))


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    with open_store(tmp_path / "kv", create=True) as store:
        yield Edge(store)


def test_a_host_is_found_and_then_known(edge: Edge) -> None:
    edge.put(ONE)
    edge.later()
    first = edge.resolver.resolve(HOST)
    assert first == Resolved(Hostname("example.pages.test"), ONE, (OLD_KEY.route_key(Hostname("example.pages.test")),))
    assert edge.resolver.resolve(HOST) is first
    assert (edge.counted(DECISION_HITS), edge.counted(DECISION_MISSES)) == (1, 1)


def test_every_spelling_of_a_host_finds_the_same(edge: Edge) -> None:
    edge.put(ONE)
    edge.later()
    for host in (HOST, HOST.upper(), HOST + b".", HOST + b":8787"):
        assert edge.look(host) == ONE


def test_an_unknown_host_is_remembered_as_such(edge: Edge) -> None:
    assert edge.resolver.resolve(HOST) == Unknown(
        Hostname("example.pages.test"), is_below_pages_domain=True, site="example"
    )
    assert edge.look() is None
    assert (edge.counted(UNKNOWN_HOSTS), edge.counted(UNKNOWN_HITS)) == (1, 1)


def test_a_host_that_cannot_be_is_refused_and_not_remembered(edge: Edge) -> None:
    for _ in range(2):
        with pytest.raises(HostRefused):
            edge.resolver.resolve(b"a b")
    assert edge.counted(UNKNOWN_HOSTS) == 0


def test_a_change_is_seen_at_the_next_look_and_looks_are_20_ms_apart(edge: Edge) -> None:
    edge.put(ONE)
    edge.later()
    assert edge.look() == ONE
    edge.put(TWO)
    edge.now_s += LOOK_EVERY_S / 2
    assert edge.look() == ONE
    edge.now_s += LOOK_EVERY_S / 2
    assert edge.look() == TWO
    assert LOOK_EVERY_S == 0.02


def test_a_new_host_is_seen_where_it_was_known_to_be_absent(edge: Edge) -> None:
    assert edge.look() is None
    edge.put(ONE)
    edge.later()
    assert edge.look() == ONE


def test_a_deleted_host_is_gone_at_the_next_look(edge: Edge) -> None:
    edge.put(ONE)
    assert edge.look() == ONE
    edge.delete()
    edge.later()
    assert edge.look() is None


def test_a_change_evicts_all_spellings_of_its_hosts_and_no_others(edge: Edge) -> None:
    edge.put(ONE, HOST, b"other.pages.test")
    edge.later()
    for host in (HOST, HOST + b":8787", b"other.pages.test"):
        edge.look(host)
    edge.put(TWO)
    edge.later()
    assert [edge.look(host) for host in (HOST, HOST + b":8787", b"other.pages.test")] == [TWO, TWO, ONE]
    assert edge.counted(EVICTIONS) == 2
    assert edge.counted(DECISION_HITS) == 1


def test_a_commit_that_changes_no_route_evicts_nothing(edge: Edge) -> None:
    edge.put(ONE)
    edge.look()
    with edge.store.write() as transaction:
        transaction.put(Database.SITES, b"\0\0\0\1", b"{}")
        transaction.put(Database.DEPLOYMENTS, b"\0\0\0\1\0\0\0\1", b"{}")
    edge.later()
    edge.look()
    assert edge.counted(DECISION_HITS) == 1
    assert edge.counted(RELOADS) == 0


def test_a_bulk_change_empties_the_cache(edge: Edge) -> None:
    edge.put(ONE)
    edge.look()
    edge.put(TWO, HOST, *(b"h%d.pages.test" % each for each in range(ROUTES_NAMED_MAX)))
    edge.later()
    assert edge.look() == TWO
    assert edge.counted(RELOADS) == 1


def test_54_a_flood_of_unknown_names_pushes_no_real_host_out(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "UNKNOWN_MAX", 10)
    edge.resolver = edge.another_process()
    edge.put(ONE)
    edge.later()
    edge.look()
    for each in range(50):
        assert edge.look(b"nobody-%d.pages.test" % each) is None
    edge.look()
    assert edge.counted(DECISION_HITS) == 1
    assert len(edge.resolver._unknown) == 10


def test_54_a_flood_of_one_host_s_spellings_pushes_no_other_host_out(edge: Edge) -> None:
    edge.put(ONE, HOST, b"other.pages.test")
    edge.later()
    edge.look(b"other.pages.test")
    for port in range(100):
        assert edge.look(HOST + b":%d" % port) == ONE
    edge.look(b"other.pages.test")
    assert edge.counted(DECISION_HITS) == 1
    assert len(edge.resolver._known) == SPELLINGS_MAX + 1
    edge.put(TWO)
    edge.later()
    assert {edge.look(HOST + b":%d" % port) for port in range(100)} == {TWO}


def test_known_hosts_are_bounded_and_a_host_pushed_out_leaves_nothing_behind(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "KNOWN_MAX", 5)
    edge.resolver = edge.another_process()
    hosts = [b"h%d.pages.test" % each for each in range(20)]
    edge.put(ONE, *hosts)
    edge.later()
    assert {edge.look(host) for host in hosts} == {ONE}
    assert len(edge.resolver._known) == len(edge.resolver._spellings) == 5
    edge.put(TWO, *hosts)
    edge.later()
    assert {edge.look(host) for host in hosts} == {TWO}


def test_a_forgotten_host_is_looked_up_afresh_at_once(edge: Edge) -> None:
    edge.put(ONE)
    edge.look()
    edge.put(TWO)
    edge.resolver.forget(HOST)
    assert edge.look() == TWO
    edge.resolver.forget(b"never-seen.pages.test")


# -- damage ----------------------------------------------------------------------------------------------------------


def flip_a_bit(edge: Edge, bit: int) -> None:
    route_key = OLD_KEY.route_key(Hostname.parse(HOST))
    with edge.store.write() as transaction:
        value = bytearray(transaction.get(Database.ROUTES, route_key) or b"")
        value[bit // 8] ^= 1 << bit % 8
        transaction.put(Database.ROUTES, route_key, bytes(value))


def test_59_a_bit_flipped_route_value_is_damage_for_its_host_alone(edge: Edge) -> None:
    edge.put(ONE, HOST, b"other.pages.test")
    flip_a_bit(edge, 0)
    edge.later()
    for _ in range(2):
        with pytest.raises(RouteDamaged, match=r"example\.pages\.test"):
            edge.look()
    assert edge.look(b"other.pages.test") == ONE
    assert edge.counted(DAMAGED_ROUTES) == 2


def test_a_mended_route_is_served_at_the_next_look(edge: Edge) -> None:
    edge.put(ONE)
    flip_a_bit(edge, 0)
    edge.later()
    with pytest.raises(RouteDamaged):
        edge.look()
    edge.put(TWO)
    edge.later()
    assert edge.look() == TWO


# -- keys ------------------------------------------------------------------------------------------------------------


def make_live(edge: Edge, keys: KeyRing) -> None:
    edge.keys = keys
    with edge.store.write() as transaction:
        put_live_keys(transaction, keys)


def test_66_under_two_keys_a_route_is_found_under_either_the_current_first(edge: Edge) -> None:
    make_live(edge, KeyRing(OLD_KEY))
    edge.put(ONE)
    make_live(edge, KeyRing(NEW_KEY, OLD_KEY))
    edge.later()
    assert edge.look() == ONE
    edge.put(TWO)
    edge.later()
    assert edge.look() == TWO
    with edge.store.read() as snapshot:
        assert snapshot.count(Database.ROUTES) == 1


def test_66_a_route_written_under_a_new_key_is_found_before_the_feed_is_read(edge: Edge) -> None:
    make_live(edge, KeyRing(OLD_KEY))
    edge.put(ONE)
    edge.look(b"absent.pages.test")
    make_live(edge, KeyRing(NEW_KEY, OLD_KEY))
    edge.put(TWO)
    assert edge.look() == TWO, "within 20 ms of both commits, with nothing cached"


def test_66_a_deploy_after_a_rotation_evicts_what_was_decided_before_it(edge: Edge) -> None:
    make_live(edge, KeyRing(OLD_KEY))
    edge.put(ONE)
    assert edge.look() == ONE
    make_live(edge, KeyRing(NEW_KEY, OLD_KEY))
    edge.later()
    assert edge.look() == ONE
    hostname = Hostname.parse(HOST)
    with edge.store.write() as transaction:
        transaction.move_route(OLD_KEY.route_key(hostname), NEW_KEY.route_key(hostname))
    make_live(edge, KeyRing(NEW_KEY))
    edge.put(TWO)
    edge.later()
    assert edge.look() == TWO


def test_66_a_key_that_is_not_in_the_file_is_damage_and_not_an_unknown_host(edge: Edge) -> None:
    make_live(edge, KeyRing(OLD_KEY))
    edge.put(ONE)
    make_live(edge, KeyRing(NEW_KEY, OLD_KEY))
    edge.keys = KeyRing(OLD_KEY)
    edge.later()
    with pytest.raises(RouteDamaged, match="live keys"):
        edge.look()
    edge.keys = KeyRing(OLD_KEY, NEW_KEY)
    assert edge.look() == ONE


# -- a model ---------------------------------------------------------------------------------------------------------

HOSTS = st.sampled_from([b"a.pages.test", b"b.pages.test", b"x.a.pages.test", b"custom.test"])
SPELLINGS = st.sampled_from([bytes, bytes.upper, lambda host: host + b":8787", lambda host: host + b"."])


class ResolverAgainstDict(RuleBasedStateMachine):
    """Two processes' resolvers against a dict, through deploys, deletes, bulk changes and key changes."""

    folder: Path

    @initialize()
    def begin(self) -> None:
        self.store_context = open_store(self.folder / "kv", create=True)
        self.store = self.store_context.__enter__()
        with self.store.write() as transaction:
            for database in (Database.ROUTES, Database.META):
                for key, _ in list(transaction.scan(database)):
                    if key not in (b"schema_version", b"store_id"):
                        transaction.delete(database, key)
        self.edge = Edge(self.store)
        self.resolvers = [self.edge.resolver, self.edge.another_process()]
        self.model: dict[bytes, Pipeline] = {}
        make_live(self.edge, KeyRing(OLD_KEY))

    @rule(host=HOSTS, pipeline=st.sampled_from([ONE, TWO]))
    def deploy(self, host: bytes, pipeline: Pipeline) -> None:
        self.edge.put(pipeline, host)
        self.model[host] = pipeline

    @rule(host=HOSTS)
    def delete(self, host: bytes) -> None:
        self.edge.delete(host)
        self.model.pop(host, None)

    @rule()
    def begin_rotation(self) -> None:
        if self.edge.keys.previous is None:
            other = NEW_KEY if self.edge.keys.current == OLD_KEY else OLD_KEY
            make_live(self.edge, KeyRing(other, self.edge.keys.current))

    @rule()
    def end_rotation(self) -> None:
        keys = self.edge.keys
        if keys.previous is not None:
            with self.store.write() as transaction:
                for host in self.model:
                    new, old = keys.route_keys(Hostname.parse(host))
                    transaction.move_route(old, new)
            make_live(self.edge, KeyRing(keys.current))

    @rule(host=HOSTS, spelling=SPELLINGS, which=st.integers(0, 1))
    def ask(self, host: bytes, spelling: Callable[[bytes], bytes], which: int) -> None:
        self.edge.later()
        resolved = self.resolvers[which].resolve(spelling(host))
        assert (resolved.pipeline if isinstance(resolved, Resolved) else None) == self.model.get(host)

    @invariant()
    def every_route_lies_there_once(self) -> None:
        if hasattr(self, "model"):
            with self.store.read() as snapshot:
                assert snapshot.count(Database.ROUTES) == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "store_context"):
            self.store_context.__exit__(None, None, None)


def test_two_processes_follow_every_history_of_deploys_and_rotations(tmp_path: Path) -> None:
    ResolverAgainstDict.folder = tmp_path
    run_state_machine_as_test(
        ResolverAgainstDict, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )
