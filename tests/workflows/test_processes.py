"""Rows of the table of corner cases in which a process dies, stalls, drains, or meets another: real processes."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from workflows import Client, open_client
from workflows.store.liveness import lock_path
from workflows.store.reads import InstanceDetail

SCRIPT = Path(__file__).with_name("worker_process.py")
TIMING = {"lease_ms": 1500, "heartbeat_ms": 300, "look_ms": 100, "poll_ms": 20, "grace_ms": 100, "drain_ms": 3000}


class WorkerProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[str] = []

    async def until_said(self, beginning: str) -> str:
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            self.said.append(line.strip())
            if line.startswith(beginning):
                return line
        raise AssertionError(f"the worker ended before it said {beginning!r}: {self.said}")

    async def stop(self, sign: signal.Signals) -> int:
        self.process.send_signal(sign)
        assert self.process.stdout is not None
        self.said += (await self.process.stdout.read()).decode().split("\n")
        return await self.process.wait()


@asynccontextmanager
async def worker_process(store: Path, **timing: int) -> AsyncIterator[WorkerProcess]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), str(store), json.dumps(TIMING | timing), stdout=subprocess.PIPE
    )
    one = WorkerProcess(process)
    await one.until_said("ready")
    try:
        yield one
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    return tmp_path / "workflows.db"


def seen(client: Client, instance_id: str = "one") -> InstanceDetail:
    detail = client.reads.describe(client.workflow("steps").id, instance_id)
    assert detail is not None
    return detail


async def test_row_55_killing_the_owner_hands_its_instance_to_another_worker(store: Path) -> None:
    async with worker_process(store) as first, open_client(store) as client:
        handle = await client.create("steps", id="one", params=["quick", "hang"])
        await first.until_said("call 1 1")
        async with worker_process(store) as second:
            await first.stop(signal.SIGKILL)
            await second.until_said("call 1 2")
            assert await handle.result(timeout=10) == ["quick 1", "hang 2"]
            assert not any(line.startswith("call 0") for line in second.said)


async def test_row_57_an_attempt_cut_by_a_kill_is_closed_counts_and_is_made_again(store: Path) -> None:
    async with worker_process(store) as first, open_client(store) as client:
        await client.create("steps", id="one", params=["hang"])
        await first.until_said("call 0 1")
        await first.stop(signal.SIGKILL)
        async with worker_process(store) as second:
            await second.until_said("call 0 2")
            await (await client.get("steps", "one")).result(timeout=10)
            first_attempt, second_attempt = seen(client).steps[0].attempts
            assert first_attempt.error is not None
            assert (first_attempt.is_success, first_attempt.error.name) == (False, "WorkflowInternalError")
            assert (second_attempt.n, second_attempt.is_success) == (2, True)
            assert seen(client).instance.recoveries == 1


async def test_row_56_a_worker_that_stalled_past_its_lease_can_commit_nothing(store: Path) -> None:
    async with worker_process(store) as stalled, open_client(store) as client:
        handle = await client.create("steps", id="one", params=["slow", "quick"])
        await stalled.until_said("call 0 1")
        stalled.process.send_signal(signal.SIGSTOP)
        async with worker_process(store) as other:
            assert await handle.result(timeout=15) == ["slow 2", "quick 1"]
            before = seen(client)
            stalled.process.send_signal(signal.SIGCONT)
            again = await client.create("steps", id="two", params=["quick"])
            await again.result(timeout=10)
            await asyncio.sleep(0.5)  # what the stalled one would still write, it would write now
            assert seen(client) == before
            assert await stalled.stop(signal.SIGTERM) == 0  # it registered anew, and drains
            assert await other.stop(signal.SIGTERM) == 0


async def test_a_callback_that_blocks_its_loop_loses_its_lease_and_ends_right(store: Path) -> None:
    async with worker_process(store) as blocked, open_client(store) as client:
        handle = await client.create("steps", id="one", params=["block"])
        await blocked.until_said("call 0 1")
        async with worker_process(store):
            assert await handle.result(timeout=15) == ["block 2"]


async def test_row_68_sigterm_drains_a_callback_and_costs_a_sleep_no_attempt(store: Path) -> None:
    async with worker_process(store, grace_ms=60_000) as first, open_client(store) as client:
        slow = await client.create("steps", id="one", params=["slow", "quick"])
        await client.create("steps", id="two", params=["quick", "sleep", "quick"])
        await first.until_said("call 0 1")
        await asyncio.sleep(0.1)
        assert await first.stop(signal.SIGTERM) == 0
        assert "drained" in first.said
        for instance_id in ("one", "two"):
            detail = seen(client, instance_id)
            assert detail.instance.status.api_name == "queued"
            assert detail.instance.recoveries == 0
        assert seen(client, "one").steps[0].step.state == "done"
        assert list(store.parent.glob(lock_path(store, "*").name)) == []
        async with worker_process(store):
            assert await slow.result(timeout=10) == ["slow 1", "quick 1"]
            assert await (await client.get("steps", "two")).result(timeout=10) == ["quick 1", "quick 1"]
        assert [len(step.attempts) for step in seen(client, "two").steps] == [1, 0, 1]


async def test_row_68_a_callback_that_outlives_the_drain_counts_as_crashed(store: Path) -> None:
    async with worker_process(store, drain_ms=200) as first, open_client(store) as client:
        handle = await client.create("steps", id="one", params=["hang"])
        await first.until_said("call 0 1")
        assert await first.stop(signal.SIGTERM) == 0
        async with worker_process(store):
            assert await handle.result(timeout=10) == ["hang 2"]
        assert [attempt.is_success for attempt in seen(client).steps[0].attempts] == [False, True]


async def test_an_instance_that_kills_its_workers_is_given_up(store: Path) -> None:
    async with open_client(store) as client:
        async with worker_process(store):  # makes the workflow known
            pass
        handle = await client.create("steps", id="one", params=["die"])
        for _ in range(4):  # recoveries_max is 3
            async with worker_process(store) as worker:
                await worker.until_said("call 0")
                await worker.process.wait()
        async with worker_process(store) as last:
            record = await handle.ended(timeout=10)
            assert last.said == ["ready"]
    assert record.error is not None
    assert record.error.name == "RecoveryLimitExceeded"


async def test_a_paused_request_survives_the_death_of_its_worker(store: Path) -> None:
    """4.5: killed in waitingForPause, it is paused, and no code is run."""
    async with worker_process(store) as first, open_client(store) as client:
        handle = await client.create("steps", id="one", params=["hang"])
        await first.until_said("call 0 1")
        await handle.pause()
        assert (await handle.status()).status == "waitingForPause"
        await first.stop(signal.SIGKILL)
        async with worker_process(store) as second:
            while (await handle.status()).status != "paused":
                await asyncio.sleep(0.01)
            assert second.said == ["ready"]
            await handle.resume()
            assert await handle.result(timeout=10) == ["hang 2"]


async def test_streamed_result_that_a_kill_cut_short_is_never_a_result(store: Path) -> None:
    async with worker_process(store) as first, open_client(store) as client:
        handle = await client.create("steps", id="one", params=["stream"])
        await first.until_said("streaming 1")
        await first.stop(signal.SIGKILL)
        assert chunks_count(store) == 5
        async with worker_process(store) as second:
            await second.until_said("streaming 2")
            assert await handle.result(timeout=10) == [[[2]] * 5]
            cut, whole = seen(client).steps[0].attempts
            assert (cut.is_success, whole.is_success) == (False, True)
        await client.collect()
        assert chunks_count(store) == 5


def chunks_count(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM chunks").fetchone()
    return int(count)
