"""What reading a running server's configuration again changes, and what it leaves; on values and on a real server."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onehop.config import Config
from onehop.reload import FIXED, settle
from tests.conftest import STOP_TIMEOUT_S, exchange

ABSENT = {"Host": "absent.pages.localhost"}


def test_what_was_bound_at_the_start_stays_and_all_else_is_taken() -> None:
    running = Config(port=1, workers=1, drain_s=1.0)
    config, kept = settle(running, Config(port=2, workers=3, drain_s=2.0, pages_domain="other.example"))
    assert (config.port, config.workers, config.drain_s) == (1, 3, 2.0)
    assert config.pages_domain == running.pages_domain
    assert kept == ["port", "pages_domain"]


def test_an_unchanged_configuration_keeps_nothing_back() -> None:
    assert settle(Config(), Config()) == (Config(), [])
    assert "workers" not in FIXED


@contextmanager
def serving_file(folder: Path, settings: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any], Path]]:
    """A server with a configuration file; its stderr is for the test to read."""
    file = folder / "onehop.toml"
    file.write_text(settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "onehop", "serve", "--data", str(folder / "data"), "--port", "0", "--api-port", "0",
         "--json", "--log-format", "json", "--config", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        try:
            yield process, json.loads(process.stdout.readline()), file
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_TIMEOUT_S) == 0


def next_event(process: "subprocess.Popen[str]", name: str) -> dict[str, Any]:
    assert process.stderr is not None
    for line in process.stderr:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(f"ended without {name}")


def test_sighup_reads_the_file_again(tmp_path: Path) -> None:
    with serving_file(tmp_path, "workers = 1\n") as (process, told, file):
        long_target = "/" + "a" * 400
        assert exchange(told["edge_port"], "GET", long_target, ABSENT).status == 404
        file.write_text("workers = 2\nlimits = { target_bytes_max = 300 }\ndc = 'elsewhere'\n")
        process.send_signal(signal.SIGHUP)
        assert next_event(process, "reload.kept")["settings"] == ["dc"]
        assert next_event(process, "reload.done")["processes_count"] == 3
        while exchange(told["edge_port"], "GET", long_target, ABSENT).status != 414:
            pass  # the worker of before was told to drain, and may still take a connection that came before it heard
        assert exchange(told["api_port"], "GET", "/healthz", {"Host": "127.0.0.1"}).status == 200


def test_a_file_that_cannot_be_used_keeps_the_old_running_and_says_why_in_one_line(tmp_path: Path) -> None:
    with serving_file(tmp_path, "workers = 1\n") as (process, told, file):
        for settings, part in [
            ("workers = 0\nlimits = { head_s = 'x' }\n", "workers in"),
            ("workers = \n", "isn't TOML"),
            ("wrkers = 1\n", "unknown settings wrkers"),
        ]:
            file.write_text(settings)
            process.send_signal(signal.SIGHUP)
            assert part in next_event(process, "reload.refused")["reason"]
        file.unlink()
        process.send_signal(signal.SIGHUP)
        assert "can't be read" in next_event(process, "reload.refused")["reason"]
        assert exchange(told["edge_port"], "GET", "/", ABSENT).status == 404
