"""Row 57: workers are killed at hundreds of random moments, and nothing is lost, done twice, or stuck."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workflows import Client, InstanceHandle, WorkflowError, open_client
from workflows.serialisation import deserialise
from workflows.states import LogEvent, Status
from workflows.store.records import InstanceRecord

ZYGOTE = Path(__file__).with_name("chaos_zygote.py")
KILLS = 200
WORKERS = 3
IN_FLIGHT = 50
SEED = 20261124
LIMIT_S = 200.0


@dataclass
class Herd:
    """The workers, and the process that forks them."""

    process: asyncio.subprocess.Process
    pids: list[int] = field(default_factory=list)

    async def grow(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        self.pids.append(int(await self.process.stdout.readline()))

    def kill(self, pid: int, sign: signal.Signals) -> None:
        self.pids.remove(pid)
        os.kill(pid, sign)


@asynccontextmanager
async def herd(store: Path, notes: Path) -> AsyncIterator[Herd]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ZYGOTE), str(store), str(notes), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    one = Herd(process)
    try:
        yield one
    finally:
        for pid in one.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def feed(client: Client, created: dict[str, InstanceHandle], rng: random.Random) -> list[str]:
    """Keeps IN_FLIGHT instances going, and sends each its event. Returns the ids that are not over."""
    open_ids = [id_ for id_, handle in created.items() if not client.record(handle.workflow_id, id_).status.is_terminal]
    while len(open_ids) < IN_FLIGHT:
        number = len(created)
        name = "chaos-on-thread" if number % 10 == 9 else "chaos"
        handle = await client.create(name, id=f"n{number}", params=number)
        created[handle.id] = handle
        open_ids.append(handle.id)
        if name == "chaos":
            await handle.send_event("go", number + rng.randrange(1))
    return open_ids


def expected(handle: InstanceHandle, record: InstanceRecord) -> list[int]:
    number = deserialise(record.params)
    if handle.workflow_name == "chaos":
        return sorted([number, number * 2, number * 3, 1, 2, number])
    return [number, number]


def check_notes(notes: Path) -> None:
    """No call after its step was seen done; no line of one lifetime after the first line of the next."""
    done: set[tuple[str, str]] = set()
    current: dict[str, str] = {}
    over: dict[str, set[str]] = {}
    for line in notes.read_text().splitlines():
        kind, number, name, life = line.split()
        if current.get(number) != life:
            assert life not in over.get(number, set()), f"instance {number} ran twice at once: {line}"
            over.setdefault(number, set()).add(current.get(number, ""))
            current[number] = life
        if kind == "call":
            assert (number, name) not in done, f"step {name} of {number} was called again after its result was stored"
        elif kind == "done":
            done.add((number, name))


@pytest.mark.slow
async def test_row_57_200_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    store, notes = tmp_path / "workflows.db", tmp_path / "notes"
    created: dict[str, InstanceHandle] = {}
    began = time.monotonic()
    async with herd(store, notes) as workers, open_client(store) as client:
        for _ in range(WORKERS):
            await workers.grow()
        while client.reads.workflow("chaos-on-thread") is None:
            await asyncio.sleep(0.01)
        for _ in range(KILLS):
            await feed(client, created, rng)
            await asyncio.sleep(rng.uniform(0.02, 0.35))
            workers.kill(rng.choice(workers.pids), signal.SIGKILL)
            await workers.grow()
        while left := [id_ for id_, one in created.items() if not one.record().status.is_terminal]:
            assert time.monotonic() - began < LIMIT_S, f"stuck: {left}"
            await asyncio.sleep(0.05)
        for handle in created.values():
            record = handle.record()
            assert record.status is Status.COMPLETE, (handle.id, record.error)
            assert record.output is not None
            assert deserialise(record.output) == expected(handle, record)
        with contextlib.suppress(WorkflowError):
            assert ("chaos", LogEvent.RECOVERED, 0) in client.reads.gauges().totals
    check_notes(notes)
