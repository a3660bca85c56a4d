"""The front door: every command is found, wrong usage is 2, failures are one line and 1, nobody sees a traceback."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from onehop.__main__ import FAILURES
from onehop.command_tree import COMMANDS


def onehop(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONEHOP_")}
    return subprocess.run(
        [sys.executable, "-m", "onehop", *arguments], capture_output=True, text=True, env={**kept, **variables}
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(command: str) -> None:
    done = onehop(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: onehop " + command in done.stdout


@pytest.mark.parametrize("name", FAILURES)
def test_every_known_failure_exists(name: str) -> None:
    module, _, error = name.rpartition(".")
    assert issubclass(getattr(import_module(module), error), Exception)


def test_bare_command_shows_every_command() -> None:
    done = onehop()
    assert done.returncode == 0
    assert all(command in done.stdout for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--nonsense"], ["serve", "--nonsense"], ["deploy"], ["site"], ["seed", "--sites", "many"]],
)
def test_wrong_usage_is_one_line_that_names_the_help_and_exits_2(arguments: list[str]) -> None:
    done = onehop(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "--help" in done.stderr


def test_refused_configuration_exits_2_and_names_the_variable() -> None:
    done = onehop("serve", ONEHOP_PORT="eighty")
    assert done.returncode == 2
    assert "ONEHOP_PORT" in done.stderr
    assert done.stderr.count("\n") == 1


def test_missing_data_folder_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    for command in (["check"], ["route", "a.example"], ["keys", "list"], ["backup", str(tmp_path / "b")]):
        done = onehop(*command, "--data", str(tmp_path / "nothing"))
        assert done.returncode == 1, command
        assert done.stderr.count("\n") == 1
        assert "--data" in done.stderr


def test_unreachable_api_is_one_line_that_names_the_variable() -> None:
    done = onehop("site", "list", ONEHOP_API_URL="http://127.0.0.1:9", ONEHOP_API_TOKEN="x")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "ONEHOP_API_URL" in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = onehop("check", "--data", str(tmp_path / "nothing"), ONEHOP_DEBUG="1")
    assert "Traceback" in done.stderr


def test_version_is_printed() -> None:
    assert onehop("--version").stdout.startswith("onehop ")


def test_help_imports_no_command() -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "onehop", "--help"], capture_output=True, text=True, check=True
    ).stderr
    assert "onehop.commands" not in shown
    assert "httpx" not in shown
    assert "uvicorn" not in shown
