"""A large table of a site that has changed is read beside whoever deploys, and written in batches between them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from migration.failures import read_failures
from migration.move import Mover
from migration.pacing import Pacer, Stopped
from migration.progress import Progress, State, need_progress
from router.kv.schema import SITE_NO, Database
from router.legacy_table import Filter, parse_table
from tests.migration.legacy_store import LegacyStore
from tests.migration.test_move import HOSTS, delete_a_deployment, route_of

ROWS_A_BATCH = 2


@dataclass
class Acting:
    """A pacer whose batches are small; `before` and `after` each of them people act."""

    before: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    batches: int = field(default=0)

    def batch_rows(self) -> int:
        self.batches += 1
        self.before()
        return ROWS_A_BATCH

    def told(self) -> str:
        return ""

    def after_batch(self, *, rows_count: float, bytes_count: float) -> None:
        self.after()


def touch(legacy: LegacyStore) -> None:
    """As a deploy does, for the feed."""
    with legacy.it.store.write() as transaction:
        site = transaction.get(Database.SITES, SITE_NO.pack(1)) or b""
        transaction.put(Database.SITES, SITE_NO.pack(1), site)


def all_but_revisited(legacy: LegacyStore) -> Mover:
    """A job that has written what didn't change; every table counts as large."""
    mover, pacer = replace(legacy.mover, large_table_bytes=0), legacy.pacer()
    mover.begin("job", None)
    for chunk in mover.plan():
        mover.collect(chunk)
    touch(legacy)
    for part in range(mover.begin_writing()):
        mover.write(part, pacer)
    assert mover.changed_sites() == [1]
    return mover


def end(legacy: LegacyStore, mover: Mover) -> Progress:
    progress = mover.end(State.COMPLETE)
    assert all(legacy.verify(site_no).is_sound for site_no in (1, 2, 3))
    return progress


def test_it_goes_in_batches_and_counts_each_host_once(legacy: LegacyStore) -> None:
    mover, acting = all_but_revisited(legacy), Acting()
    mover.revisit(1, cast(Pacer, acting))
    assert acting.batches > 1
    progress = end(legacy, mover)
    assert (progress.total, progress.migrated) == (HOSTS, HOSTS)


def test_what_is_deleted_between_two_batches_is_not_revived(legacy: LegacyStore) -> None:
    mover, left, gone = all_but_revisited(legacy), [1, 2, 3], list[str]()

    def delete() -> None:
        if left:
            gone.append(delete_a_deployment(legacy, seq=left.pop()))

    mover.revisit(1, cast(Pacer, Acting(after=delete)))
    assert [route_of(legacy, host) for host in gone] == [None] * 3
    progress = end(legacy, mover)
    assert progress.done == progress.total
    assert len(legacy.routes()) == HOSTS - 3


def test_a_kill_between_two_batches_loses_none_and_counts_none_twice(legacy: LegacyStore) -> None:
    mover, left = all_but_revisited(legacy), [1, 2]

    def kill() -> None:
        if not left:
            raise Stopped("as a kill would")
        left.pop()

    with pytest.raises(Stopped):
        mover.revisit(1, cast(Pacer, Acting(before=kill)))
    for _ in range(2):  # what is done is done
        mover.revisit(1, legacy.pacer())
    progress = end(legacy, mover)
    assert (progress.total, progress.migrated, progress.skipped) == (HOSTS, HOSTS, 0)


def test_a_site_that_changes_faster_than_it_is_read_comes_to_its_end_all_the_same(legacy: LegacyStore) -> None:
    mover, batches = all_but_revisited(legacy), [1, 2]

    def change() -> None:
        if not batches:
            touch(legacy)
        else:
            batches.pop()

    mover.revisit(1, cast(Pacer, Acting(before=change)))
    progress = end(legacy, mover)
    assert (progress.total, progress.migrated) == (HOSTS, HOSTS)


def test_what_is_refused_in_a_batch_is_named(legacy: LegacyStore) -> None:
    mover = all_but_revisited(legacy)
    own = list(parse_table(legacy.table(1)))
    legacy.put_table(1, [*own, Filter("gone.example.com", own[0].script_hash)])
    mover.revisit(1, legacy.pacer())
    with legacy.it.store.read() as snapshot:
        assert [each.what for each in read_failures(snapshot)] == ["gone.example.com"]
        progress = need_progress(snapshot)
    assert (progress.total, progress.failed, progress.migrated) == (HOSTS + 1, 1, HOSTS)
