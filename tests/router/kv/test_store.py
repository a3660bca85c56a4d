"""The store's contract: snapshots that stay as they were, transactions whole or not at all, scans in key order."""

import multiprocessing
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.kv.environment import largest_map_bytes
from router.kv.errors import SchemaUnknown, StoreMissing
from router.kv.schema import SCHEMA_VERSION, Database
from router.kv.snapshot import next_prefix
from router.kv.store import Store, open_store

LARGEST_USUAL_DISK_BYTES = 10**12
KEYS = st.binary(min_size=1, max_size=4)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "kv", create=True) as opened:
        yield opened


def put(store: Store, key: bytes, value: bytes = b"value", database: Database = Database.MANIFESTS) -> None:
    with store.write() as transaction:
        transaction.put(database, key, value)


def test_a_transaction_is_visible_when_its_block_has_ended_and_not_before(store: Store) -> None:
    with store.write() as transaction:
        transaction.put(Database.MANIFESTS, b"a", b"1")
        assert transaction.get(Database.MANIFESTS, b"a") == b"1"
        with store.read() as snapshot:
            assert snapshot.get(Database.MANIFESTS, b"a") is None
    with store.read() as snapshot:
        assert snapshot.get(Database.MANIFESTS, b"a") == b"1"


def put_and_fail(store: Store) -> None:
    with store.write() as transaction:
        transaction.put(Database.MANIFESTS, b"a", b"1")
        raise ZeroDivisionError


def test_an_exception_passes_and_takes_back_everything(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        put_and_fail(store)
    with store.read() as snapshot:
        assert snapshot.count(Database.MANIFESTS) == 0
    put(store, b"b")


def test_a_snapshot_stays_as_it_was_while_others_write(store: Store) -> None:
    put(store, b"a", b"1")
    with store.read() as snapshot:
        put(store, b"a", b"2")
        put(store, b"b")
        assert snapshot.get(Database.MANIFESTS, b"a") == b"1"
        assert snapshot.count(Database.MANIFESTS) == 1
        with store.read() as later:
            assert later.get(Database.MANIFESTS, b"a") == b"2"


def test_snapshots_are_reused_and_never_old(store: Store) -> None:
    for number in range(50):
        put(store, b"a", str(number).encode())
        with store.read() as snapshot, store.read() as other:
            assert snapshot.get(Database.MANIFESTS, b"a") == other.get(Database.MANIFESTS, b"a") == str(number).encode()


def test_a_view_is_the_value_in_place(store: Store) -> None:
    put(store, b"a", b"x" * 100_000)
    with store.read() as snapshot:
        view = snapshot.view(Database.MANIFESTS, b"a")
        assert view is not None
        assert view.readonly
        assert view == b"x" * 100_000


@pytest.mark.parametrize("key", [b"", b"k" * 512, b"k" * 100_000])
def test_nothing_lies_under_a_key_that_cannot_be(store: Store, key: bytes) -> None:
    with store.write() as transaction:
        assert transaction.get(Database.SITE_NAMES, key) is None
        assert transaction.delete(Database.SITE_NAMES, key) is False


@settings(max_examples=25, deadline=None)
@given(rows=st.dictionaries(KEYS, st.binary(max_size=3), max_size=30), prefix=st.binary(max_size=2), data=st.data())
def test_a_scan_is_a_sorted_dict_s(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[bytes, bytes], prefix: bytes, data: st.DataObject
) -> None:
    after = data.draw(st.none() | KEYS | st.sampled_from([*rows, b"\xff"]))
    forwards = [(key, rows[key]) for key in sorted(rows) if key.startswith(prefix) and (after is None or key > after)]
    backwards = [
        (key, rows[key])
        for key in sorted(rows, reverse=True)
        if key.startswith(prefix) and (after is None or key < after)
    ]
    with open_store(tmp_path_factory.mktemp("scan"), create=True) as store:
        with store.write() as transaction:
            transaction.put_many(Database.MANIFESTS, rows.items())
            assert list(transaction.scan(Database.MANIFESTS, prefix=prefix, after=after)) == forwards
        with store.read() as snapshot:
            assert list(snapshot.scan(Database.MANIFESTS, prefix=prefix, after=after)) == forwards
            assert list(snapshot.scan(Database.MANIFESTS, prefix=prefix, after=after, reverse=True)) == backwards
            assert snapshot.count(Database.MANIFESTS) == len(rows)


@given(st.binary(max_size=3))
def test_the_next_prefix_is_the_first_key_past_a_prefix(prefix: bytes) -> None:
    following = next_prefix(prefix)
    if following is None:
        assert set(prefix) <= {0xFF}
    else:
        assert prefix + b"\xff" * 8 < following
        assert not following.startswith(prefix)


def test_a_scan_that_is_left_early_holds_nothing(store: Store) -> None:
    with store.write() as transaction:
        transaction.put_many(Database.MANIFESTS, ((b"%03d" % each, b"v") for each in range(100)))
    with store.read() as snapshot:
        scan = snapshot.scan(Database.MANIFESTS)
        assert next(scan) == (b"000", b"v")
    put(store, b"100")
    scan.close()
    with store.read() as snapshot:
        assert snapshot.count(Database.MANIFESTS) == 101


def test_put_many_replaces_and_keeps_any_order(store: Store) -> None:
    put(store, b"b", b"old")
    with store.write() as transaction:
        transaction.put_many(Database.MANIFESTS, [(b"c", b"3"), (b"b", b"2"), (b"a", b"1")])
    with store.read() as snapshot:
        assert list(snapshot.scan(Database.MANIFESTS)) == [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]


def test_a_moved_route_keeps_its_value_and_never_replaces_a_newer_one(store: Store) -> None:
    with store.write() as transaction:
        transaction.put(Database.ROUTES, b"o" * 16, b"old")
        assert transaction.move_route(b"o" * 16, b"n" * 16)
        assert not transaction.move_route(b"o" * 16, b"n" * 16)
        transaction.put(Database.ROUTES, b"o" * 16, b"older")
        assert transaction.move_route(b"o" * 16, b"n" * 16)
        assert list(transaction.scan(Database.ROUTES)) == [(b"n" * 16, b"old")]


def test_the_last_transaction_s_number_grows_with_each_commit_and_not_with_reads(store: Store) -> None:
    before = store.last_txn_id()
    with store.read() as snapshot:
        snapshot.count(Database.MANIFESTS)
    assert store.last_txn_id() == before
    put(store, b"a")
    assert store.last_txn_id() > before


def test_threads_share_a_store(store: Store) -> None:
    put(store, b"a")
    seen: list[bytes | None] = []

    def read() -> None:
        for _ in range(200):
            with store.read() as snapshot:
                seen.append(snapshot.get(Database.MANIFESTS, b"a"))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        put(store, b"b", str(number).encode())
    for thread in threads:
        thread.join()
    assert seen == [b"value"] * 800


def test_a_new_store_has_a_version_an_id_and_private_files(tmp_path: Path) -> None:
    with open_store(tmp_path / "kv", create=True) as store:
        store_id = store.store_id()
        assert len(store_id) == 32
    with open_store(tmp_path / "kv") as store:
        assert store.store_id() == store_id
        with store.read() as snapshot:
            assert snapshot.get(Database.META, b"schema_version") == str(SCHEMA_VERSION).encode()
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "kv").iterdir()} == {0o600}


def test_a_missing_store_is_refused_unless_it_is_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(StoreMissing, match="onehop serve"), open_store(tmp_path / "kv"):
        pass
    assert not (tmp_path / "kv").exists()


def test_65_a_store_of_another_release_is_refused_and_left_alone(tmp_path: Path) -> None:
    with open_store(tmp_path / "kv", create=True) as store:
        put(store, b"schema_version", str(SCHEMA_VERSION + 1).encode(), Database.META)
    before = (tmp_path / "kv" / "data.mdb").read_bytes()
    for create in (False, True):
        with (
            pytest.raises(SchemaUnknown, match=f"schema {SCHEMA_VERSION + 1}.*use the release"),
            open_store(tmp_path / "kv", create=create),
        ):
            pass
    assert (tmp_path / "kv" / "data.mdb").read_bytes() == before


def test_a_copy_is_whole_and_of_one_commit(tmp_path: Path, store: Store) -> None:
    put(store, b"a", b"1")
    (tmp_path / "copy").mkdir()
    store.copy(tmp_path / "copy")
    put(store, b"a", b"2")
    with open_store(tmp_path / "copy") as copied, copied.read() as snapshot:
        assert snapshot.get(Database.MANIFESTS, b"a") == b"1"
        assert copied.store_id() == store.store_id()


def read_in_child(store: Store, outcome: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        with store.read():
            outcome.put("read")
    except AssertionError as error:
        outcome.put(str(error))
    os._exit(0)  # nothing of the parent's is torn down here


def test_62_an_open_store_is_of_no_use_to_a_forked_child(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    outcome = context.SimpleQueue()
    child = context.Process(target=read_in_child, args=(store, outcome))
    child.start()
    child.join()
    assert "fork" in outcome.get()
    put(store, b"a")


def test_the_map_cannot_fill_before_the_disk_does(tmp_path: Path) -> None:
    """It is a reservation of addresses, so it may be larger than any disk that a store will lie on."""
    disk = os.statvfs(tmp_path)
    assert largest_map_bytes() > disk.f_blocks * disk.f_frsize
    assert largest_map_bytes() >= LARGEST_USUAL_DISK_BYTES
    with open_store(tmp_path / "kv", create=True):
        reserved = [line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("kv/data.mdb")]
    (begin, end), *_ = (line.split()[0].split("-") for line in reserved)
    assert int(end, 16) - int(begin, 16) == largest_map_bytes()
