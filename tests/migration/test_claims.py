"""A host that two sites' tables name: reported for both and given to neither, whichever of the tables a job is for."""

from collections.abc import Callable

import pytest

from migration.claims import claimed_hosts
from migration.failures import Failure, read_failures
from migration.plan import plan_migration
from migration.progress import Progress
from migration.write import CONTESTED, FOREIGN
from onehop.output import Unwatched
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.legacy_table import Filter, parse_table
from tests.migration.legacy_store import LegacyStore
from tests.migration.test_move import HOSTS, route_of

OWNER, CLAIMANT = 1, 2


@pytest.fixture
def stolen(legacy: LegacyStore) -> str:
    """A host of the first site, which the second one's table names too."""
    host = next(parse_table(legacy.table(OWNER))).host
    own = list(parse_table(legacy.table(CLAIMANT)))
    legacy.put_table(CLAIMANT, [*own, Filter(host, own[0].script_hash)])
    return host


def run(legacy: LegacyStore, job: str, *sites: int, meanwhile: Callable[[], None] = lambda: None) -> Progress:
    legacy.mover.begin(job, frozenset(sites) if sites else None)
    for chunk in legacy.mover.plan():
        legacy.mover.collect(chunk)
    meanwhile()
    return legacy.finish(legacy.pacer())


def failures(legacy: LegacyStore) -> list[Failure]:
    with legacy.it.store.read() as snapshot:
        return list(read_failures(snapshot))


def of_both(host: str) -> list[Failure]:
    return [Failure(site_no, host, CONTESTED) for site_no in (OWNER, CLAIMANT)]


def touch(legacy: LegacyStore, *site_nos: int) -> None:
    with legacy.it.store.write() as transaction:
        for site_no in site_nos:
            key = SITE_NO.pack(site_no)
            transaction.put(Database.SITES, key, transaction.get(Database.SITES, key) or b"")


def test_plan_says_what_the_run_will(legacy: LegacyStore, stolen: str) -> None:
    with legacy.it.store.read() as snapshot:
        planned = plan_migration(snapshot, legacy.it.keys, legacy.it.names, Unwatched())
    progress = run(legacy, "job")
    assert (planned.total, planned.to_migrate, planned.failed) == (progress.total, progress.migrated, progress.failed)
    assert sorted(planned.failures, key=lambda each: each.site_no) == failures(legacy) == of_both(stolen)


@pytest.mark.parametrize("sites", [(OWNER,), (OWNER, CLAIMANT), (OWNER, 3)])
def test_a_job_for_some_sites_gives_it_to_nobody_either(
    legacy: LegacyStore, stolen: str, sites: tuple[int, ...]
) -> None:
    progress = run(legacy, "job", *sites)
    assert route_of(legacy, stolen) is None
    assert failures(legacy) == of_both(stolen)
    hosts = sum(len(list(parse_table(legacy.table(site_no)))) for site_no in sites)
    assert (progress.total, progress.done) == (hosts, hosts)


def test_a_job_for_some_sites_leaves_what_failed_of_others(legacy: LegacyStore, stolen: str) -> None:
    run(legacy, "all")
    run(legacy, "third", 3)
    assert failures(legacy) == of_both(stolen)


@pytest.mark.parametrize("changed", [(OWNER,), (CLAIMANT,), (OWNER, CLAIMANT)])
def test_sites_that_changed_meanwhile_do_not_get_it_when_they_are_read_alone(
    legacy: LegacyStore, stolen: str, changed: tuple[int, ...]
) -> None:
    progress = run(legacy, "job", meanwhile=lambda: touch(legacy, *changed))
    assert route_of(legacy, stolen) is None
    assert {each.site_no for each in failures(legacy)} == {OWNER, CLAIMANT}
    assert (progress.total, progress.failed, progress.migrated) == (HOSTS + 1, 2, HOSTS - 1)


def test_once_one_table_gives_it_up_it_is_the_others(legacy: LegacyStore, stolen: str) -> None:
    run(legacy, "first")
    legacy.put_table(CLAIMANT, [each for each in parse_table(legacy.table(CLAIMANT)) if each.host != stolen])
    run(legacy, "retry", OWNER, CLAIMANT)
    assert route_of(legacy, stolen) is not None
    assert failures(legacy) == []


def test_a_claim_that_nobody_else_makes_is_its_tables_failure_alone(legacy: LegacyStore) -> None:
    own = list(parse_table(legacy.table(CLAIMANT)))
    legacy.put_table(CLAIMANT, [*own, Filter("gone.example.com", own[0].script_hash)])
    with legacy.it.store.read() as snapshot:
        planned = plan_migration(snapshot, legacy.it.keys, legacy.it.names, Unwatched())
        assert list(claimed_hosts(snapshot, legacy.it.names, CLAIMANT)) == ["gone.example.com"]
        assert list(claimed_hosts(snapshot, legacy.it.names, OWNER)) == []
    assert planned.failures == [Failure(CLAIMANT, "gone.example.com", FOREIGN)]


def test_hosts_below_a_name_that_ends_as_the_sites_does_are_found(legacy: LegacyStore) -> None:
    own = list(parse_table(legacy.table(OWNER)))
    host = Hostname("x.not-seed-1.pages.localhost").name
    legacy.put_table(OWNER, [*own, Filter(host, own[0].script_hash)])
    with legacy.it.store.read() as snapshot:
        assert list(claimed_hosts(snapshot, legacy.it.names, OWNER)) == [host]
