"""`onehop workflow …` against a running server, with a worker that runs the e2e tests' workflows."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LiveServer, serving
from tests.e2e.workflow_worker import DEADLINE_S, described_until, working

WAITING = ("running", "waiting")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("workflow-commands") / "data") as running, working(running):
        yield running


@pytest.fixture
def instance(server: LiveServer, request: pytest.FixtureRequest) -> str:
    """An instance that waits for its courier, named after the test."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:90]
    assert server.cli("workflow", "trigger", "order", '{"failures": 1}', "--id", name).stdout == f"{name}\n"
    described_until(server, "order", name, *WAITING, steps=3)
    return name


def read(server: LiveServer, *arguments: str) -> Any:
    return json.loads(server.cli("workflow", *arguments, "--json").stdout)


def failed(server: LiveServer, *arguments: str, code: int = 1) -> str:
    """The one line that says why."""
    done = server.cli("workflow", *arguments, check=False)
    assert done.returncode == code, done
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_workflows_and_their_instances_are_listed(server: LiveServer, instance: str) -> None:
    assert {each["name"] for each in read(server, "list")} == {"order", "idle"}
    assert "Order" in server.cli("workflow", "list").stdout
    assert instance in {each["id"] for each in read(server, "list", "order")}
    assert instance in server.cli("workflow", "list", "order", "--search", instance[:20]).stdout
    assert read(server, "list", "order", "--status", "errored") == []
    assert len(read(server, "list", "order", "--limit", "1")) == 1
    assert "trigger" in server.cli("workflow", "list", "idle").stdout


def test_a_timeline_tells_steps_attempts_and_waits(server: LiveServer, instance: str) -> None:
    told = server.cli("workflow", "describe", "order", instance).stdout
    lines = told.splitlines()
    assert instance in lines[0]
    error = "ConnectionError: the bank is closed"
    for text in ("charge-1", "2 attempts", error, '{"receipt":"r-9"}', "slept", "“picked-up”"):
        assert text in told
    assert "r-9" not in server.cli("workflow", "describe", "order", instance, "--no-step-output").stdout
    document = read(server, "describe", "order", instance)
    assert (document["id"], document["step_count"]) == (instance, 3)


def test_a_workflow_is_described_with_its_versions(server: LiveServer) -> None:
    (version,) = read(server, "describe", "order")["versions"]
    assert version["id"] in server.cli("workflow", "describe", "order").stdout


def test_an_event_ends_the_wait_and_the_output_is_shown(server: LiveServer, instance: str) -> None:
    server.cli("workflow", "send-event", "order", instance, "--type", "picked-up", "--payload", '{"by": "ann"}')
    described_until(server, "order", instance, "complete")
    assert '{"courier":{"by":"ann"}}' in server.cli("workflow", "describe", "order", "latest").stdout


def test_pause_resume_restart_and_terminate(server: LiveServer, instance: str) -> None:
    server.cli("workflow", "pause", "order", instance)
    described_until(server, "order", instance, "paused")
    server.cli("workflow", "resume", "order", instance)
    before = described_until(server, "order", instance, *WAITING, steps=3)["steps"][0]
    restarted = read(server, "restart", "order", instance, "--from-step", "rest", "--from-step-type", "sleep")
    assert restarted["id"] == instance
    assert described_until(server, "order", instance, *WAITING, steps=3)["steps"][0] == before
    server.cli("workflow", "terminate", "order", instance, "--rollback")
    assert described_until(server, "order", instance, "terminated")["steps"][0]["rollback"]["success"] is True
    assert "rollback done" in server.cli("workflow", "describe", "order", instance).stdout


def test_everything_live_is_terminated_at_once(server: LiveServer, instance: str) -> None:
    server.cli("workflow", "terminate", "order", "--all")
    described_until(server, "order", instance, "terminated")


def test_an_export_has_every_event(server: LiveServer, instance: str) -> None:
    exported = json.loads(server.cli("workflow", "export", "order", instance).stdout)
    assert (exported["workflow"], exported["id"]) == ("order", instance)
    assert read(server, "export", "order", instance)["id"] == instance
    ids = [each["eventId"] for each in exported["log"]]
    assert ids == sorted(set(ids))
    assert {"workflow_queued", "attempt_errored", "step_completed", "wait_started"} <= {
        each["type"] for each in exported["log"]
    }


def test_metrics_and_collection(server: LiveServer, instance: str) -> None:
    assert any(each["event"] == "WORKFLOW_QUEUED" for each in read(server, "metrics", "order", "--bucket", "1m"))
    assert "STEP_SUCCESS" in server.cli("workflow", "metrics", "order", "--by-step").stdout
    assert read(server, "gc") == {"removed": 0}


def test_instances_and_workflows_are_deleted(server: LiveServer, instance: str) -> None:
    assert read(server, "delete", "order", instance)["deleted"] == [{"id": instance}]
    done = server.cli("workflow", "delete", "order", instance, check=False)
    assert (done.returncode, instance in done.stderr) == (1, True)
    assert server.api(
        "PUT", "/accounts/6f6e65686f7000000000000000000000/workflows/w", {"script_name": "s", "class_name": "C"}
    )
    server.cli("workflow", "delete", "w", "--yes")
    assert "w" not in {each["name"] for each in read(server, "list")}


def test_params_come_from_a_file_or_from_stdin(server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "params.json").write_text('{"type": "from a file"}')
    made = read(server, "trigger", "order", "--params-file", str(tmp_path / "params.json"))
    assert described_until(server, "order", made["id"], *WAITING)["params"] == {"type": "from a file"}
    done = subprocess.run(
        [sys.executable, "-m", "onehop", "workflow", "trigger", "order", "-"],
        env=server.environ, input='{"type": "piped"}', capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert described_until(server, "order", done.stdout.strip(), *WAITING)["params"] == {"type": "piped"}


def test_what_fails_is_one_line_that_says_what_to_do(server: LiveServer, instance: str) -> None:
    assert "no workflow is named 'nothing'" in failed(server, "describe", "nothing")
    assert "instance.not_found" in failed(server, "describe", "order", "nobody")
    assert "instance.already_exists" in failed(server, "trigger", "order", "--id", instance)
    assert "onehop workflow trigger idle" in failed(server, "describe", "idle", "latest")
    assert "instance.cannot_resume" in failed(server, "resume", "order", instance)
    assert "JSON" in failed(server, "trigger", "order", "{a:1}", code=2)
    assert "--from-step" in failed(server, "restart", "order", instance, "--from-step-count", "2", code=2)
    assert "--all" in failed(server, "terminate", "order", code=2)
    assert "name their workflow" in failed(server, "list", "--status", "running", code=2)
    told = failed(server, "resume", "order", instance)
    assert "restart" not in told
    server.cli("workflow", "terminate", "order", instance)
    for command in (("pause",), ("resume",), ("send-event", "--type", "t")):
        told = failed(server, command[0], "order", instance, *command[1:])
        assert "is terminated; restart it" in told


@pytest.mark.parametrize(("arguments", "option", "accepted"), [
    (("list", "order", "--status", "running!"), "--status", "running"),
    (("terminate", "order", "--all", "--status", "bogus"), "--status", "waitingForPause"),
    (("terminate", "order", "--all", "--status", ""), "--status", "empty"),
    (("metrics", "order", "--bucket", "7q"), "--bucket", "1m, 5m, 15m, 1h, 1d"),
    (("metrics", "order", "--from", "yesterday"), "--from", "2026-01-01T00:00:00Z"),
    (("metrics", "order", "--to", "2026-01-01T00:00:00"), "--to", "zone"),
    (("metrics", "order", "--from", "2026-01-02T00:00Z", "--to", "2026-01-01T00:00Z"), "--from", "before to"),
    (("worker", "--module", "m", "--retry-jitter", "1.5"), "--retry-jitter", "0<=x<=1"),
    (("worker", "--module", "m", "--retry-jitter", "nan"), "--retry-jitter", "finite"),
])  # fmt: skip
def test_an_option_s_value_that_can_not_be_is_wrong_usage(
    server: LiveServer, arguments: tuple[str, ...], option: str, accepted: str
) -> None:
    told = failed(server, *arguments, code=2)
    assert f"Invalid value for '{option}': " in told
    assert accepted in told


def test_a_worker_that_can_not_start_says_why(server: LiveServer, tmp_path: Path) -> None:
    broken, empty = tmp_path / "broken.py", tmp_path / "empty.py"
    broken.write_text("x = 1\nraise RuntimeError('not today')\n")
    empty.write_text("from workflows import Workflow\n")
    told = failed(server, "worker", "--module", str(broken))
    assert "RuntimeError: not today" in told
    assert "line 2" in told
    assert "defines no workflow" in failed(server, "worker", "--module", str(empty))
    assert "there is no module nowhere" in failed(server, "worker", "--module", "nowhere")
    gone, script = str(tmp_path / "gone.py"), str(tmp_path / "env.sh")
    assert failed(server, "worker", "--module", gone) == f"onehop: there is no file {gone}\n"
    assert failed(server, "worker", "--module", script).startswith(f"onehop: {script} is neither a module's name")


SLOW = """
import asyncio, pathlib
from workflows import Workflow

class Slow(Workflow):
    async def run(self, event, step):
        async def work():
            pathlib.Path(event.payload["began"]).touch()
            while not pathlib.Path(event.payload["may_end"]).exists():
                await asyncio.sleep(0.01)
            return "done"
        await step.do("work", work)
        await step.sleep("night", "1 hour")
"""


def test_row_68_a_worker_that_is_told_to_stop_lets_its_steps_finish(server: LiveServer, tmp_path: Path) -> None:
    module, began, may_end = tmp_path / "slow.py", tmp_path / "began", tmp_path / "may-end"
    module.write_text(SLOW)
    with working(server, module) as worker:
        params = json.dumps({"began": str(began), "may_end": str(may_end)})
        server.cli("workflow", "trigger", "slow", params, "--id", "drained")
        described_until(server, "slow", "drained", "running", steps=1)
        worker.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(timeout=0.5)
        may_end.touch()
        assert worker.wait(timeout=DEADLINE_S) == 0
    found = described_until(server, "slow", "drained", "queued", "waiting")
    step = found["steps"][0]
    assert (step["success"], step["output"], len(step["attempts"])) == (True, "done", 1)
