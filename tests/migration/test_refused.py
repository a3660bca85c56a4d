"""Refused rows get their hosts' names after the transaction that refused them, whatever comes in between."""

import pytest

from migration.failures import Failure, read_failures
from migration.refused import read_refused
from migration.write import CONTESTED
from router.hostname import Hostname
from router.legacy_table import Filter, parse_table, render_table
from tests.migration.legacy_store import LegacyStore
from tests.migration.test_move import killed_while_writing

BATCHES_OF_ALL = 9


def steal(legacy: LegacyStore) -> str:
    """A host of site 1 that site 2's table names too."""
    stolen = next(parse_table(legacy.table(1)))
    own = list(parse_table(legacy.table(2)))
    legacy.put_table(2, [*own, Filter(stolen.host, own[0].script_hash)])
    return stolen.host


def failures(legacy: LegacyStore) -> list[Failure]:
    with legacy.it.store.read() as snapshot:
        return list(read_failures(snapshot))


def unnamed(legacy: LegacyStore) -> int:
    with legacy.it.store.read() as snapshot:
        return len(read_refused(snapshot))


@pytest.mark.parametrize("batches", [0, 4, BATCHES_OF_ALL - 1])
def test_a_kill_before_they_are_named_loses_none(legacy: LegacyStore, batches: int) -> None:
    host = steal(legacy)
    killed_while_writing(legacy, batches)
    progress = legacy.finish(legacy.pacer())
    assert failures(legacy) == [Failure(1, host, CONTESTED), Failure(2, host, CONTESTED)]
    assert (progress.failed, progress.failures_listed, unnamed(legacy)) == (2, 2, 0)


def test_until_then_their_keys_are_kept(legacy: LegacyStore) -> None:
    host = steal(legacy)
    key = legacy.it.keys.route_key(Hostname(host))
    killed_while_writing(legacy, BATCHES_OF_ALL - 1)
    with legacy.it.store.read() as snapshot:
        kept = read_refused(snapshot)
    progress = legacy.progress()
    assert progress is not None
    assert (progress.failed, progress.failures_listed) == (len(kept), len(kept))
    assert {each.route_key for each in kept} <= {key}


def test_a_host_that_left_the_table_meanwhile_goes_by_its_key(legacy: LegacyStore) -> None:
    host = steal(legacy)
    key = legacy.it.keys.route_key(Hostname(host))
    killed_while_writing(legacy, BATCHES_OF_ALL - 1)
    kept = unnamed(legacy)
    for site_no in (1, 2):
        left = [each for each in parse_table(legacy.table(site_no)) if each.host != host]
        legacy.put_table(site_no, render_table(left))
    legacy.mover.changed_sites()
    legacy.mover.revisit(1, legacy.pacer())
    assert [each.what for each in failures(legacy)] == [f"route key {key.hex()}"] * kept
