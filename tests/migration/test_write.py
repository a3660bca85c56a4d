"""Compare-and-set: a newer route stays, a changed site is left alone, a host of two sites goes to neither."""

import pytest

from migration.runs import claim_of
from migration.write import CONTESTED, FOREIGN, NEWER, TAKEN, THERE_ALREADY, Changes, Written, write_rows
from router.kv.schema import SITE_NO, Database
from router.pipeline import Pipeline
from tests.migration.legacy_store import LegacyStore

ONE, OTHER = "6W0pZlHGtHJYMW0mGjB0oA", "7W0pZlHGtHJYMW0mGjB0oA"
KEY, NEXT = b"k" * 16, b"l" * 16


def value(site_no: int = 1, manifest: str = ONE) -> bytes:
    return Pipeline(site_no, manifest).encode()


def write(legacy: LegacyStore, *rows: bytes, changes: Changes = Changes(0)) -> Written:  # noqa: B008  # frozen
    with legacy.it.store.write() as transaction:
        return write_rows(transaction, sorted(rows), changes)


def put_route(legacy: LegacyStore, key: bytes, stored: bytes) -> None:
    with legacy.it.store.write() as transaction:
        transaction.put(Database.ROUTES, key, stored)


def test_what_is_not_there_is_written(legacy: LegacyStore) -> None:
    written = write(legacy, KEY + value(), NEXT + value())
    assert (written.migrated, written.skipped, written.refused) == (2, {}, [])
    assert legacy.routes() == {KEY: value(), NEXT: value()}


def test_writing_again_changes_nothing(legacy: LegacyStore) -> None:
    write(legacy, KEY + value())
    assert write(legacy, KEY + value(), NEXT + value()).skipped == {THERE_ALREADY: 1}


def test_a_newer_route_of_the_site_stays(legacy: LegacyStore) -> None:
    put_route(legacy, KEY, value(manifest=OTHER))
    assert write(legacy, KEY + value()).skipped == {NEWER: 1}
    assert legacy.routes() == {KEY: value(manifest=OTHER)}


def test_a_host_that_another_site_has_stays_that_sites(legacy: LegacyStore) -> None:
    put_route(legacy, KEY, value(site_no=11))
    assert [each.reason for each in write(legacy, KEY + value(site_no=1)).refused] == [TAKEN]
    assert legacy.routes() == {KEY: value(site_no=11)}


@pytest.mark.parametrize("claim", [value(site_no=2), claim_of(2)])
def test_a_host_in_two_sites_tables_goes_to_neither(legacy: LegacyStore, claim: bytes) -> None:
    written = write(legacy, KEY + value(site_no=1), KEY + claim, NEXT + value())
    assert {(each.site_no, each.reason) for each in written.refused} == {(1, CONTESTED), (2, CONTESTED)}
    assert legacy.routes() == {NEXT: value()}


def test_a_claim_alone_is_a_failure_of_the_site_that_made_it(legacy: LegacyStore) -> None:
    assert [each.reason for each in write(legacy, KEY + claim_of(2)).refused] == [FOREIGN]


def test_rows_of_a_site_that_changed_are_left_for_later(legacy: LegacyStore) -> None:
    written = write(legacy, KEY + value(1), NEXT + value(2), changes=Changes(0, frozenset({1})))
    assert (written.migrated, written.deferred) == (1, 1)
    assert legacy.routes() == {NEXT: value(2)}


def test_the_feed_names_sites_whose_record_or_table_changed_since(legacy: LegacyStore) -> None:
    with legacy.it.store.read() as snapshot:
        begun = Changes(0).read_on(snapshot)
    legacy.put_table(2, legacy.table(2))
    with legacy.it.store.read() as snapshot:
        seen = Changes(begun.seq).read_on(snapshot)
    assert (seen.site_nos, seen.everything) == (frozenset({2}), False)


def test_a_gap_in_the_feed_counts_as_everything(legacy: LegacyStore) -> None:
    for _ in range(3):
        legacy.put_table(2, legacy.table(2))
    with legacy.it.store.write() as transaction:
        first = next(transaction.scan(Database.FEED))[0]
        transaction.delete(Database.FEED, first)
    with legacy.it.store.read() as snapshot:
        assert Changes(0).read_on(snapshot).includes(999)


def test_no_edge_is_told_of_what_changes_no_answer(legacy: LegacyStore) -> None:
    with legacy.it.store.read() as snapshot:
        before = Changes(0).read_on(snapshot).seq
    write(legacy, KEY + value())
    with legacy.it.store.read() as snapshot:
        assert Changes(0).read_on(snapshot).seq == before
        assert snapshot.get(Database.SITES, SITE_NO.pack(1)) is not None
