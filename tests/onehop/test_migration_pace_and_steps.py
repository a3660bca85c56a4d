"""Four sentences of the migration that no quick test held."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.job import Work, migration_workflow
from migration.move import Chunk
from migration.progress import PHASES, read_control
from onehop.migration_parts import MigrationOptions, begin_control
from onehop.migration_rollout import RolloutTakenBack
from router.hashed import put_route
from router.hostname import Hostname
from router.kv.schema import Database
from router.pipeline import Pipeline
from tests.migration.legacy_store import LegacyStore, legacy_store
from tests.migration.slow_clock import Operator, SlowClock, slow_pacer
from tests.onehop.test_migration_rollout import migrated_town


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[LegacyStore]:
    with legacy_store(tmp_path) as store:
        yield store


def test_a_bound_on_bytes_holds_the_writing_up(legacy: LegacyStore) -> None:
    clock = SlowClock()
    pacer = slow_pacer(clock, Operator(bytes_per_s=100.0))
    legacy.mover.begin("job", None)
    for chunk in legacy.mover.plan():
        legacy.mover.collect(chunk)
    legacy.finish(pacer)
    written = sum(len(key) + len(value) for key, value in legacy.routes().items())
    assert clock.now_s - 1_000.0 >= written / 100.0 - 1.0


def test_reading_tables_is_half_of_the_pace(legacy: LegacyStore) -> None:
    async def collect(_: Chunk) -> int:
        return 1_000

    clock = SlowClock()
    work = Work(legacy.mover, slow_pacer(clock, Operator(deployments_per_s=10.0)), collect, 1, None)
    asyncio.run(migration_workflow(work)()._collect_one(Chunk(0, 1, 1)))
    assert clock.now_s - 1_000.0 >= 1_000 / PHASES / 10.0 - 1.0


@pytest.mark.parametrize(("is_resumed", "kept"), [(True, 7.0), (False, None)])
def test_a_job_that_was_cut_short_keeps_the_pace_that_was_set(
    legacy: LegacyStore, is_resumed: bool, kept: float | None
) -> None:
    begin_control(legacy.it, MigrationOptions(rate=7.0), is_resumed=False)
    begin_control(legacy.it, MigrationOptions(), is_resumed=is_resumed)
    with legacy.it.store.read() as snapshot:
        assert read_control(snapshot).deployments_per_s == kept


def test_a_step_whose_sites_differ_is_not_begun(tmp_path: Path) -> None:
    with migrated_town(tmp_path) as town:
        it = town.legacy.it
        with it.store.write() as transaction:
            other = Pipeline.parse(next(value for _, value in transaction.scan(Database.ROUTES)))
            wrong = Pipeline(2, other.manifest, is_preview=True)
            put_route(transaction, it.keys, Hostname("seed-2.pages.localhost"), wrong)
        held: list[float] = []
        town.while_waiting.append(held.append)
        with pytest.raises(RolloutTakenBack, match="hosts differ by the two schemes"):
            town.rollout(step=100.0).run()
        assert set(held) == {0.0}
