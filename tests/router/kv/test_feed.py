"""The feed: an entry a transaction, exact or "everything", bounded; a reader that misses nothing."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.kv import feed_reader
from router.kv.feed import (
    EVERYTHING_CHANGED,
    ROUTES_NAMED_MAX,
    SITES_NAMED_MAX,
    Change,
    ChangeUnreadable,
)
from router.kv.feed_reader import CATCH_UP_MAX, FeedReader
from router.kv.schema import FEED_SEQ, SITE_NO, Database
from router.kv.store import Store, open_store

KEY = b"k" * 16
ROUTE_KEYS = st.binary(min_size=16, max_size=16)
CHANGES = st.builds(
    Change,
    route_keys=st.frozensets(ROUTE_KEYS, max_size=5),
    site_nos=st.frozensets(st.integers(0, 2**32 - 1), max_size=5),
    policy=st.booleans(),
    keys_rotated=st.booleans(),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "kv", create=True) as opened:
        yield opened


def put_route(store: Store, key: bytes = KEY) -> None:
    with store.write() as transaction:
        transaction.put(Database.ROUTES, key, b"value")


def numbered(number: int) -> bytes:
    return number.to_bytes(16, "big")


@given(CHANGES)
def test_a_change_is_read_back_as_it_was_encoded(change: Change) -> None:
    assert Change.parse(change.encode()) == change


def test_a_change_that_cannot_name_all_says_everything() -> None:
    many = frozenset(numbered(each) for each in range(ROUTES_NAMED_MAX + 1))
    for change in (Change(many), Change(site_nos=frozenset(range(SITES_NAMED_MAX + 1)))):
        assert Change.parse(change.encode()).everything
        assert len(change.encode()) < 10
    named = Change(frozenset(sorted(many)[1:]), keys_rotated=True)
    assert Change.parse(named.encode()) == named


@given(st.binary(max_size=60))
def test_any_bytes_are_a_change_or_unreadable(value: bytes) -> None:
    try:
        change = Change.parse(value)
    except ChangeUnreadable:
        return
    assert Change.parse(change.encode()).route_keys == (change.route_keys if not change.everything else frozenset())


@given(CHANGES, st.data())
def test_a_cut_change_is_unreadable_or_names_less(change: Change, data: st.DataObject) -> None:
    value = change.encode()
    try:
        cut = Change.parse(value[: data.draw(st.integers(0, len(value) - 1))])
    except ChangeUnreadable:
        return
    assert cut.route_keys < change.route_keys


@given(st.lists(CHANGES, max_size=4))
def test_merged_changes_name_what_each_of_them_names(changes: list[Change]) -> None:
    merged = Change.merged(changes)
    assert all(change.route_keys <= merged.route_keys and change.site_nos <= merged.site_nos for change in changes)
    assert merged.policy == any(change.policy for change in changes)


def test_a_reader_is_told_the_routes_sites_and_policy_of_a_commit(store: Store) -> None:
    reader = FeedReader(store)
    with store.write() as transaction:
        transaction.put(Database.ROUTES, KEY, b"value")
        transaction.put(Database.SITES, SITE_NO.pack(7), b"site")
        transaction.put(Database.POLICY, b"policy", b"{}")
    assert reader.changes_since_last_look() == Change(frozenset({KEY}), frozenset({7}), policy=True)
    assert reader.changes_since_last_look() is None


def test_a_reader_is_told_whose_routing_table_a_commit_changed(store: Store) -> None:
    reader = FeedReader(store)
    with store.write() as transaction:
        transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(7), b"table")
    assert reader.changes_since_last_look() == Change(site_nos=frozenset({7}))


def test_what_is_done_last_in_a_transaction_is_in_the_feed_with_it(store: Store) -> None:
    reader = FeedReader(store)
    with store.write() as transaction:
        transaction.before_commit(lambda: transaction.put(Database.ROUTES, KEY, b"value"))
        assert transaction.get(Database.ROUTES, KEY) is None
    assert reader.changes_since_last_look() == Change(frozenset({KEY}))


def test_a_last_action_that_fails_takes_back_everything(store: Store) -> None:
    def fail() -> None:
        raise KeyError

    reader = FeedReader(store)
    with suppress(KeyError), store.write() as transaction:
        transaction.put(Database.ROUTES, KEY, b"value")
        transaction.before_commit(fail)
    assert reader.changes_since_last_look() is None


def test_a_deleted_route_is_named_and_one_that_was_not_there_is_not(store: Store) -> None:
    put_route(store)
    reader = FeedReader(store)
    with store.write() as transaction:
        assert transaction.delete(Database.ROUTES, KEY)
        assert not transaction.delete(Database.ROUTES, numbered(1))
    assert reader.changes_since_last_look() == Change(frozenset({KEY}))


@pytest.mark.parametrize("database", [Database.DEPLOYMENTS, Database.MANIFESTS, Database.TOKENS, Database.META])
def test_a_commit_that_changes_no_decision_leaves_the_feed_alone(store: Store, database: Database) -> None:
    reader = FeedReader(store)
    with store.write() as transaction:
        transaction.put(database, b"key", b"value")
    assert reader.changes_since_last_look() is None
    with store.read() as snapshot:
        assert snapshot.count(Database.FEED) == 0


def test_an_aborted_transaction_is_not_in_the_feed(store: Store) -> None:
    reader = FeedReader(store)
    with suppress(KeyError), store.write() as transaction:
        transaction.put(Database.ROUTES, KEY, b"value")
        raise KeyError
    assert reader.changes_since_last_look() is None


def test_a_move_to_another_key_is_not_in_the_feed(store: Store) -> None:
    put_route(store, numbered(1))
    reader = FeedReader(store)
    with store.write() as transaction:
        assert transaction.move_route(numbered(1), numbered(2))
    assert reader.changes_since_last_look() is None


def test_several_commits_are_told_as_one_change(store: Store) -> None:
    reader = FeedReader(store)
    put_route(store, numbered(1))
    put_route(store, numbered(2))
    assert reader.changes_since_last_look() == Change(frozenset({numbered(1), numbered(2)}))


def test_a_bulk_write_is_told_as_everything(store: Store) -> None:
    reader = FeedReader(store)
    with store.write() as transaction:
        transaction.put_many(Database.ROUTES, ((numbered(each), b"v") for each in range(ROUTES_NAMED_MAX + 1)))
    assert reader.changes_since_last_look() == EVERYTHING_CHANGED


def test_the_feed_keeps_its_newest_entries_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.kv.snapshot.ENTRIES_MAX", 5)
    for each in range(12):
        put_route(store, numbered(each))
    with store.read() as snapshot:
        assert [FEED_SEQ.unpack(key)[0] for key, _ in snapshot.scan(Database.FEED)] == [8, 9, 10, 11, 12]


def lose_entries(store: Store) -> None:
    for each in range(3):
        put_route(store, numbered(each))
    with store.write() as transaction:
        transaction.delete(Database.FEED, FEED_SEQ.pack(1))


def damage_an_entry(store: Store) -> None:
    put_route(store)
    with store.write() as transaction:
        transaction.put(Database.FEED, FEED_SEQ.pack(1), b"\xff")


def fall_far_behind(store: Store) -> None:
    with store.write() as transaction:
        transaction.put(Database.FEED, FEED_SEQ.pack(CATCH_UP_MAX + 1), Change(frozenset({KEY})).encode())


@pytest.mark.parametrize("mishap", [lose_entries, damage_an_entry, fall_far_behind])
def test_a_reader_that_cannot_know_all_is_told_everything_once(store: Store, mishap: Callable[[Store], None]) -> None:
    reader = FeedReader(store)
    mishap(store)
    assert reader.changes_since_last_look() == EVERYTHING_CHANGED
    put_route(store, numbered(9))
    assert reader.changes_since_last_look() == Change(frozenset({numbered(9)}))


def test_a_feed_that_went_back_is_everything(store: Store) -> None:
    put_route(store, numbered(1))
    put_route(store, numbered(2))
    reader = FeedReader(store)
    with store.write() as transaction:
        transaction.delete(Database.FEED, FEED_SEQ.pack(2))
    assert reader.changes_since_last_look() == EVERYTHING_CHANGED


def test_the_end_of_an_empty_feed_is_zero(store: Store) -> None:
    with store.read() as snapshot:
        assert feed_reader.last_seq(snapshot) == 0


def test_a_commit_that_is_being_synced_while_a_reader_looks_is_told_all_the_same(store: Store) -> None:
    """LMDB shows a commit's number before readers can begin with it: a look in between must not count it as seen."""
    reader = FeedReader(store)
    for number in range(30):
        key = number.to_bytes(16, "big")

        def commit(key: bytes = key) -> None:
            with store.write() as transaction:
                transaction.put(Database.ROUTES, key, b"value")

        writer = Thread(target=commit)
        writer.start()
        told: set[bytes] = set()
        while writer.is_alive():
            told |= getattr(reader.changes_since_last_look(), "route_keys", frozenset())
        writer.join()
        told |= getattr(reader.changes_since_last_look(), "route_keys", frozenset())
        assert told == {key}
