"""A plain `serve` is read without typer, to the same settings; whatever isn't plain is left to typer."""

import inspect
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from onehop.commands import serve as command
from onehop.config import PARSERS, Config
from onehop.plain_serve import SETTINGS, PlainServe, parse_plain_serve

EVERY_OPTION = [part for option in SETTINGS for part in (option, f"value of {option}")]


def read_by_typer(monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str]) -> PlainServe:
    told: list[Any] = []

    def load_config(flags: dict[str, str | None], _environ: object, *, file: Path | None) -> Config:
        told.extend([{name: value for name, value in flags.items() if value is not None}, file])
        return Config()

    def run_serve(_config: Config, *, read_again: object, as_json: bool) -> int:
        told.append(as_json)
        return 0

    monkeypatch.setattr(command, "load_config", load_config)
    monkeypatch.setattr(command, "run_serve", run_serve)
    done = CliRunner().invoke(command.app, list(arguments))
    assert done.exit_code == 0, done.output
    return PlainServe(*told)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--json"],
        ["--config", "a.toml"],
        ["--port=0", "--json", "--api-port", "0"],
        ["--port", "1", "--port", "2"],
        ["--data="],
        ["--limits=head_s=5,idle_s=30"],
        EVERY_OPTION,
    ],
)
def test_plain_options_are_read_as_typer_reads_them(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    assert parse_plain_serve(arguments) == read_by_typer(monkeypatch, arguments)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["-h"], ["--nonsense", "x"], ["--port"], ["--port", "--json"], ["--port", "-1"], ["x"], ["--json=1"],
     ["--config"], ["--", "--json"]],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_typer(arguments: list[str]) -> None:
    assert parse_plain_serve(arguments) is None


def test_the_command_has_an_option_for_each_setting() -> None:
    options = inspect.signature(command.serve).parameters.keys()
    assert options == PARSERS.keys() | {"config", "as_json"}
    assert isinstance(command.app, typer.Typer)


def test_a_plain_serve_imports_no_typer() -> None:
    program = "import sys, onehop.__main__, onehop.plain_serve; sys.exit('typer' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
