"""What people type by mistake, and must not pay for."""

import subprocess
import sys
from pathlib import Path

import pytest

from onehop.data_folder import DataFolder, DataFolderRefused
from tests.conftest import LiveServer, exchange


def run(server: LiveServer, *arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "onehop", *arguments],
        env={**server.environ, **environ}, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("token", ["", "  ", "abc\ndef", "abcé"])
def test_a_token_that_is_set_to_nothing_or_nonsense_never_becomes_the_admin(
    live_server: LiveServer, token: str
) -> None:
    done = run(live_server, "token", "list", ONEHOP_API_TOKEN=token)
    assert done.returncode == 1
    assert "ONEHOP_API_TOKEN" in done.stderr
    assert "abc" not in done.stderr


def test_an_api_url_that_is_none_is_said_so(live_server: LiveServer) -> None:
    assert "ONEHOP_API_URL" in run(live_server, "site", "list", ONEHOP_API_URL="garbage").stderr


def test_a_folder_that_holds_other_things_does_not_become_a_data_folder(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("a site")
    with pytest.raises(DataFolderRefused, match=r"index\.html"):
        DataFolder(tmp_path).create()
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.html"]


def test_a_data_folder_without_its_store_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    folder.route_keys.write_text("{}")
    with pytest.raises(DataFolderRefused, match="lost its store"):
        folder.create()
    (folder.kv / "data.mdb").touch()
    folder.create()


def test_an_empty_folder_is_deployed_only_by_force(live_server: LiveServer, tmp_path: Path) -> None:
    refused = run(live_server, "deploy", str(tmp_path), "--project", "empty", "--branch", "main")
    assert refused.returncode == 1
    assert "no files" in refused.stderr
    live_server.cli("deploy", str(tmp_path), "--project", "empty", "--branch", "main", "--force")
    assert live_server.get("empty.pages.localhost").status == 404


def test_the_api_refuses_to_publish_a_servers_secrets(live_server: LiveServer) -> None:
    live_server.api("POST", "/accounts/a/pages/projects", {"name": "leaky", "production_branch": "main"})
    key = "0" * 32
    body = (
        '--b\r\nContent-Disposition: form-data; name="manifest"\r\n\r\n'
        f'{{"/onehop-data/secrets/admin-token":"{key}"}}\r\n--b--\r\n'
    ).encode()
    answer = exchange(
        live_server.api_port,
        "POST",
        "/client/v4/accounts/a/pages/projects/leaky/deployments",
        {"Authorization": f"Bearer {live_server.token}", "Content-Type": "multipart/form-data; boundary=b"},
        body,
    )
    assert answer.status == 400
    assert b"secret of an Onehop server" in answer.body


def test_deleting_without_anybody_to_ask_needs_yes(live_server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("kept")
    live_server.cli("deploy", str(tmp_path), "--project", "kept", "--branch", "main")
    done = run(live_server, "site", "delete", "kept")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert live_server.get("kept.pages.localhost").status == 200


def test_a_backup_does_not_go_into_the_folder_that_it_is_of(live_server: LiveServer) -> None:
    done = run(live_server, "backup", str(live_server.data / "backup"))
    assert done.returncode == 1
    assert "outside" in done.stderr


def test_a_wrong_token_is_said_to_be_the_variables(live_server: LiveServer) -> None:
    done = run(live_server, "site", "list", ONEHOP_API_TOKEN="onehop_AAAAAAAAAAAA_" + "A" * 43)
    assert done.returncode == 1
    assert "ONEHOP_API_TOKEN" in done.stderr
    assert "Authorization" not in done.stderr


def test_deleting_the_previews_of_a_branch_that_has_none_fails(live_server: LiveServer) -> None:
    live_server.api("POST", "/accounts/a/pages/projects", {"name": "no-branches", "production_branch": "main"})
    done = run(live_server, "deployment", "delete", "no-branches", "--branch", "typo")
    assert done.returncode == 1
    assert "typo" in done.stderr


def test_a_detached_checkout_is_warned_of(live_server: LiveServer, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com"]
    (tmp_path / "index.html").write_text("a site")
    for step in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"], ["checkout", "-q", "--detach"]):
        subprocess.run([*git, *step], cwd=tmp_path, check=True, capture_output=True)
    done = run(live_server, "deploy", str(tmp_path), "--project", "detached")
    assert done.returncode == 0
    assert "--branch" in done.stderr


@pytest.mark.parametrize("arguments", [("-h",), ("site", "-h"), ("deploy", "-h")])
def test_help_has_its_short_name(live_server: LiveServer, arguments: tuple[str, ...]) -> None:
    done = run(live_server, *arguments)
    assert done.returncode == 0
    assert "Usage" in done.stdout
