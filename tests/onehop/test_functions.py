"""`onehop functions …`: where workerd is, and what a function said, as a person reads it."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from onehop.commands.functions import show_event
from tests.conftest import serving
from tests.function_sites import FunctionServer, function_server
from tests.real_parts import find_workerd

WORKER = """
export default {
  fetch(request) {
    if (new URL(request.url).pathname === "/throw") throw new Error("for the author");
    console.log("said", { a: 1 });
    return new Response("ok");
  },
};
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with function_server(tmp_path_factory.mktemp("functions")) as server:
        server.deploy("talks", WORKER)
        yield server


def onehop(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONEHOP_")}
    return subprocess.run(
        [sys.executable, "-m", "onehop", "functions", *arguments],
        env={**kept, **environ},
        capture_output=True,
        text=True,
    )


def logged(functions: FunctionServer, *, events_count: int) -> list[dict]:  # type: ignore[type-arg]
    """Until that many are there: they are written by and by."""
    while True:
        done = functions.server.cli("functions", "logs", "talks", "--json")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        if len(events) >= events_count:
            return events


def test_logs_show_lines_and_errors_of_the_live_deployment(functions: FunctionServer) -> None:
    assert functions.get("talks").body == b"ok"
    assert functions.get("talks", "/throw").status == 500
    assert len(logged(functions, events_count=2)) == 2, "an error is told once"
    shown = functions.server.cli("functions", "logs", "talks").stdout
    assert 'log: said {"a":1}' in shown
    assert "Error: for the author" in shown


def test_a_function_that_nobody_could_try_says_in_its_log_why_it_doesnt_start(tmp_path: Path) -> None:
    with serving(tmp_path / "data", environ={"ONEHOP_WORKERD": ""}) as without:
        FunctionServer(without, tmp_path / "sites").deploy("broken", "throw new Error('at the top');")
    with function_server(tmp_path) as functions:
        answer = functions.get("broken")
        assert answer.status == 500
        assert b"at the top" not in answer.body
        while "at the top" not in (shown := functions.server.cli("functions", "logs", "broken").stdout):
            assert "Traceback" not in shown


def test_what_a_site_says_gives_a_terminal_no_commands(capsys: pytest.CaptureFixture[str]) -> None:
    show_event({"logs": [{"level": "log", "message": ["\x1b[2Jgone\r\n"]}], "exceptions": [{"message": "\x07"}]})
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\\x1b[2Jgone\\r\\n" in shown


def test_status_says_which_workerd_or_how_to_bring_one(tmp_path: Path) -> None:
    none = onehop("status", "--data", str(tmp_path))
    assert none.returncode == 0
    assert "onehop functions install" in none.stdout
    workerd = str(find_workerd())
    named = json.loads(onehop("status", "--data", str(tmp_path), "--json", ONEHOP_WORKERD=workerd).stdout)
    assert named["workerd"] == workerd
    assert onehop("status", "--data", str(tmp_path), ONEHOP_WORKERD="/bin/true").returncode == 1


def test_install_without_npm_or_with_one_that_fails_is_one_line(tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    without = onehop("install", "--into", str(tmp_path / "into"), PATH=str(bare))
    npm = bare / "npm"
    npm.write_text("#!/bin/sh\necho no such version >&2\nexit 1\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    failing = onehop("install", "--into", str(tmp_path / "into"), PATH=f"{bare}:/bin:/usr/bin")
    for done, said in ((without, "npm isn't installed"), (failing, "no such version")):
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
