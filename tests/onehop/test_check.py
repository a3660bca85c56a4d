"""`onehop check` names every fault, and `--repair` mends what can be derived."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asset_server.blobs import BlobStore
from control_plane.clock import Clock
from onehop.check import check
from onehop.check_report import CheckReport
from onehop.config import Config
from onehop.data_folder import DataFolder
from onehop.opened_store import OpenedStore, opened
from onehop.output import Unwatched
from onehop.prepared_folder import prepare
from onehop.repair import repair
from onehop.seed import SeedPlan, seed
from router.kv.schema import SITE_NO, Database, deployment_key
from router.kv.store import Transaction
from tests.conftest import Serve
from workflows import open_client
from workflows.store.definitions import Registration, register_workflow

SITES = 3
DEPLOYMENTS = 12


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = prepare(Config(data=tmp_path / "data"))
    with opened(folder) as it:
        seed(it, BlobStore(folder.root), SeedPlan(SITES, DEPLOYMENTS), clock=Clock(), watcher=Unwatched())
    return folder


def run(folder: DataFolder, *, is_deep: bool = True) -> CheckReport:
    with opened(folder) as it:
        return check(it, BlobStore(folder.root), is_deep=is_deep, watcher=Unwatched())


def kinds(report: CheckReport) -> set[str]:
    return {fault.kind for fault in report.faults}


def damage(folder: DataFolder, action: Callable[[OpenedStore, Transaction], object]) -> None:
    with opened(folder) as it, it.store.write() as transaction:
        action(it, transaction)


def mend(folder: DataFolder) -> CheckReport:
    """The faults that are left after a repair."""
    with opened(folder) as it:
        blobs = BlobStore(folder.root)
        report = check(it, blobs, is_deep=True, watcher=Unwatched())
        repair(it, blobs, report, watcher=Unwatched())
    return run(folder)


def first_route(transaction: Transaction) -> bytes:
    return next(iter(transaction.scan(Database.ROUTES)))[0]


def test_sound_store_has_no_faults_and_everything_is_counted(folder: DataFolder) -> None:
    report = run(folder)
    assert report.faults == ()
    assert report.counts["sites"] == SITES
    assert report.counts["deployments"] == DEPLOYMENTS
    assert report.counts["routes"] == SITES + DEPLOYMENTS


def test_missing_route_is_named_and_mended(folder: DataFolder) -> None:
    damage(folder, lambda _, transaction: transaction.delete(Database.ROUTES, first_route(transaction)))
    (fault,) = run(folder).faults
    assert fault.kind == "route"
    assert fault.where.endswith(".pages.localhost")
    assert mend(folder).faults == ()


def test_unreadable_route_is_named_and_mended(folder: DataFolder) -> None:
    damage(folder, lambda _, transaction: transaction.put(Database.ROUTES, first_route(transaction), b'{"v":1'))
    (fault,) = run(folder).faults
    assert "can't be read" in fault.what
    assert mend(folder).faults == ()


def test_route_that_nothing_calls_for_is_named_and_removed(folder: DataFolder) -> None:
    def add(_: OpenedStore, transaction: Transaction) -> None:
        value = transaction.get(Database.ROUTES, first_route(transaction))
        assert value is not None
        transaction.put(Database.ROUTES, bytes(16), value)

    damage(folder, add)
    assert kinds(run(folder)) == {"orphan"}
    assert mend(folder).faults == ()


def test_rows_of_a_site_that_is_gone_are_orphans_and_removed(folder: DataFolder) -> None:
    damage(folder, lambda _, transaction: transaction.delete(Database.SITES, SITE_NO.pack(1)))
    assert kinds(run(folder)) == {"orphan"}
    mend(folder)  # the deployments go at first, then the ids that led to them
    assert mend(folder).faults == ()


def test_pointer_to_nothing_is_named(folder: DataFolder) -> None:
    last = DEPLOYMENTS // SITES
    damage(folder, lambda _, transaction: transaction.delete(Database.DEPLOYMENTS, deployment_key(1, last)))
    assert "pointer" in kinds(run(folder))


def test_damaged_record_is_named_with_its_database(folder: DataFolder) -> None:
    damage(folder, lambda _, transaction: transaction.put(Database.DEPLOYMENTS, deployment_key(2, 1), b"{}"))
    assert any(fault.kind == "record" and fault.where.startswith("deployments") for fault in run(folder).faults)


def test_damaged_manifest_is_named_with_the_deployments_that_need_it(folder: DataFolder) -> None:
    def flip(_: OpenedStore, transaction: Transaction) -> None:
        key, value = next(iter(transaction.scan(Database.MANIFESTS)))
        transaction.put(Database.MANIFESTS, key, value[:-1] + bytes([value[-1] ^ 1]))

    damage(folder, flip)
    report = run(folder)
    assert kinds(report) == {"manifest", "deployment"}
    assert sum(fault.kind == "deployment" for fault in report.faults) == DEPLOYMENTS


@pytest.mark.parametrize("how", ["missing", "truncated", "flipped"])
def test_damaged_blob_is_named_with_the_deployments_that_need_it(folder: DataFolder, how: str) -> None:
    (blob,) = folder.blobs.glob("*/*.blob")
    content = blob.read_bytes()
    blob.unlink()
    if how != "missing":
        blob.write_bytes(content[:-5] if how == "truncated" else content[:-5] + b"\x00" + content[-4:])
    assert kinds(run(folder)) == {"blob", "deployment"}
    mend(folder)
    assert not blob.exists()


def test_quick_check_does_not_read_the_bytes_of_blobs(folder: DataFolder) -> None:
    (blob,) = folder.blobs.glob("*/*.blob")
    content = blob.read_bytes()
    blob.unlink()
    blob.write_bytes(content[:-5] + b"\x00" + content[-4:])
    assert run(folder, is_deep=False).faults == ()


def test_secret_that_others_may_read_is_named(folder: DataFolder) -> None:
    (folder.secrets / "token-pepper").write_text("x")
    (folder.secrets / "token-pepper").chmod(0o644)
    (fault,) = run(folder).faults
    assert "chmod 600" in fault.cure


async def test_damaged_workflows_are_named_and_sound_ones_counted(folder: DataFolder) -> None:
    async with open_client(folder.workflow_store) as client:
        wanted = Registration(name="w", script_name="s", class_name="C", code_hash="h")
        await client.writer.submit(lambda tx: register_workflow(tx, wanted))
        for number in range(200):
            await client.create("w", id=f"i-{number}", params="x" * 1000)
    assert (run(folder).faults, run(folder).counts["workflow_instances"]) == ((), 200)
    with folder.workflow_store.open("r+b") as file:
        file.seek(5 * 4096)
        file.write(b"\xff" * 4096 * 3)
    for is_deep in (True, False):
        (fault, *_) = run(folder, is_deep=is_deep).faults
        assert (fault.kind, "backup" in fault.cure) == ("workflows", True)


def test_command_exits_1_with_faults_and_0_without(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("x")
    server.cli("deploy", str(tmp_path / "site"), "--project", "a", cwd=tmp_path)
    assert json.loads(server.cli("check", "--json").stdout)["faults"] == []
    for blob in (server.data / "blobs").glob("*/*.blob"):
        blob.unlink()
    done = server.cli("check", "--json", check=False)
    assert done.returncode == 1
    told: dict[str, Any] = json.loads(done.stdout)
    assert {fault["kind"] for fault in told["faults"]} == {"blob", "deployment"}
    assert all(fault["cure"] for fault in told["faults"])
