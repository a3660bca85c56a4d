"""A table that can't be used costs its own site nothing but the scheme, and other sites nothing at all."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from control_plane.catalogue import put_site, read_site
from router import legacy
from router.hashed import delete_route, put_route, read_route
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.legacy import FILTERS_MAX, TABLE_BYTES_MAX, LegacyTables
from router.legacy_table import (
    AFTER_HASH,
    HEAD,
    TAIL,
    Filter,
    TableRefused,
    cut_out,
    find_filter,
    parse_table,
    render_table,
)
from router.metrics.catalogue import (
    FALLBACKS,
    TABLE_CACHE_BYTES,
    TABLE_CACHE_FILTERS,
    TABLE_FAULTS,
    TABLE_HITS,
    TABLE_MISSES,
    TABLES_REFUSED,
    cell,
)
from router.metrics.meter import EdgeMeter
from router.metrics.reading import Reading
from router.metrics.slot import unshared_cells
from router.pipeline import Pipeline
from router.policy import Policy, Scheme
from tests.control_plane.client import FakeTime, open_plane
from tests.schemes.both_schemes import BothSchemes, files_of

SICK, SOUND = "one", "two"
HOST, OTHER_HOST = "one.pages.test", "two.pages.test"
LEGACY_ARMS = ["legacy", "legacy-compiled"]
KEY = SITE_NO.pack(1)


@pytest.fixture
def schemes(tmp_path: Path) -> Iterator[BothSchemes]:
    with open_plane(tmp_path, FakeTime()) as plane:
        opened = BothSchemes(plane)
        for version, name in enumerate((SICK, SOUND)):
            opened.create(name)
            opened.deploy(name, version, "main")
        yield opened


def table_of(schemes: BothSchemes) -> bytes:
    with schemes.plane.store.read() as snapshot:
        table = snapshot.get(Database.LEGACY_TABLES, KEY)
    assert table is not None
    return table


def put(schemes: BothSchemes, table: bytes) -> None:
    with schemes.plane.store.write() as transaction:
        transaction.put(Database.LEGACY_TABLES, KEY, table)


def many_filters(count: int) -> bytes:
    return render_table(Filter(f"{number:08x}.one.pages.test", "0") for number in range(count))


def one_pattern(pattern: bytes) -> bytes:
    """A table whose first filter has it, before the site's own."""
    return HEAD + b'{"pattern":"' + pattern + b'","script_hash":"00"' + b"}" + TAIL


DAMAGED = {
    "empty": b"",
    "no JSON": b"\xff" * 100,
    "another version": b'{"filters":[],"v":2}',
    "no filters": b'{"v":1}',
    "a backtracking engine's end": one_pattern(b"^(?:(a+)+(?:[:][0-9]+)?\\\\/(?<p1>.*))$"),
    "a program too large": one_pattern(b"^(?:((a{100}){100}){100}(?:[:][0-9]+)?\\\\/(?<p1>.*))$"),
    "two hosts in a pattern": one_pattern(b"^(?:(one|two).pages.test(?:[:][0-9]+)?\\\\/(?<p1>.*))$"),
    "a group is missing": one_pattern(b"^(?:one.pages.test(?:[:][0-9]+)?\\\\/(.*))$"),
    "no pattern at all": one_pattern(b"("),
}


@pytest.mark.parametrize("arm", LEGACY_ARMS)
@pytest.mark.parametrize("what", [*DAMAGED, "cut"])
def test_46_82_a_damaged_table_sends_its_site_to_hashed_counted_and_logged_once(
    schemes: BothSchemes, arm: str, what: str
) -> None:
    put(schemes, DAMAGED[what] if what in DAMAGED else table_of(schemes)[:-20])
    with capture_logs() as logs:
        for _ in range(5):
            assert bytes(schemes.ask(arm, HOST).body) == files_of(0)["/index.html"]
            assert bytes(schemes.ask(arm, OTHER_HOST).body) == files_of(1)["/index.html"]
    assert schemes.counted(arm, TABLE_FAULTS) == schemes.counted(arm, FALLBACKS, to="hashed") == 5
    assert [(entry["event"], entry["site_no"]) for entry in logs] == [("table.unusable", 1)]
    assert schemes.counted(arm, TABLES_REFUSED) == 1, "proven once, not for each request"


@pytest.mark.parametrize("arm", LEGACY_ARMS)
def test_46_a_table_of_a_million_filters_or_100_mb_is_looked_at_once_and_never_run(
    schemes: BothSchemes, arm: str
) -> None:
    for table in (many_filters(1_000_000), b" " * 100_000_000):
        put(schemes, table)
        assert schemes.ask(arm, HOST).status == schemes.ask(arm, OTHER_HOST).status == 200
        assert schemes.edges[arm]._meter.cells[cell(TABLE_CACHE_BYTES)] < 10_000, "not even copied"


def test_46_more_filters_than_may_be_run_are_not_run(schemes: BothSchemes) -> None:
    table = many_filters(FILTERS_MAX + 1)
    assert len(table) < TABLE_BYTES_MAX
    put(schemes, table)
    assert schemes.ask("legacy", HOST).status == 200
    assert schemes.counted("legacy", TABLE_FAULTS) == 1


@pytest.mark.parametrize("arm", LEGACY_ARMS)
@pytest.mark.parametrize("value", [None, b"{}", Pipeline(2, "a" * 22).encode()], ids=["gone", "damaged", "another's"])
def test_82_a_script_hash_that_leads_nowhere_sends_the_request_to_hashed(
    schemes: BothSchemes, arm: str, value: bytes | None
) -> None:
    with schemes.plane.store.write() as transaction:
        for key, _ in list(transaction.scan(Database.PIPELINES)):
            if value is None:
                transaction.delete(Database.PIPELINES, key)
            else:
                transaction.put(Database.PIPELINES, key, value)
    for _ in range(3):
        assert bytes(schemes.ask(arm, HOST).body) == files_of(0)["/index.html"]
    assert schemes.counted(arm, TABLE_FAULTS) == 3


@pytest.mark.parametrize("arm", LEGACY_ARMS)
def test_82_a_script_hash_that_leads_nowhere_costs_its_table_no_second_reading(schemes: BothSchemes, arm: str) -> None:
    with schemes.plane.store.write() as transaction:
        for key, _ in list(transaction.scan(Database.PIPELINES)):
            transaction.delete(Database.PIPELINES, key)
    with capture_logs() as logs:
        for _ in range(5):
            assert schemes.ask(arm, HOST).status == 200
    assert schemes.counted(arm, TABLE_MISSES) == 1
    assert schemes.counted(arm, TABLE_FAULTS) == 5
    assert [(entry["event"], entry["site_no"]) for entry in logs] == [("table.unusable", 1)]
    schemes.deploy(SICK, 2, "main")
    assert bytes(schemes.ask(arm, HOST).body) == files_of(2)["/index.html"]
    assert schemes.counted(arm, TABLE_FAULTS) == 5, "a deploy mends it"


def test_a_table_whose_script_hashes_mostly_lead_nowhere_is_refused(
    schemes: BothSchemes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.legacy.DEAD_HASHES_MAX", 2)
    hosts = [f"{number:08x}.one.pages.test" for number in range(4)]
    with schemes.plane.store.write() as transaction:
        for host in hosts:
            put_route(transaction, schemes.plane.keys(), Hostname(host), Pipeline(1, route_of(schemes).manifest))
    put(schemes, render_table(Filter(host, f"dead{host[:8]}") for host in hosts))
    for host in hosts:
        assert schemes.ask("legacy", host).status == 200
    assert schemes.counted("legacy", TABLES_REFUSED) == 1
    assert schemes.edges["legacy"]._meter.cells[cell(TABLE_CACHE_BYTES)] == 0


@pytest.mark.parametrize("arm", LEGACY_ARMS)
def test_46_refused_tables_do_not_push_each_other_out(
    schemes: BothSchemes, arm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = dict.fromkeys((1, 2), b'{"filters":[' + b" " * 1000 + b'],"v":1}')
    monkeypatch.setattr("router.legacy.RAW_BYTES_MAX", 1_500)
    with schemes.plane.store.write() as transaction:
        for site_no, table in tables.items():
            transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(site_no), table)
    for _ in range(4):
        assert schemes.ask(arm, HOST).status == schemes.ask(arm, OTHER_HOST).status == 200
    assert schemes.counted(arm, TABLE_MISSES) == schemes.counted(arm, TABLES_REFUSED) == 2
    assert schemes.edges[arm]._meter.cells[cell(TABLE_CACHE_BYTES)] == 0


def test_damage_that_comes_back_after_a_repair_is_logged_again(schemes: BothSchemes) -> None:
    sound, cut = table_of(schemes), table_of(schemes)[:-20]
    with capture_logs() as logs:
        for table in (cut, sound, cut):
            put(schemes, table)
            for _ in range(2):
                assert schemes.ask("legacy", HOST).status == 200
    assert [entry["event"] for entry in logs] == ["table.unusable"] * 2


def finds(table: bytes, host: str) -> bool | None:
    """None: the table is refused on the way there."""
    try:
        return find_filter(table, host) is not None
    except TableRefused:
        return None


def test_what_is_deleted_leaves_a_damaged_table_that_is_not_written_any_more(schemes: BothSchemes) -> None:
    hosts = [schemes.deploy(SICK, 2, f"b{number}") for number in range(8)]
    deployments = {f"{each.short_id}.one.pages.test": each for each in schemes.deployments(SICK)}
    with schemes.plane.store.write() as transaction:
        put_site(transaction, replace(read_site(transaction, 1), dual_write=False))
    whole = table_of(schemes)
    found = (
        (damaged, host)
        for each in parse_table(whole)
        for damaged in [whole.replace(b"(?:%b(" % each.host.encode(), b"(?:%b!(" % each.host[:-1].encode())]
        for host in hosts
        if finds(damaged, host) and finds(damaged, f"{deployments[host].alias}.one.pages.test") is None
    )
    damaged, host = next(found)
    alias = f"{deployments[host].alias}.one.pages.test"
    put(schemes, damaged)
    schemes.delete_deployment(SICK, deployments[host])
    assert finds(table_of(schemes), host) is not True
    assert f"(?:{alias}(".encode() not in table_of(schemes)
    assert schemes.ask("hashed", host).status in (404, 500)


def test_hosts_are_cut_out_of_what_is_left_of_a_table() -> None:
    filters = [Filter(f"{name}.test", name) for name in "abcd"]
    whole = render_table(filters)
    for gone in ("a", "b", "d", "ab", "cd", "ad", "abcd"):
        left = [each for each in filters if each.script_hash not in gone]
        assert cut_out(whole, {f"{name}.test" for name in gone}) == (render_table(left), set(gone))
    assert cut_out(whole[:-20], {"a.test", "x.test"}) == (render_table(filters[1:])[:-20], {"a"})
    assert cut_out(b"", {"a.test"}) == (b"", set())


def route_of(schemes: BothSchemes) -> Pipeline:
    with schemes.plane.store.read() as snapshot:
        found = read_route(snapshot, schemes.plane.keys(), Hostname(HOST))
    assert found is not None
    return found


def drop_route(schemes: BothSchemes, host: str) -> None:
    with schemes.plane.store.write() as transaction:
        assert delete_route(transaction, schemes.plane.keys(), Hostname(host))


def test_82_a_damaged_table_and_no_route_is_500_for_that_site_alone(schemes: BothSchemes) -> None:
    drop_route(schemes, HOST)
    put(schemes, table_of(schemes)[:-20])
    for arm in schemes.edges:
        assert schemes.ask(arm, HOST).status == 500
        assert schemes.ask(arm, OTHER_HOST).status == 200


def test_a_host_without_a_route_is_served_by_its_table_and_counted(schemes: BothSchemes) -> None:
    drop_route(schemes, HOST)
    for _ in range(3):
        assert bytes(schemes.ask("hashed", HOST).body) == files_of(0)["/index.html"]
    assert schemes.counted("hashed", FALLBACKS, to="legacy") == 1, "decided once, then cached"
    schemes.deploy(SICK, 2, "main")
    assert bytes(schemes.ask("hashed", HOST).body) == files_of(2)["/index.html"]


def test_59_a_damaged_route_is_served_by_the_table(schemes: BothSchemes) -> None:
    with schemes.plane.store.write() as transaction:
        route_key = schemes.plane.keys().route_key(Hostname(HOST))
        transaction.put(Database.ROUTES, route_key, b"damaged")
    with capture_logs() as logs:
        for _ in range(3):
            assert bytes(schemes.ask("hashed", HOST).body) == files_of(0)["/index.html"]
    assert [entry["event"] for entry in logs] == ["route.damaged"]
    schemes.plane.store.read()
    put(schemes, b"")
    assert schemes.ask("hashed", HOST).status == 500


def test_the_tables_of_a_process_are_bounded_in_bytes_and_in_filters(
    schemes: BothSchemes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.legacy.RAW_BYTES_MAX", 300)
    monkeypatch.setattr("router.legacy.COMPILED_FILTERS_MAX", 3)
    cells = unshared_cells()
    tables = LegacyTables(schemes.plane.store, EdgeMeter(cells))
    for _ in range(3):
        for site_no, host in ((1, HOST), (2, OTHER_HOST)):
            table = tables.table_of(site_no)
            assert tables.find(table, Scheme.LEGACY_COMPILED, f"{host}/x".encode()) is not None
            assert cells[cell(TABLE_CACHE_BYTES)] == len(table.raw or b"")
            assert cells[cell(TABLE_CACHE_FILTERS)] == len(table.compiled or ())
    assert (cells[cell(TABLE_HITS)], cells[cell(TABLE_MISSES)]) == (0, 6)
    tables.clear()
    assert cells[cell(TABLE_CACHE_BYTES)] == cells[cell(TABLE_CACHE_FILTERS)] == 0


def test_a_policy_that_cannot_be_read_leaves_the_last_good_one_in_force(schemes: BothSchemes) -> None:
    edge = schemes.edges["by policy"]
    edge._resolver.policy = Policy(default=Scheme.LEGACY)
    with schemes.plane.store.write() as transaction:
        transaction.put(Database.POLICY, b"current", b"{")
    with capture_logs() as logs:
        assert schemes.ask("by policy", HOST).status == 200
    assert edge._resolver.policy == Policy(default=Scheme.LEGACY)
    assert [entry["event"] for entry in logs] == ["policy.unreadable"]
    assert AFTER_HASH in table_of(schemes)


def test_legacy_parses_and_compiles_for_each_request_and_keeps_nothing_but_bytes(
    schemes: BothSchemes, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    real = legacy.compile_pattern
    monkeypatch.setattr(legacy, "compile_pattern", lambda pattern: compiled.append(pattern) or real(pattern))
    tables = LegacyTables(schemes.plane.store, EdgeMeter(unshared_cells()))
    table = tables.table_of(1)
    for asked in (1, 2, 3):
        assert tables.find(table, Scheme.LEGACY, f"{HOST}/x".encode()) is not None
        assert len(compiled) == asked * len(set(compiled))
    assert table.compiled is None
    assert real(compiled[0]) is not real(compiled[0]), "the library must not remember it either"


def test_legacy_compiled_compiles_once_a_version_of_the_table(
    schemes: BothSchemes, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[str] = []
    real = legacy.compile_pattern
    monkeypatch.setattr(legacy, "compile_pattern", lambda pattern: compiled.append(pattern) or real(pattern))
    tables = LegacyTables(schemes.plane.store, EdgeMeter(unshared_cells()))
    for _ in range(3):
        assert tables.find(tables.table_of(1), Scheme.LEGACY_COMPILED, f"{HOST}/x".encode()) is not None
    assert len(compiled) == len(set(compiled)) == len(tables.table_of(1).compiled or ())
    schemes.deploy(SICK, 2, "main")
    tables.forget([1])
    assert tables.find(tables.table_of(1), Scheme.LEGACY_COMPILED, f"{HOST}/x".encode()) is not None
    assert len(compiled) > len(set(compiled))


@pytest.mark.parametrize("arm", LEGACY_ARMS)
def test_every_request_by_a_table_is_timed_and_its_table_comes_from_the_cache(schemes: BothSchemes, arm: str) -> None:
    for _ in range(3):
        assert schemes.ask(arm, HOST).status == 200
    reading = Reading(tuple(schemes.edges[arm]._meter.cells))
    assert reading.resolve_seconds(scheme=arm).count == 3
    assert (reading.count(TABLE_HITS), reading.count(TABLE_MISSES)) == (2, 1)
