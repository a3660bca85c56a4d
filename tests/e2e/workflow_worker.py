"""`onehop workflow worker` beside a running server, and waiting for what it does."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.conftest import LiveServer

FLOWS: Final = Path(__file__).parent / "workflow_flows.py"
DEADLINE_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.05


@contextmanager
def working(server: LiveServer, module: Path = FLOWS, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Until the block ends; it must then have stopped by itself with exit code 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "onehop", "workflow", "worker", "--module", str(module), "--json", *options],
        stdout=subprocess.PIPE, text=True, env=server.environ,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the worker ended with {process.wait(timeout=DEADLINE_S)} before it was ready")
        assert json.loads(line)["workflows"]
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=DEADLINE_S)
        process.stdout.close()
    assert code == 0, f"the worker ended with {code}"


def workflows_path(server: LiveServer) -> str:
    (account,) = server.api("GET", "/accounts")["result"]
    return f"/accounts/{account['id']}/workflows"


def described_until(server: LiveServer, workflow: str, instance: str, *statuses: str, steps: int = 0) -> dict[str, Any]:
    """The instance once it is in one of these states and has begun so many steps."""
    path = f"{workflows_path(server)}/{workflow}/instances/{instance}"
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        answer = server.api("GET", path)
        found: dict[str, Any] = answer["result"] or {}
        if found.get("status") in statuses and found["step_count"] >= steps:
            return found
        assert time.monotonic() < deadline_s, f"{instance} is {found or answer['errors']}, not {statuses}"
        time.sleep(LOOK_AGAIN_S)  # it runs in a process of its own, which only its state tells of
