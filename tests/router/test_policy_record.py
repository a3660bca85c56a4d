"""The stored policy and its log: nothing lost between operators, every change can be taken back, bad bytes refused."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import policy_record
from router.kv.schema import Database
from router.kv.store import Store, open_store
from router.policy import Percentage, Policy, Scheme, Split
from router.policy_record import (
    PolicyRefused,
    PolicyUnreadable,
    change_policy,
    changes_newest_first,
    decode_policy,
    encode_policy,
    parse_json,
    read_policy,
    undo_last,
)

PERCENTS = st.floats(0, 100)
SCHEMES = st.sampled_from(list(Scheme))
SITES = st.integers(1, 2**32 - 1)
POLICIES = st.builds(
    Policy,
    generation=st.integers(0, 2**53),
    default=SCHEMES,
    pins=st.dictionaries(SITES, SCHEMES, max_size=3),
    splits=st.dictionaries(SITES, st.builds(Split, PERCENTS, SCHEMES, st.booleans()), max_size=3),
    data_centres=st.dictionaries(st.text("abc", min_size=1), SCHEMES, max_size=3),
    percentage=st.none() | st.builds(Percentage, PERCENTS, SCHEMES),
    shadow_percent=PERCENTS,
    server_timing=st.frozensets(SITES, max_size=3),
    server_timing_everywhere=st.booleans(),
    salt=st.text("0123456789abcdef"),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "kv", create=True) as opened:
        yield opened


def pin(store: Store, site_no: int, scheme: Scheme = Scheme.LEGACY, *, who: str = "a") -> Policy:
    with store.write() as transaction:
        return change_policy(
            transaction,
            lambda policy: replace(policy, pins={**policy.pins, site_no: scheme}),
            who=who, when="now", why="because", what=f"pin {site_no} {scheme}",
        )  # fmt: skip


def current(store: Store) -> Policy:
    with store.read() as snapshot:
        return read_policy(snapshot)


def undo(store: Store) -> int:
    with store.write() as transaction:
        return undo_last(transaction, who="b", when="later", why="").generation


@given(POLICIES)
def test_a_policy_comes_back_as_it_was_stored(policy: Policy) -> None:
    assert decode_policy(encode_policy(policy)) == policy


@pytest.mark.parametrize(
    "value",
    [
        b"", b"[]", b"{", b'{"percentage":{"percent":101}}', b'{"percentage":{"percent":"5"}}', b'{"percentage":{}}',
        b'{"default":"fast"}', b'{"pins":{"x":"legacy"}}', b'{"pins":[]}', b'{"splits":{"1":{"hashed_percent":-1}}}',
        b'{"shadow_percent":true}', b'{"server_timing":3}', b'{"new":1}', b'{"default":null}',
        b'{"shadow_percent":1e999}',
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused(value: bytes) -> None:
    with pytest.raises(PolicyUnreadable):
        decode_policy(parse_json(value))


def test_a_change_has_a_generation_and_who_when_and_why(store: Store) -> None:
    assert current(store) == Policy()
    assert pin(store, 7).generation == 1
    assert pin(store, 8, who="c").pins == {7: Scheme.LEGACY, 8: Scheme.LEGACY}
    with store.read() as snapshot:
        newest, oldest = changes_newest_first(snapshot)
    assert (newest.generation, newest.who, newest.when, newest.why, newest.what) == (
        2,
        "c",
        "now",
        "because",
        "pin 8 legacy",
    )
    assert newest.before.pins == {7: Scheme.LEGACY}
    assert oldest.before == Policy()


def test_a_refused_change_leaves_nothing(store: Store) -> None:
    def refuse(policy: Policy) -> Policy:
        raise PolicyRefused("no")

    with pytest.raises(PolicyRefused), store.write() as transaction:
        change_policy(transaction, refuse, who="a", when="now", why="", what="")
    assert current(store) == Policy()
    with store.read() as snapshot:
        assert snapshot.count(Database.POLICY) == 0


def test_undoing_goes_back_change_by_change(store: Store) -> None:
    for site_no in (1, 2, 3):
        pin(store, site_no)
    assert undo(store) == 3
    assert current(store).pins.keys() == {1, 2}
    assert undo(store) == 2
    pin(store, 4)
    assert current(store).pins.keys() == {1, 4}
    assert undo(store) == 6
    assert undo(store) == 1
    assert current(store).pins == {}
    with pytest.raises(PolicyRefused, match="no change left"):
        undo(store)
    assert current(store).generation == 8


def test_the_salt_is_made_once(store: Store) -> None:
    salt = pin(store, 1).salt
    assert salt
    assert pin(store, 2).salt == undo_and_read(store).salt == salt


def undo_and_read(store: Store) -> Policy:
    undo(store)
    undo(store)
    return current(store)


def test_the_log_and_what_a_policy_names_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_record, "LOG_MAX", 3)
    monkeypatch.setattr(policy_record, "SITES_NAMED_MAX", 5)
    for site_no in range(1, 6):
        pin(store, site_no)
    with store.read() as snapshot:
        assert [entry.generation for entry in changes_newest_first(snapshot)] == [5, 4, 3]
    with pytest.raises(PolicyRefused, match="at most 5 pins"):
        pin(store, 6)


def test_two_operators_at_once_make_one_linear_log(store: Store) -> None:
    """From threads, as from processes: the write lock is one."""
    changes_count = 40

    def operate(who: str, first: int) -> None:
        for site_no in range(first, first + changes_count):
            pin(store, site_no, who=who)

    operators = [threading.Thread(target=operate, args=(who, first)) for who, first in (("a", 1), ("b", 1001))]
    for each in operators:
        each.start()
    for each in operators:
        each.join()
    with store.read() as snapshot:
        entries = list(changes_newest_first(snapshot))
    assert [entry.generation for entry in entries] == list(range(2 * changes_count, 0, -1))
    assert len(current(store).pins) == 2 * changes_count
    for older, newer in zip(entries[1:], entries, strict=False):
        assert newer.before.generation == older.generation
