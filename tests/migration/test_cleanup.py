"""Only a table that has verified, of a site that nothing sends to the legacy scheme, is dropped; and it is kept."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from migration.cleanup import CleanupRefused, drop_table_of
from migration.collect import read_site
from migration.verify import note_verified
from router.hashed import delete_route
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot
from router.legacy_table import parse_table
from router.policy import Percentage, Policy, Scheme, Split
from router.records import Site
from tests.migration.legacy_store import LegacyStore

Export = Callable[[Snapshot, Site, bytes], None]


def migrated_and_verified(legacy: LegacyStore) -> None:
    legacy.migrate()
    with legacy.it.store.write() as transaction:
        note_verified(transaction, legacy.verify(1))


def drop(legacy: LegacyStore, policy: Policy = Policy(), export: Export = lambda *_: None) -> None:  # noqa: B008
    with legacy.it.store.write() as transaction:
        drop_table_of(transaction, legacy.it.keys, legacy.it.names, policy, 1, export=export)


def test_a_verified_table_goes_with_its_pipelines_and_the_sites_dual_write(legacy: LegacyStore) -> None:
    migrated_and_verified(legacy)
    hashes = [each.script_hash for each in parse_table(legacy.table(1))]
    kept: list[bytes] = []
    drop(legacy, export=lambda _snapshot, _site, table: kept.append(table))
    assert legacy.table(1) == b""
    assert len(list(parse_table(kept[0]))) == 11
    with legacy.it.store.read() as snapshot:
        site = read_site(snapshot, 1)
        assert site is not None
        assert not site.dual_write
        assert all(snapshot.get(Database.PIPELINES, each.encode()) is None for each in hashes)
    assert len(legacy.routes()) == 33


def test_what_has_not_verified_stays(legacy: LegacyStore) -> None:
    legacy.migrate()
    with pytest.raises(CleanupRefused, match="verify"):
        drop(legacy)
    assert legacy.table(1)


def test_what_has_changed_since_it_verified_stays(legacy: LegacyStore) -> None:
    migrated_and_verified(legacy)
    with legacy.it.store.write() as transaction:
        delete_route(transaction, legacy.it.keys, Hostname(next(parse_table(legacy.table(1))).host))
    with pytest.raises(CleanupRefused, match="changed"):
        drop(legacy)


@pytest.mark.parametrize(
    "policy",
    [
        Policy(default=Scheme.LEGACY),
        Policy(pins={1: Scheme.LEGACY_COMPILED}),
        Policy(splits={1: Split(99.0)}),
        Policy(data_centres={"ams": Scheme.LEGACY}),
        Policy(percentage=Percentage(100.0, Scheme.LEGACY)),
    ],
)
def test_what_the_policy_still_sends_to_the_table_stays(legacy: LegacyStore, policy: Policy) -> None:
    migrated_and_verified(legacy)
    with pytest.raises(CleanupRefused, match="policy"):
        drop(legacy, policy)
    drop(legacy, replace(policy, default=Scheme.HASHED, pins={}, splits={}, data_centres={}, percentage=None))


def test_a_table_that_cannot_be_kept_is_not_dropped(legacy: LegacyStore) -> None:
    migrated_and_verified(legacy)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        drop(legacy, export=full)
    with legacy.it.store.read() as snapshot:
        assert snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(1)) is not None
