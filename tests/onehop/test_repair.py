"""`onehop check --repair` on a store in which any one byte is wrong: nothing that answers is taken away.

Each row of a small store is damaged at each of its bytes, in its value and in its key, then checked and repaired. Every
host must then have the route that it had before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from asset_server.blobs import BlobStore
from control_plane.activation import pipeline_of
from control_plane.catalogue import put_alias, put_domain, put_site, read_deployment, read_site
from control_plane.clock import Clock
from onehop.check import check
from onehop.check_report import CheckReport
from onehop.config import Config
from onehop.opened_store import OpenedStore, opened
from onehop.output import Unwatched
from onehop.prepared_folder import prepare
from onehop.repair import repair
from onehop.seed import SeedPlan, seed
from router.hashed import put_route, read_route
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database, deployment_key
from router.pipeline import Pipeline
from router.records import Alias, CustomDomain, Pointer, RecordUnreadable, Site, decode_record

SITES = 2
DEPLOYMENTS = 4
DOMAIN = "www.example.org"
SLUG = "dev"
DAMAGED = (Database.SITES, Database.SITE_NAMES, Database.DEPLOYMENTS, Database.DEPLOYMENT_IDS, Database.ALIASES,
           Database.DOMAINS)  # fmt: skip
BITS = (0x01, 0x80)
"""The first leaves text readable, so that a record lies; the second makes it unreadable."""


@dataclass
class SmallStore:
    """Two sites: deployments, a branch's address and a custom domain. `shown` is what each host's route was."""

    it: OpenedStore
    shown: dict[Hostname, Pipeline]

    def check_and_repair(self) -> CheckReport:
        blobs = BlobStore(self.it.folder.root)
        report = check(self.it, blobs, is_deep=False, watcher=Unwatched())
        repair(self.it, blobs, report, watcher=Unwatched())
        return report

    def lost(self) -> list[str]:
        """The hosts that don't show what they showed."""
        with self.it.store.read() as snapshot:
            return [
                hostname.name
                for hostname, pipeline in self.shown.items()
                if read_route(snapshot, self.it.keys, hostname) != pipeline
            ]

    def rows(self, database: Database) -> dict[bytes, bytes]:
        with self.it.store.read() as snapshot:
            return dict(snapshot.scan(database))

    def bring_back(self, before: dict[Database, dict[bytes, bytes]]) -> None:
        with self.it.store.write() as transaction:
            for database, rows in before.items():
                for key in [key for key, _ in transaction.scan(database) if key not in rows]:
                    transaction.delete(database, key)
                for key, value in rows.items():
                    if transaction.get(database, key) != value:
                        transaction.put(database, key, value)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallStore]:
    folder = prepare(Config(data=tmp_path / "data"))
    with opened(folder) as it:
        seed(it, BlobStore(folder.root), SeedPlan(SITES, DEPLOYMENTS), clock=Clock(), watcher=Unwatched())
        with it.store.write() as transaction:
            site = replace(read_site(transaction, 1), domains=(DOMAIN,))
            put_site(transaction, site)
            put_domain(transaction, CustomDomain(DOMAIN, 1, "0" * 32, Clock().now()))
            put_alias(transaction, Alias(1, SLUG, "dev", Pointer(seq=1, order=1)))
            first, last = read_deployment(transaction, 1, 1), read_deployment(transaction, 1, site.seq_last)
            put_route(transaction, it.keys, Hostname(DOMAIN), pipeline_of(last, is_preview=False))
            put_route(transaction, it.keys, it.names.alias(site.name, SLUG), pipeline_of(first))
        with it.store.read() as snapshot:
            hostnames = [Hostname(DOMAIN), it.names.alias(site.name, SLUG)]
            for number in range(1, SITES + 1):
                each = read_site(snapshot, number)
                hostnames.append(it.names.production(each.name))
                for seq in range(1, each.seq_last + 1):
                    short_id = read_deployment(snapshot, number, seq).short_id
                    hostnames.append(it.names.deployment(each.name, short_id))
            routes = {hostname: read_route(snapshot, it.keys, hostname) for hostname in hostnames}
        shown = {hostname: route for hostname, route in routes.items() if route is not None}
        assert len(shown) == len(hostnames) == SITES + DEPLOYMENTS + 2
        yield SmallStore(it, shown)


def damaged_rows(key: bytes, value: bytes) -> Iterator[tuple[bytes, bytes]]:
    for bit in BITS:
        for at in range(len(value)):
            yield key, value[:at] + bytes([value[at] ^ bit]) + value[at + 1 :]
        for at in range(len(key)):
            yield key[:at] + bytes([key[at] ^ bit]) + key[at + 1 :], value


def damaged_pointer(value: bytes, *, seq_last: int) -> int | None:
    """Where a readable site record points to, if there."""
    try:
        production = decode_record(Site, value).production
    except RecordUnreadable:
        return None
    return production.seq if production is not None and 0 < production.seq <= seq_last else None


def test_the_store_is_sound_to_begin_with(small: SmallStore) -> None:
    assert small.check_and_repair().faults == ()


@pytest.mark.parametrize("database", DAMAGED)
def test_a_wrong_byte_in_a_record_takes_no_host_away(small: SmallStore, database: Database) -> None:
    before = {each: small.rows(each) for each in (*DAMAGED, Database.ROUTES)}
    unnoticed = 0
    # The first row is of the site that has an address of each kind.
    key, value = next(iter(before[database].items()))
    for damaged_key, damaged_value in damaged_rows(key, value):
        with small.it.store.write() as transaction:
            transaction.delete(database, key)
            transaction.put(database, damaged_key, damaged_value)
        report = small.check_and_repair()
        # A pointer to another deployment is one that a rollback could have left: nothing contradicts it.
        is_another_pointer = database is Database.SITES and damaged_pointer(damaged_value, seq_last=2) not in (None, 2)
        assert is_another_pointer or small.lost() == [], (
            damaged_key,
            damaged_value,
            [fault.what for fault in report.faults],
        )
        unnoticed += not report.faults
        small.bring_back(before)
    assert unnoticed < len(value), "what carries meaning is noticed; a time or a commit's message can't be"


def test_a_route_that_nobody_calls_for_stays_while_its_site_is_in_doubt(small: SmallStore) -> None:
    with small.it.store.write() as transaction:
        transaction.put(Database.DEPLOYMENTS, deployment_key(1, 1), b"{}")
    report = small.check_and_repair()
    assert [fault.kind for fault in report.faults] == ["record", "undecided"]
    assert small.lost() == []
    with small.it.store.write() as transaction:
        transaction.put(Database.SITES, SITE_NO.pack(1), b"{")
    small.check_and_repair()
    assert small.lost() == []


def test_an_unreadable_deployment_is_named_by_its_id_with_what_can_be_done(small: SmallStore) -> None:
    with small.it.store.write() as transaction:
        deployment = read_deployment(transaction, 1, 1)
        transaction.put(Database.DEPLOYMENTS, deployment_key(1, 1), b"{}")
    fault = small.check_and_repair().faults[0]
    assert deployment.id in fault.where
    assert f"onehop deployment delete seed-1 {deployment.id}" in fault.cure
