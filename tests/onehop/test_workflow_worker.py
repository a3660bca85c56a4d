"""A worker's process: it ends when it is told to, whatever the code of its workflows does."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from workflows import open_client

DEADLINE_S = 30
SCRIPT = """
import asyncio, sys
from pathlib import Path
from onehop.workflow_worker import WorkerOptions, run_until_stopped
from workflows import Workflow

class Stays(Workflow):
    async def run(self, event, step):
        async def swallows():
            print("began", flush=True)
            while True:
                try:
                    await asyncio.sleep(0.01)
                except BaseException:
                    pass

        async def holds_the_loop():
            print("began", flush=True)
            while True:
                pass

        await step.do("s", swallows if event.payload == "swallows" else holds_the_loop)

options = WorkerOptions(Path(sys.argv[1]), 10, drain_s=0.1, leave_s=0.3)
run_until_stopped([Stays], options, on_ready=lambda: print("ready", flush=True))
"""


@pytest.mark.parametrize("how", ["swallows", "holds the loop"])
async def test_a_worker_ends_soon_after_its_drain_whatever_its_code_does(tmp_path: Path, how: str) -> None:
    store = tmp_path / "workflows.db"
    pipe = asyncio.subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, str(store), stdout=pipe, stderr=pipe)
    assert worker.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert await worker.stdout.readline() == b"ready\n"
            async with open_client(store) as client:
                handle = await client.create("stays", params=how)
                assert await worker.stdout.readline() == b"began\n"
                worker.send_signal(signal.SIGTERM)
                _, told = await worker.communicate()
                assert worker.returncode == 1
                assert b"goes on after its end" in told
                assert not handle.record().status.is_terminal
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()
