"""What `onehop migrate cleanup` keeps before it drops: in whatever form the table is, for the operator's eyes alone."""

import json
from pathlib import Path

from onehop.migration_finish import clean_up, verify_sites
from onehop.output import Unwatched
from router.kv.schema import Database
from router.legacy_table import parse_table
from tests.migration.legacy_store import LegacyStore, legacy_store

SITES = (1, 2, 3)


def migrated(legacy: LegacyStore) -> None:
    legacy.migrate()
    verify_sites(legacy.it, None, Unwatched())


def test_a_table_in_other_json_is_kept_and_dropped_with_its_pipelines(tmp_path: Path) -> None:
    with legacy_store(tmp_path) as legacy:
        hashes = {each.script_hash for each in parse_table(legacy.table(2))}
        legacy.put_table(2, json.dumps(json.loads(legacy.table(2)), indent=1).encode())
        migrated(legacy)
        report = clean_up(legacy.it, SITES, tmp_path / "kept", Unwatched())
        assert ([each.site_no for each in report.dropped], report.refused) == ([1, 2, 3], {})
        assert json.loads((tmp_path / "kept/seed-2.pipelines.json").read_bytes())["pipelines"].keys() == hashes
        with legacy.it.store.read() as snapshot:
            assert snapshot.count(Database.LEGACY_TABLES) == 0
            assert all(snapshot.get(Database.PIPELINES, each.encode()) is None for each in hashes)


def test_what_is_kept_goes_through_no_link_and_is_nobody_elses_to_read(tmp_path: Path) -> None:
    kept, victim = tmp_path / "kept", tmp_path / "victim"
    kept.mkdir()
    victim.write_bytes(b"untouched")
    for name in ("seed-1.table.new", "seed-1.table.json", "seed-1.pipelines.new"):
        (kept / name).symlink_to(victim)
    with legacy_store(tmp_path) as legacy:
        migrated(legacy)
        table = legacy.table(1)
        clean_up(legacy.it, [1], kept, Unwatched())
    assert victim.read_bytes() == b"untouched"
    assert not (kept / "seed-1.table.json").is_symlink()
    assert (kept / "seed-1.table.json").read_bytes() == table
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}
