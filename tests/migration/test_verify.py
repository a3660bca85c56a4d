"""Both schemes compared whole: whatever differs about a host is found, in either direction."""

from migration.verify import Kind, has_verified, note_verified
from router.hashed import delete_route, put_route
from router.hostname import Hostname
from router.legacy_table import Filter, parse_table
from router.pipeline import Pipeline
from tests.migration.legacy_store import LegacyStore

MANIFEST = "6W0pZlHGtHJYMW0mGjB0oA"


def kinds(legacy: LegacyStore, site_no: int = 1) -> list[tuple[str, Kind]]:
    return [(each.what, each.kind) for each in legacy.verify(site_no).differences]


def host_of(legacy: LegacyStore, site_no: int = 1) -> str:
    return next(parse_table(legacy.table(site_no))).host


def test_what_is_not_migrated_is_found(legacy: LegacyStore) -> None:
    assert {kind for _, kind in kinds(legacy)} == {Kind.NOT_MIGRATED}
    assert legacy.verify(1).differences_count == 11


def test_a_migrated_site_verifies(legacy: LegacyStore) -> None:
    legacy.migrate()
    verified = legacy.verify(1)
    assert (verified.is_sound, verified.same, verified.differences) == (True, 11, [])


def test_a_route_that_shows_something_else_is_found(legacy: LegacyStore) -> None:
    legacy.migrate()
    host = host_of(legacy)
    with legacy.it.store.write() as transaction:
        put_route(transaction, legacy.it.keys, Hostname(host), Pipeline(1, MANIFEST))
    assert kinds(legacy) == [(host, Kind.OTHER)]


def test_a_route_that_is_gone_is_found(legacy: LegacyStore) -> None:
    legacy.migrate()
    host = host_of(legacy)
    with legacy.it.store.write() as transaction:
        delete_route(transaction, legacy.it.keys, Hostname(host))
    assert kinds(legacy) == [(host, Kind.NOT_MIGRATED)]


def test_a_host_that_only_the_hashed_scheme_has_is_found(legacy: LegacyStore) -> None:
    legacy.migrate()
    filters = list(parse_table(legacy.table(1)))
    legacy.put_table(1, filters[1:])
    assert kinds(legacy) == [(filters[0].host, Kind.NOT_IN_TABLE)]


def test_a_filter_that_leads_nowhere_is_found(legacy: LegacyStore) -> None:
    legacy.migrate()
    filters = list(parse_table(legacy.table(1)))
    legacy.put_table(1, [Filter(filters[0].host, "0" * 32), *filters[1:]])
    assert Kind.UNREADABLE in {kind for _, kind in kinds(legacy)}


def test_a_site_counts_as_verified_with_the_table_that_it_had_then(legacy: LegacyStore) -> None:
    legacy.migrate()
    with legacy.it.store.write() as transaction:
        note_verified(transaction, legacy.verify(1))
        assert has_verified(transaction, 1)
        assert not has_verified(transaction, 2)
    legacy.put_table(1, list(parse_table(legacy.table(1)))[1:])
    with legacy.it.store.read() as snapshot:
        assert not has_verified(snapshot, 1)


def test_a_site_that_no_longer_verifies_is_forgotten(legacy: LegacyStore) -> None:
    legacy.migrate()
    with legacy.it.store.write() as transaction:
        note_verified(transaction, legacy.verify(1))
        delete_route(transaction, legacy.it.keys, Hostname(host_of(legacy)))
    with legacy.it.store.write() as transaction:
        note_verified(transaction, legacy.verify(1))
        assert not has_verified(transaction, 1)
