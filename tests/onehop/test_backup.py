"""A backup made while serving, brought back elsewhere, serves the same."""

import shutil
import stat
import threading
from pathlib import Path

import pytest

from onehop.backup import BackupRefused, being_made
from tests.conftest import LiveServer, Serve
from tests.e2e.workflow_worker import described_until, working


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> LiveServer:
    server = serve()
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("kept safe")
    server.cli("deploy", str(site), "--project", "a", cwd=tmp_path)
    return server


@pytest.mark.parametrize("name", ["backup", "backup.tar", "backup.tar.gz"])
def test_backup_made_while_serving_comes_back_whole(
    server: LiveServer, serve: Serve, tmp_path: Path, name: str
) -> None:
    made = server.cli("backup", str(tmp_path / name))
    assert "secrets" in made.stderr
    server.cli("restore", str(tmp_path / name), "--data", str(tmp_path / "restored"))
    second = serve(data=tmp_path / "restored")
    assert second.get("a.pages.localhost").body == b"kept safe"
    assert second.token == server.token
    assert second.cli("check").returncode == 0


def test_backup_keeps_workflows_as_they_were(server: LiveServer, serve: Serve, tmp_path: Path) -> None:
    with working(server):
        server.cli("workflow", "trigger", "order", '{"n": 1}', "--id", "kept")
        before = described_until(server, "order", "kept", "running", "waiting", steps=3)
        server.cli("backup", str(tmp_path / "backup.tar"))
    server.cli("restore", str(tmp_path / "backup.tar"), "--data", str(tmp_path / "restored"))
    second = serve(data=tmp_path / "restored")
    assert stat.S_IMODE((tmp_path / "restored" / "workflows").stat().st_mode) == 0o700
    with working(second):
        second.cli("workflow", "send-event", "order", "kept", "--type", "picked-up")
        after = described_until(second, "order", "kept", "complete")
    assert after["steps"][0] == before["steps"][0]


def test_backup_takes_keys_and_values_of_functions_along(server: LiveServer, serve: Serve, tmp_path: Path) -> None:
    namespaces = "/accounts/acct/storage/kv/namespaces"
    namespace = server.api("POST", namespaces, {"title": "kept"})["result"]["id"]
    server.api("PUT", f"{namespaces}/{namespace}/values/key", {"a": 1})
    server.cli("backup", str(tmp_path / "backup.tar"))
    server.cli("restore", str(tmp_path / "backup.tar"), "--data", str(tmp_path / "restored"))
    second = serve(data=tmp_path / "restored")
    assert [each["title"] for each in second.api("GET", namespaces)["result"]] == ["kept"]
    keys = second.api("GET", f"{namespaces}/{namespace}/keys")["result"]
    assert [each["name"] for each in keys] == ["key"]


def test_backup_keeps_secrets_to_their_owner(server: LiveServer, tmp_path: Path) -> None:
    server.cli("backup", str(tmp_path / "folder"))
    server.cli("backup", str(tmp_path / "file.tar"))
    server.cli("restore", str(tmp_path / "file.tar"), "--data", str(tmp_path / "restored"))
    secrets = [*(tmp_path / "folder" / "secrets").iterdir(), *(tmp_path / "restored" / "secrets").iterdir()]
    assert len(secrets) >= 8
    for file in (*secrets, tmp_path / "file.tar"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    for folder in (tmp_path / "folder", tmp_path / "folder" / "secrets", tmp_path / "restored" / "secrets"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_blobs_are_linked_where_the_file_system_allows_it(server: LiveServer, tmp_path: Path) -> None:
    server.cli("backup", str(tmp_path / "folder"))
    (copied,) = (tmp_path / "folder" / "blobs").glob("*/*.blob")
    assert copied.stat().st_nlink == 2


def test_nothing_is_ever_overwritten(server: LiveServer, tmp_path: Path) -> None:
    server.cli("backup", str(tmp_path / "folder"))
    assert server.cli("backup", str(tmp_path / "folder"), check=False).returncode == 1
    refused = server.cli("restore", str(tmp_path / "folder"), "--data", str(server.data), check=False)
    assert refused.returncode == 1
    assert server.get("a.pages.localhost").body == b"kept safe"


def test_half_a_backup_is_refused_and_leaves_nothing(server: LiveServer, tmp_path: Path) -> None:
    server.cli("backup", str(tmp_path / "folder"))
    server.cli("backup", str(tmp_path / "file.tar"))
    (tmp_path / "folder" / "backup.json").unlink()
    archive = (tmp_path / "file.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(archive[: len(archive) // 2])
    (tmp_path / "text.tar").write_text("not an archive")
    for source in ("folder", "cut.tar", "text.tar", "nothing"):
        refused = server.cli("restore", str(tmp_path / source), "--data", str(tmp_path / "restored"), check=False)
        assert refused.returncode == 1, source
        assert refused.stderr.count("\n") == 1, refused.stderr
        assert not list(tmp_path.glob("restored*"))


def test_damaged_backup_is_restored_only_by_force(server: LiveServer, tmp_path: Path) -> None:
    server.cli("backup", str(tmp_path / "folder"))
    (blob,) = (tmp_path / "folder" / "blobs").glob("*/*.blob")
    blob.unlink()
    target = ("restore", str(tmp_path / "folder"), "--data", str(tmp_path / "restored"))
    refused = server.cli(*target, check=False)
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    server.cli(*target, "--force")
    assert (tmp_path / "restored" / "kv").is_dir()


@pytest.mark.parametrize("lost", ["kv", "kv/data.mdb", "secrets"])
def test_a_backup_without_its_store_or_secrets_is_refused_in_one_line(
    server: LiveServer, tmp_path: Path, lost: str
) -> None:
    server.cli("backup", str(tmp_path / "folder"))
    gone = tmp_path / "folder" / lost
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    refused = server.cli("restore", str(tmp_path / "folder"), "--data", str(tmp_path / "restored"), check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert "isn't a whole backup" in refused.stderr
    assert not list(tmp_path.glob("restored*"))


@pytest.mark.parametrize("name", ["backup.zip", "backup.tar.zst", "BACKUP.7Z", "backup.gz"])
def test_a_name_that_promises_another_archive_is_refused(server: LiveServer, tmp_path: Path, name: str) -> None:
    refused = server.cli("backup", str(tmp_path / name), check=False)
    assert refused.returncode == 1
    assert ".tar.gz" in refused.stderr
    assert not (tmp_path / name).exists()
    server.cli("backup", str(tmp_path / "backup.2026-11-24"))


def test_bundles_that_are_being_written_are_left_out(server: LiveServer, tmp_path: Path) -> None:
    """A function deploy writes a draft and gives it its name; either may happen at any moment of a backup."""
    bundles = server.data / "bundles"
    (bundles / f"{'a' * 32}.draft").write_bytes(b"half a bundle")
    (bundles / f"{'A' * 22}.bundle").write_bytes(b"a bundle")
    stop = threading.Event()

    def keep_writing() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            draft = bundles / f"{number:032x}.draft"
            draft.write_bytes(b"x")
            draft.replace(bundles / f"{'B' * 22}.bundle")

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        for number in range(5):
            server.cli("backup", str(tmp_path / f"backup-{number}"))
            copied = {file.name for file in (tmp_path / f"backup-{number}" / "bundles").iterdir()}
            assert copied == {f"{'A' * 22}.bundle", f"{'B' * 22}.bundle"}
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("round_number", range(50))
def test_of_two_that_make_the_same_folder_one_does_and_the_other_harms_nothing(
    tmp_path: Path, round_number: int
) -> None:
    target = tmp_path / "made"
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def make(name: str) -> None:
        start.wait()
        try:
            with being_made(target) as partial:
                (partial / "whole").write_text(name)
            outcomes.append(name)
        except BackupRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=make, args=(name,)) for name in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 2
    (made,) = {"one", "other"} & set(outcomes)
    assert (target / "whole").read_text() == made
    assert [each.name for each in tmp_path.iterdir()] == ["made"]
