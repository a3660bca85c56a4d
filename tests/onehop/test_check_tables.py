"""`onehop check` compares both schemes, and `--repair` makes tables anew."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from control_plane.catalogue import put_site
from control_plane.dual_write import shown_in_table
from onehop.check import check
from onehop.check_report import CheckReport
from onehop.data_folder import DataFolder
from onehop.opened_store import OpenedStore
from onehop.output import Unwatched
from onehop.repair import repair
from router.hashed import delete_route, put_route
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.store import Transaction
from router.legacy_table import EMPTY, edit_table
from router.pipeline import Pipeline
from tests.control_plane.client import FakeTime, open_plane
from tests.control_plane.conftest import assert_schemes_agree
from tests.schemes.both_schemes import BothSchemes, need_site

HOST = "one.pages.test"
KEY = SITE_NO.pack(1)


@dataclass
class CheckedSchemes(BothSchemes):
    """With what a command on the same data folder has opened."""

    folder: Path = Path()

    @property
    def it(self) -> OpenedStore:
        return OpenedStore(DataFolder(self.folder), self.plane.store, self.plane.keys(), self.plane.names)


@pytest.fixture
def schemes(tmp_path: Path) -> Iterator[CheckedSchemes]:
    with open_plane(tmp_path, FakeTime()) as plane:
        opened = CheckedSchemes(plane, folder=tmp_path)
        opened.create("one")
        for version, branch in ((0, "main"), (1, "main"), (2, "x")):
            opened.deploy("one", version, branch)
        opened.add_domain("one", "www.example.test")
        yield opened


def run(schemes: CheckedSchemes) -> CheckReport:
    return check(schemes.it, schemes.plane.blobs, is_deep=False, watcher=Unwatched())


def edit(edits: dict[str, str | None]) -> Callable[[Transaction], None]:
    def change(transaction: Transaction) -> None:
        table = transaction.get(Database.LEGACY_TABLES, KEY)
        assert table is not None
        transaction.put(Database.LEGACY_TABLES, KEY, edit_table(table, edits))

    return change


def cut(transaction: Transaction) -> None:
    table = transaction.get(Database.LEGACY_TABLES, KEY)
    assert table is not None
    transaction.put(Database.LEGACY_TABLES, KEY, table[:-100])


def damage_pipelines(transaction: Transaction) -> None:
    for key, _ in list(transaction.scan(Database.PIPELINES)):
        transaction.put(Database.PIPELINES, key, b"{}")


def swap_filters(transaction: Transaction) -> None:
    table = transaction.get(Database.LEGACY_TABLES, KEY)
    assert table is not None
    transaction.put(Database.LEGACY_TABLES, KEY, table.replace(b"00000001", b"0000000x"))


DAMAGES: dict[str, tuple[Callable[[Transaction], None], str]] = {
    "cut": (cut, "can't be read"),
    "lacks a host": (edit({HOST: None}), f"lacks {HOST}"),
    "has a stranger": (edit({f"stranger.{HOST}": "0" * 32}), "which no record calls for"),
    "leads nowhere": (edit({HOST: "0" * 32}), "names no pipeline"),
    "pipelines damaged": (damage_pipelines, "isn't what this release writes"),
    "another host": (swap_filters, "lacks 00000001"),
}


def damage(schemes: CheckedSchemes, change: Callable[[Transaction], None]) -> None:
    with schemes.plane.store.write() as transaction:
        change(transaction)


def test_sound_tables_have_no_faults_and_are_counted(schemes: CheckedSchemes) -> None:
    report = run(schemes)
    assert report.faults == ()
    assert (report.counts["routing_tables"], report.counts["hosts_without_route_yet"]) == (1, 0)


@pytest.mark.parametrize("what", DAMAGES)
def test_82_a_damaged_table_is_named_and_made_anew(schemes: CheckedSchemes, what: str) -> None:
    change, part = DAMAGES[what]
    damage(schemes, change)
    report = run(schemes)
    faults = [fault for fault in report.faults if fault.kind == "table"]
    assert any(part in fault.what for fault in faults), report.faults
    assert {fault.where for fault in faults} == {"one"}
    repaired = repair(schemes.it, schemes.plane.blobs, report, watcher=Unwatched())
    assert repaired.tables_written == 1
    assert run(schemes).faults == ()
    if what != "pipelines damaged":
        assert_schemes_agree(schemes.plane)


def test_a_table_that_disagrees_with_a_route_follows_the_route(schemes: CheckedSchemes) -> None:
    with schemes.plane.store.read() as snapshot:
        shown = shown_in_table(snapshot, 1, Hostname(f"x.{HOST}"))
    assert shown is not None
    damage(schemes, lambda transaction: put_route(transaction, schemes.plane.keys(), Hostname(HOST), shown))
    kinds = {fault.kind for fault in run(schemes).faults}
    assert kinds == {"route", "table"}
    repair(schemes.it, schemes.plane.blobs, run(schemes), watcher=Unwatched())
    assert run(schemes).faults == ()


def test_tables_and_pipelines_that_nothing_names_are_removed(schemes: CheckedSchemes) -> None:
    def leave_behind(transaction: Transaction) -> None:
        transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(9), EMPTY)
        transaction.put(Database.PIPELINES, b"0" * 32, Pipeline(1, "a" * 22).encode())

    damage(schemes, leave_behind)
    report = run(schemes)
    assert [fault.kind for fault in report.faults] == ["orphan", "orphan"]
    assert repair(schemes.it, schemes.plane.blobs, report, watcher=Unwatched()).rows_removed == 2
    assert run(schemes).faults == ()
    assert_schemes_agree(schemes.plane)


def test_a_host_that_only_its_table_knows_waits_and_is_no_fault(schemes: CheckedSchemes) -> None:
    damage(schemes, lambda transaction: delete_route(transaction, schemes.plane.keys(), Hostname(HOST)) or None)
    report = run(schemes)
    assert report.faults == ()
    assert report.counts["hosts_without_route_yet"] == 1


def test_without_dual_write_a_table_may_be_behind_but_not_unreadable(schemes: CheckedSchemes) -> None:
    damage(schemes, lambda transaction: put_site(transaction, replace(need_site(transaction, "one"), dual_write=False)))
    schemes.deploy("one", 3, "main")
    assert run(schemes).faults == ()
    damage(schemes, cut)
    assert [fault.what[:13] for fault in run(schemes).faults if fault.kind == "table"] == ["can't be read"]
