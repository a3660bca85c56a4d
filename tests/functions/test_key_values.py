"""Namespaces of keys and values: what can be put, what is found again, in which order, until when."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.key_values import (
    Entry,
    KeyValueRefused,
    KeyValueStore,
    Namespace,
    after_prefix,
    decode_cursor,
    encode_cursor,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KeyValueStore]:
    with KeyValueStore.opened(tmp_path / "functions" / "kv.sqlite") as opened:
        yield opened


def put(
    store: KeyValueStore, key: str, value: bytes = b"v", namespace: str = "n", expires_s: int | None = None
) -> None:
    store.put(namespace, key, Entry(value, None, expires_s), now_s=1000)


def test_a_value_is_its_namespaces_and_comes_back_whole(store: KeyValueStore) -> None:
    entry = Entry(b"\x00\xff", '{"a":"\u00e9"}', 2000)
    store.put("n", "key", entry, now_s=1000)
    assert store.get("n", "key", now_s=1000) == entry
    assert store.get("other", "key", now_s=1000) is None
    store.delete("n", "key")
    assert store.get("n", "key", now_s=1000) is None


def test_an_expired_key_is_gone_for_readers_and_lists_at_once(store: KeyValueStore) -> None:
    put(store, "short", expires_s=1100)
    assert store.get("n", "short", now_s=1099) is not None
    assert store.get("n", "short", now_s=1100) is None
    assert store.list_keys("n", prefix="", after="", limit=10, now_s=1100) == ([], True)


@pytest.mark.parametrize("key", ["", ".", "..", "k" * 513, "\u00e9" * 257])
def test_keys_out_of_bounds_are_refused(store: KeyValueStore, key: str) -> None:
    with pytest.raises(KeyValueRefused):
        put(store, key)


def test_values_metadata_and_ends_out_of_bounds_are_refused(store: KeyValueStore) -> None:
    for entry in (
        Entry(b"x" * (25 * 1024**2 + 1), None, None),
        Entry(b"", '"' + "x" * 1024 + '"', None),
        Entry(b"", None, 1059),
    ):
        with pytest.raises(KeyValueRefused):
            store.put("n", "key", entry, now_s=1000)


@given(
    keys=st.sets(st.text(min_size=1, max_size=8).filter(lambda key: key not in (".", "..")), max_size=20),
    prefix=st.text(max_size=2),
)
def test_listing_page_by_page_gives_every_key_of_a_prefix_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, keys: set[str], prefix: str
) -> None:
    with KeyValueStore.opened(tmp_path_factory.mktemp("kv") / "kv.sqlite") as store:
        for key in keys:
            put(store, key)
        found: list[str] = []
        is_complete = False
        while not is_complete:
            after = decode_cursor(encode_cursor(found[-1])) if found else ""
            page, is_complete = store.list_keys("n", prefix=prefix, after=after, limit=3, now_s=1000)
            found += [each.key for each in page]
    wanted = sorted(key.encode() for key in keys if key.startswith(prefix))
    assert [key.encode() for key in found] == wanted


def test_the_end_of_a_prefix_is_past_all_that_begin_with_it() -> None:
    assert after_prefix(b"ab") == b"ac"
    assert after_prefix(b"a\xff") == b"b"
    assert after_prefix(b"") is None
    assert after_prefix(b"\xff\xff") is None


def test_namespaces_have_one_title_each_and_take_their_keys_along(store: KeyValueStore) -> None:
    store.add_namespace(Namespace("1" * 32, "one"))
    with pytest.raises(KeyValueRefused):
        store.add_namespace(Namespace("2" * 32, "one"))
    put(store, "key", namespace="1" * 32)
    assert store.has_namespace("1" * 32)
    store.remove_namespace("1" * 32)
    assert store.namespaces() == []
    assert store.get("1" * 32, "key", now_s=1000) is None


def test_several_processes_may_have_it_open(tmp_path: Path) -> None:
    path = tmp_path / "kv.sqlite"
    with KeyValueStore.opened(path) as one, KeyValueStore.opened(path) as other:
        put(one, "key", b"seen")
        found = other.get("n", "key", now_s=1000)
    assert found is not None
    assert found.value == b"seen"
