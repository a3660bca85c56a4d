"""A secret that is missing, or is another store's, is refused with the cure, and never made anew without a word."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import LiveServer, Serve, serving

Loss = Callable[[Path], object]
LOSSES: dict[str, Loss] = {
    "missing": Path.unlink,
    "foreign": lambda path: path.write_text("ab" * 32 + "\n"),
    "empty": lambda path: path.write_text(""),
}
PROVEN = ("token-pepper", "variables-key")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that was served from once, and a backup of it."""
    folder = tmp_path_factory.mktemp("made")
    with serving(folder / "data") as server:
        server.cli("backup", str(folder / "backup"))
    return folder


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(made / "data", tmp_path / "data"))


def onehop(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "onehop", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", PROVEN)
def test_a_lost_key_is_refused_at_start_and_named_by_check(data: Path, name: str, loss: str) -> None:
    path = data / "secrets" / name
    LOSSES[loss](path)
    left = path.read_text() if path.exists() else None
    refused = onehop("serve", "--data", str(data), "--port", "0", "--api-port", "0")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert name in line
    assert "backup" in line
    assert (path.read_text() if path.exists() else None) == left
    checked = onehop("check", "--data", str(data), "--json")
    assert checked.returncode == 1
    (fault,) = json.loads(checked.stdout)["faults"]
    assert (fault["kind"], fault["where"]) == ("secret", str(path))
    assert "backup" in fault["cure"]


@pytest.mark.parametrize("loss", ["missing", "foreign"])
@pytest.mark.parametrize("name", PROVEN)
def test_a_backup_without_its_key_is_not_restored(made: Path, tmp_path: Path, name: str, loss: str) -> None:
    shutil.copytree(made / "backup", tmp_path / "backup")
    LOSSES[loss](tmp_path / "backup" / "secrets" / name)
    refused = onehop("restore", str(tmp_path / "backup"), "--data", str(tmp_path / "restored"))
    assert refused.returncode == 1
    assert name in refused.stderr
    assert not (tmp_path / "restored").exists()


def test_a_lost_upload_key_is_made_anew(data: Path, serve: Serve) -> None:
    (data / "secrets" / "upload-key").unlink()
    server = serve(data=data)
    assert server.api("GET", "/accounts")["success"]


def test_a_lost_pepper_can_be_given_up_and_every_token_with_it(data: Path, serve: Serve) -> None:
    token = (data / "secrets" / "admin-token").read_text()
    (data / "secrets" / "token-pepper").unlink()
    assert onehop("keys", "renew", "token-pepper", "--yes", "--data", str(data)).returncode == 0
    server = serve(data=data)
    assert (data / "secrets" / "admin-token").read_text() != token
    assert server.api("GET", "/accounts")["success"]
    assert onehop("check", "--data", str(data)).returncode == 0


def test_nothing_is_given_up_while_a_server_runs_or_without_a_yes(serve: Serve) -> None:
    server: LiveServer = serve()
    refused = server.cli("keys", "renew", "token-pepper", "--yes", check=False)
    assert refused.returncode == 1
    assert "in use" in refused.stderr
    assert server.cli("keys", "renew", "token-pepper", check=False).returncode != 0
    assert server.api("GET", "/accounts")["success"]
