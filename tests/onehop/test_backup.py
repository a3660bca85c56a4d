"""A backup made while serving, brought back elsewhere, serves the same."""

import stat
from pathlib import Path

import pytest

from tests.conftest import LiveServer, Serve


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
