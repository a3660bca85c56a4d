"""The folder of function bundles: what is stored stays whole, or is reported."""

import os
from pathlib import Path

import pytest

from functions.bundle import BundleDamaged, BundleMissing, BundleRefused, BundleStore, BundleStoreFull
from tests.functions.test_bundle_format import ES_MODULE, built, bundle
from tests.real_parts import small_disk


def test_a_bundle_comes_back_with_its_settings(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "bundles")
    bundle_id = store.put(bundle(), {"env_vars": {"A": {"type": "plain_text", "value": "x"}}})
    stored = store.read(bundle_id)
    assert stored.bundle.main.content == b"export default {}"
    assert stored.settings == {"env_vars": {"A": {"type": "plain_text", "value": "x"}}}
    assert list(store.ids()) == [bundle_id]
    assert store.verify(bundle_id) is None


def test_putting_the_same_again_keeps_one_file(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    ids = {store.put(built(number, "abcDEF"), {"b": 1, "a": 2}) for number in ("1", "22", "333")}
    assert len(ids) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_other_settings_are_another_bundle(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    assert store.put(bundle(), {"a": 1}) != store.put(bundle(), {"a": 2})


def test_a_refused_bundle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused):
        BundleStore(tmp_path).put(b"nonsense", {})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_id_is_missing(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    for bundle_id in ("A" * 22, "../../etc/passwd", ""):
        with pytest.raises(BundleMissing):
            store.read(bundle_id)
    store.remove("A" * 22)


def test_a_removed_bundle_is_missing(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    bundle_id = store.put(bundle(), {})
    store.remove(bundle_id)
    assert list(store.ids()) == []
    assert "missing" in (store.verify(bundle_id) or "")


def test_every_damaged_byte_and_every_cut_is_found_and_putting_again_mends_it(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    bundle_id = store.put(bundle([("index.js", ES_MODULE, b"x")]), {})
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for position in range(len(whole)):
        for damaged in (whole[:position], whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]):
            path.write_bytes(damaged)
            with pytest.raises(BundleDamaged):
                store.read(bundle_id)
    assert store.put(bundle([("index.js", ES_MODULE, b"x")]), {}) == bundle_id
    assert path.read_bytes() == whole


def test_another_bundles_file_under_this_name_is_damage(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    first, second = store.put(bundle(), {"a": 1}), store.put(bundle(), {"a": 2})
    (tmp_path / f"{first}.bundle").write_bytes((tmp_path / f"{second}.bundle").read_bytes())
    assert "another" in (store.verify(first) or "")


def test_only_old_drafts_are_left_overs(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    store.put(bundle(), {})
    for name, age_s in (("old.draft", 100), ("new.draft", 900)):
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (age_s, age_s))
    assert store.remove_drafts(before_s=500) == 1
    assert {path.name for path in tmp_path.iterdir()} > {"new.draft"}
    assert len(list(store.ids())) == 1


def test_hardening_60_on_a_full_disk_a_bundle_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=256 * 1024) as folder:
        store = BundleStore(folder)
        kept = store.put(bundle(), {})
        with pytest.raises(BundleStoreFull):
            store.put(bundle([("index.js", ES_MODULE, b"x" * 1024 * 1024)]), {})
        assert list(store.ids()) == [kept]
        assert store.remove_drafts(before_s=2**40) == 0
        assert store.verify(kept) is None
