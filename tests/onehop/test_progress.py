"""Whatever may take over a second shows on a terminal how far it is, and says nothing of it elsewhere."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LiveServer, serving

COMMANDS = {
    "deploy": (["deploy", "site", "--project", "a"], ["reading files", "asking what is missing"]),
    "check": (["check"], ["manifests", "deployments"]),
    "gc": (["gc"], ["collecting"]),
    "deployment list": (["deployment", "list", "a"], ["reading deployments"]),
    "backup": (["backup", "copy"], ["copying the store", "blobs"]),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("progress")
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("x")
    with serving(folder / "data") as running:
        running.cli("deploy", "site", "--project", "a", cwd=folder)
        yield running


def run_on_a_terminal(server: LiveServer, folder: Path, arguments: list[str]) -> tuple[int, str]:
    """(exit code, what the terminal got on stderr)."""
    terminal, its_end = pty.openpty()
    environ = {**server.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        [sys.executable, "-m", "onehop", *arguments],
        env=environ, cwd=folder, stdin=its_end, stdout=subprocess.DEVNULL, stderr=its_end,
    ) as process:  # fmt: skip
        os.close(its_end)
        shown = b""
        try:
            while chunk := os.read(terminal, 65536):
                shown += chunk
        except OSError:
            pass  # Linux's way of saying that the other end is closed
        finally:
            os.close(terminal)
        return process.wait(), shown.decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_progress_is_shown_on_a_terminal(server: LiveServer, tmp_path: Path, command: str) -> None:
    arguments, stages = COMMANDS[command]
    (tmp_path / "site").symlink_to(server.data.parent / "site")
    code, shown = run_on_a_terminal(server, tmp_path, arguments)
    assert code == 0, shown
    for stage in stages:
        assert stage in shown
    assert "━" in shown or "╸" in shown, "a bar"


@pytest.mark.parametrize("command", COMMANDS)
def test_progress_is_silent_where_nobody_looks(server: LiveServer, tmp_path: Path, command: str) -> None:
    (tmp_path / "site").symlink_to(server.data.parent / "site")
    done = server.cli(*COMMANDS[command][0], cwd=tmp_path)
    assert "━" not in done.stderr + done.stdout
    assert not any(stage in done.stderr for stage in COMMANDS[command][1])
