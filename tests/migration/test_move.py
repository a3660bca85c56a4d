"""A job piece by piece: whatever is cut short is done again, and the counts are those of what was done."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from control_plane.activation import Activation
from control_plane.catalogue import find_site, read_deployment
from control_plane.clock import Clock
from control_plane.dual_write import TableEdits
from migration.failures import read_failures
from migration.move import (
    CHUNK_TABLE_BYTES,
    CHUNK_TABLE_BYTES_MIN,
    Chunk,
    CountsDiffer,
    KeysChanged,
    chunk_bytes,
    plan_chunks,
)
from migration.pacing import Pacer, Stopped
from migration.progress import State
from router.hashed import read_route
from router.hostname import Hostname
from router.key_files import make_key
from router.kv.schema import SITE_NO, Database
from router.kv.store import Transaction
from router.legacy_table import Filter, parse_table
from router.rotation import begin_rotation
from tests.migration.legacy_store import LegacyStore, legacy_store
from tests.real_parts import small_disk

HOSTS = 33
ROWS_A_BATCH = 4
MIB = 1024 * 1024


def activation(legacy: LegacyStore, transaction: Transaction) -> Activation:
    it = legacy.it
    return Activation(
        transaction=transaction, keys=it.keys, names=it.names, clock=Clock(),
        tables=TableEdits(transaction, it.keys, it.names),
    )  # fmt: skip


def delete_a_deployment(legacy: LegacyStore, site: str = "seed-1", seq: int = 1) -> str:
    """As the API would; the host that is gone."""
    with legacy.it.store.write() as transaction:
        record = find_site(transaction, site)
        assert record is not None
        deployment = read_deployment(transaction, record.site_no, seq)
        activation(legacy, transaction).delete_deployment(record, deployment, force=True)
    return f"{deployment.short_id}.{site}.pages.localhost"


def route_of(legacy: LegacyStore, host: str) -> object:
    with legacy.it.store.read() as snapshot:
        return read_route(snapshot, legacy.it.keys, Hostname(host))


def test_every_host_of_every_table_gets_its_route(legacy: LegacyStore) -> None:
    progress = legacy.migrate()
    assert (progress.state, progress.total, progress.migrated, progress.failed) == (State.COMPLETE, HOSTS, HOSTS, 0)
    assert len(legacy.routes()) == HOSTS
    assert all(legacy.verify(site_no).is_sound for site_no in (1, 2, 3))
    assert not legacy.mover.folder.exists()


def test_a_second_job_finds_everything_there(legacy: LegacyStore) -> None:
    legacy.migrate("first")
    routes = legacy.routes()
    progress = legacy.migrate("second")
    assert (progress.migrated, progress.skipped, progress.total) == (0, HOSTS, HOSTS)
    assert legacy.routes() == routes


def test_a_deployment_that_is_deleted_meanwhile_is_not_revived(legacy: LegacyStore) -> None:
    legacy.mover.begin("job", None)
    for chunk in legacy.mover.plan():
        legacy.mover.collect(chunk)
    host = delete_a_deployment(legacy)
    progress = legacy.finish(legacy.pacer())
    assert route_of(legacy, host) is None
    assert progress.migrated + progress.skipped + progress.failed == progress.total
    assert len(legacy.routes()) == HOSTS - 1
    assert all(legacy.verify(site_no).is_sound for site_no in (1, 2, 3))


def test_a_site_that_is_deleted_meanwhile_leaves_nothing(legacy: LegacyStore) -> None:
    legacy.mover.begin("job", None)
    for chunk in legacy.mover.plan():
        legacy.mover.collect(chunk)
    with legacy.it.store.write() as transaction:
        record = find_site(transaction, "seed-2")
        assert record is not None
        activation(legacy, transaction).delete_site(record)
    progress = legacy.finish(legacy.pacer())
    assert progress.done == progress.total == HOSTS - 11
    assert len(legacy.routes()) == HOSTS - 11


def pieces(legacy: LegacyStore, pacer: Pacer) -> Iterator[None]:
    """One step of the job at a time."""
    mover = legacy.mover
    mover.begin("job", None)
    yield
    for chunk in mover.plan():
        mover.collect(chunk)
        yield
    parts = mover.begin_writing()
    yield
    for part in range(parts):
        mover.write(part, pacer)
        yield
    for site_no in mover.changed_sites():
        mover.revisit(site_no, pacer)
        yield


@pytest.mark.parametrize("kept", range(8))
def test_a_job_that_is_taken_up_again_after_any_piece_counts_each_host_once(legacy: LegacyStore, kept: int) -> None:
    for _, _ in zip(range(kept), pieces(legacy, legacy.pacer()), strict=False):
        pass
    for _ in pieces(legacy, legacy.pacer()):
        pass
    progress = legacy.mover.end(State.COMPLETE)
    assert (progress.total, progress.migrated, progress.failed, progress.skipped) == (HOSTS, HOSTS, 0, 0)
    assert len(legacy.routes()) == HOSTS


def test_runs_that_were_lost_are_made_again_and_not_counted_again(legacy: LegacyStore) -> None:
    legacy.mover.begin("job", None)
    (chunk,) = legacy.mover.plan()
    legacy.mover.collect(chunk)
    for run in legacy.mover.folder.iterdir():
        run.unlink()
    legacy.mover.collect(chunk)
    assert legacy.finish(legacy.pacer()).total == HOSTS


@pytest.mark.parametrize("batches", [0, 1])
def test_a_run_that_is_lost_after_a_kill_is_made_again_before_anything_more_is_written(
    legacy: LegacyStore, batches: int
) -> None:
    killed_while_writing(legacy, batches)
    delete_a_deployment(legacy)
    for run in legacy.mover.folder.iterdir():
        run.unlink()
    progress = legacy.finish(legacy.pacer())
    assert (progress.state, progress.done) == (State.COMPLETE, progress.total)
    assert all(legacy.verify(site_no).is_sound for site_no in (1, 2, 3))


def killed_while_writing(legacy: LegacyStore, batches: int) -> None:
    """After so many batches of a few rows each."""
    pacer = SlowPacer(legacy.pacer(), batches)
    legacy.mover.begin("job", None)
    for chunk in legacy.mover.plan():
        legacy.mover.collect(chunk)
    legacy.mover.begin_writing()
    with pytest.raises(Stopped):
        legacy.mover.write(0, cast(Pacer, pacer))


@dataclasses.dataclass
class SlowPacer:
    """Lets so many batches pass, of ROWS_A_BATCH."""

    pacer: Pacer
    left: int

    def batch_rows(self) -> int:
        if self.left == 0:
            raise Stopped("as a kill would")
        self.left -= 1
        return ROWS_A_BATCH

    def told(self) -> str:
        return ""

    def after_batch(self, *, rows_count: float, bytes_count: float) -> None:
        """Goes on at once."""


def test_what_does_not_add_up_is_not_complete(legacy: LegacyStore) -> None:
    legacy.mover.begin("job", None)
    for chunk in legacy.mover.plan():
        legacy.mover.collect(chunk)
    with pytest.raises(CountsDiffer, match=f"0 of {HOSTS}"):
        legacy.mover.end(State.COMPLETE)
    progress = legacy.progress()
    assert progress is not None
    assert not progress.state.is_end


def test_a_damaged_table_is_a_failure_and_the_others_are_migrated(legacy: LegacyStore) -> None:
    legacy.put_table(2, legacy.table(2)[:-20])
    progress = legacy.migrate()
    assert (progress.migrated, progress.failed, progress.total) == (22, 1, 23)
    with legacy.it.store.read() as snapshot:
        (failure,) = read_failures(snapshot)
    assert (failure.site_no, failure.what) == (2, "table")


def test_a_filter_that_leads_nowhere_is_a_failure_with_its_host(legacy: LegacyStore) -> None:
    filters = list(parse_table(legacy.table(1)))
    legacy.put_table(1, [*filters[1:], Filter(filters[0].host, "0" * 32)])
    legacy.migrate()
    with legacy.it.store.read() as snapshot:
        (failure,) = read_failures(snapshot)
    assert failure.what == filters[0].host
    assert "no pipeline" in failure.reason


def test_a_host_in_two_sites_tables_is_reported_for_both_and_given_to_neither(legacy: LegacyStore) -> None:
    stolen = next(parse_table(legacy.table(1)))
    own = list(parse_table(legacy.table(2)))
    legacy.put_table(2, [*own, Filter(stolen.host, own[0].script_hash)])
    progress = legacy.migrate()
    with legacy.it.store.read() as snapshot:
        failures = list(read_failures(snapshot))
    assert [(each.site_no, each.what) for each in failures] == [(1, stolen.host), (2, stolen.host)]
    assert (progress.failed, progress.total) == (2, HOSTS + 1)
    assert route_of(legacy, stolen.host) is None


def test_a_domain_that_is_no_longer_the_sites_gets_no_route(legacy: LegacyStore) -> None:
    own = list(parse_table(legacy.table(3)))
    legacy.put_table(3, [*own, Filter("gone.example.com", own[0].script_hash)])
    assert legacy.migrate().failed == 1
    assert route_of(legacy, "gone.example.com") is None


def test_only_the_wanted_sites_are_migrated(legacy: LegacyStore) -> None:
    legacy.mover.begin("job", frozenset({2}))
    for chunk in legacy.mover.plan():
        legacy.mover.collect(chunk)
    assert legacy.finish(legacy.pacer()).migrated == 11


def test_a_rotation_of_the_hash_key_stops_the_job(legacy: LegacyStore) -> None:
    legacy.mover.begin("job", None)
    begin_rotation(legacy.it.store, legacy.it.folder.route_keys, make_key())
    with pytest.raises(KeysChanged):
        legacy.mover.collect(legacy.mover.plan()[0])


def test_a_full_disk_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", size_bytes=24 * MIB) as disk,
        legacy_store(disk, sites=2, deployments=2_000) as legacy,
    ):
        filler = disk / "filler"
        legacy.mover.begin("job", None)
        for chunk in legacy.mover.plan():
            legacy.mover.collect(chunk)
        fill(filler)
        with pytest.raises(Exception, match=r"(?i)space|full|room"):
            legacy.finish(legacy.pacer())
        filler.unlink()
        progress = legacy.finish(legacy.pacer())
        assert progress.done == progress.total == 2_002
        assert all(legacy.verify(site_no).is_sound for site_no in (1, 2))


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            return


def test_chunks_are_cut_by_the_size_of_tables_and_hold_every_site_once() -> None:
    sizes = [(number, 10 * 1024 * 1024) for number in range(1, 8)]
    assert plan_chunks(sizes) == [Chunk(0, 1, 3), Chunk(1, 4, 6), Chunk(2, 7, 7)]
    assert plan_chunks([]) == []


def test_the_progress_of_another_job_is_not_taken_for_ones_own(legacy: LegacyStore) -> None:
    legacy.migrate("first")
    begun = legacy.mover.begin("second", None)
    assert dataclasses.replace(begun, started_s=0).done == 0


def test_site_numbers_are_read_in_order(legacy: LegacyStore) -> None:
    with legacy.it.store.read() as snapshot:
        numbers = [SITE_NO.unpack(key)[0] for key, _ in snapshot.sizes(Database.LEGACY_TABLES, after=SITE_NO.pack(1))]
    assert numbers == [2, 3]


def test_a_job_at_a_pace_reads_a_little_at_a_time() -> None:
    assert chunk_bytes(None) == chunk_bytes(10_000_000) == CHUNK_TABLE_BYTES
    assert chunk_bytes(1) == CHUNK_TABLE_BYTES_MIN
    assert CHUNK_TABLE_BYTES_MIN < chunk_bytes(100_000) < CHUNK_TABLE_BYTES


def test_a_chunk_ends_where_it_has_so_many_bytes() -> None:
    assert plan_chunks([(1, 60), (2, 60), (3, 60)], 100) == [Chunk(0, 1, 2), Chunk(1, 3, 3)]
