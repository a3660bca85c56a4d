"""The key ring's file and the store's word on it: made once, private, refused when it is another's. Hardening 66."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.hashing import HashKey, KeyRing
from router.key_files import (
    KeysRefused,
    live_key_ids,
    make_key,
    open_key_ring,
    prove_key_ring,
    put_live_keys,
    read_key_ring,
    settle_pages_domain,
    tidy_key_file,
    write_key_ring,
)
from router.kv.schema import Database
from router.kv.store import Store, open_store

OLD = HashKey("01d", b"o" * 32)
NEW = HashKey("ae3", b"n" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "kv", create=True) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "route-keys.json"


def make_live(store: Store, keys: KeyRing) -> None:
    with store.write() as transaction:
        put_live_keys(transaction, keys)


# -- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [KeyRing(OLD), KeyRing(NEW, OLD)])
def test_a_ring_is_read_back_as_it_was_written(path: Path, keys: KeyRing) -> None:
    write_key_ring(path, keys)
    assert read_key_ring(path) == keys


def test_the_file_is_private_whatever_the_umask_and_leaves_no_other_behind(path: Path) -> None:
    before = os.umask(0)
    try:
        write_key_ring(path, KeyRing(OLD))
        write_key_ring(path, KeyRing(NEW))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_file_left_over_from_a_crash_is_no_hindrance(path: Path) -> None:
    path.with_name(path.name + ".new").write_text("torn")
    write_key_ring(path, KeyRing(OLD))
    assert read_key_ring(path) == KeyRing(OLD)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_66_a_file_that_others_may_read_is_refused_with_what_to_do(path: Path, mode: int) -> None:
    write_key_ring(path, KeyRing(OLD))
    path.chmod(mode)
    with pytest.raises(KeysRefused, match="chmod 600"):
        read_key_ring(path)


def test_66_a_missing_file_is_refused_with_what_to_do(path: Path) -> None:
    with pytest.raises(KeysRefused, match="restore it from a backup"):
        read_key_ring(path)


def document(**changes: object) -> str:
    return json.dumps({"v": 1, "keys": [{"id": "01d", "secret": "6f" * 32}]} | changes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        document(v=2),
        document(keys=[]),
        document(keys={}),
        document(keys=[{"id": "01d"}]),
        document(keys=[{"id": "01d", "secret": "6f" * 31}]),
        document(keys=[{"id": "01d", "secret": "zz" * 32}]),
        document(keys=[{"id": 1, "secret": "6f" * 32}]),
        document(keys=[{"id": "a b", "secret": "6f" * 32}]),
        document(keys=[{"id": "", "secret": "6f" * 32}]),
        document(keys=[{"id": "01d", "secret": "6f" * 32}] * 2),
        document(keys=[{"id": name, "secret": "6f" * 32} for name in ("a", "b", "c")]),
        document()[:-5],
        "\N{SNOWMAN}",
    ],
)
def test_82_a_file_of_another_form_is_refused_and_its_text_not_shown(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(KeysRefused) as refused:
        read_key_ring(path)
    assert "6f6f" not in str(refused.value)
    assert "restore it from a backup" in str(refused.value)


def test_keys_are_random(path: Path) -> None:
    assert make_key() != make_key()
    assert len(make_key().secret) == 32


# -- the file and the store ------------------------------------------------------------------------------------------


def test_a_new_store_gets_a_ring_and_keeps_it(store: Store, path: Path) -> None:
    keys = open_key_ring(store, path)
    assert open_key_ring(store, path) == keys == read_key_ring(path)
    with store.read() as snapshot:
        assert live_key_ids(snapshot) == (keys.current.id,)
        assert snapshot.get(Database.META, b"key_check:" + keys.current.id.encode()) == keys.current.check_value()


def test_no_secret_is_in_the_store(store: Store, path: Path, tmp_path: Path) -> None:
    keys = open_key_ring(store, path)
    pages = (tmp_path / "kv" / "data.mdb").read_bytes()
    assert keys.current.secret not in pages
    assert keys.current.secret.hex().encode() not in pages


def test_66_a_crash_between_the_file_and_the_store_leaves_a_start_that_works(store: Store, path: Path) -> None:
    write_key_ring(path, KeyRing(OLD))
    assert open_key_ring(store, path) == KeyRing(OLD)


def test_66_a_lost_ring_is_refused_and_no_other_is_made(store: Store, path: Path) -> None:
    open_key_ring(store, path)
    path.unlink()
    with pytest.raises(KeysRefused, match="restore it from a backup"):
        open_key_ring(store, path)
    assert not path.exists()


def test_66_another_store_s_ring_is_refused(store: Store, path: Path) -> None:
    make_live(store, KeyRing(OLD))
    write_key_ring(path, KeyRing(NEW))
    with pytest.raises(KeysRefused, match="01d"):
        open_key_ring(store, path)


def test_66_another_secret_under_the_same_id_is_refused(store: Store, path: Path) -> None:
    make_live(store, KeyRing(OLD))
    write_key_ring(path, KeyRing(HashKey("01d", b"x" * 32)))
    with pytest.raises(KeysRefused, match="isn't the one that this store was made with"):
        open_key_ring(store, path)


@pytest.mark.parametrize("left", [OLD, NEW])
def test_66_in_mid_rotation_a_ring_without_one_of_the_keys_is_refused(store: Store, path: Path, left: HashKey) -> None:
    make_live(store, KeyRing(NEW, OLD))
    write_key_ring(path, KeyRing(left))
    with pytest.raises(KeysRefused, match="ae3, 01d"):
        open_key_ring(store, path)


def test_routes_without_a_word_on_their_key_are_refused(store: Store, path: Path) -> None:
    with store.write() as transaction:
        transaction.put(Database.ROUTES, b"r" * 16, b"value")
    with pytest.raises(KeysRefused, match="restore a backup"):
        open_key_ring(store, path)
    assert not path.exists()


def test_the_store_says_which_keys_are_live_and_in_what_order(store: Store, path: Path) -> None:
    write_key_ring(path, KeyRing(OLD, NEW))
    make_live(store, KeyRing(NEW, OLD))
    assert prove_key_ring(store, read_key_ring(path), path) == KeyRing(NEW, OLD)
    make_live(store, KeyRing(NEW))
    assert prove_key_ring(store, read_key_ring(path), path) == KeyRing(NEW)


def test_a_key_that_is_not_live_is_tidied_out_of_the_file_and_a_live_one_is_not(store: Store, path: Path) -> None:
    write_key_ring(path, KeyRing(OLD, NEW))
    make_live(store, KeyRing(NEW, OLD))
    tidy_key_file(store, path)
    assert set(read_key_ring(path).keys) == {OLD, NEW}
    make_live(store, KeyRing(NEW))
    tidy_key_file(store, path)
    assert read_key_ring(path) == KeyRing(NEW)


def test_a_file_without_the_live_keys_is_not_tidied(store: Store, path: Path) -> None:
    make_live(store, KeyRing(HashKey("b0b", b"b" * 32)))
    write_key_ring(path, KeyRing(OLD, NEW))
    tidy_key_file(store, path)
    assert read_key_ring(path) == KeyRing(OLD, NEW)


# -- the pages domain ------------------------------------------------------------------------------------------------


def test_a_store_stays_with_the_pages_domain_that_it_was_made_for(store: Store) -> None:
    settle_pages_domain(store, "pages.localhost")
    settle_pages_domain(store, "pages.localhost")
    with pytest.raises(KeysRefused, match=r"start with --pages-domain pages\.localhost"):
        settle_pages_domain(store, "sites.example")
