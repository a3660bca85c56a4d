"""What the database, the disk and the author's callbacks can do wrong, and what comes of it."""

import asyncio
import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.real_parts import small_disk
from tests.workflows.flows import OpenEngine, described, flow, run_once, status_of, step_of
from workflows import (
    Limits,
    NewInstanceOptions,
    StoreError,
    Timing,
    Workflow,
    WorkflowError,
    WorkflowEvent,
    open_client,
    open_engine,
)
from workflows.states import Status
from workflows.store.connection import store_error
from workflows.testing import open_test_engine

KIB = 1024
QUICK = Timing(drain_ms=300, poll_ms=10)


async def count_to(event: WorkflowEvent, step: Any) -> Any:
    return [await step.do("s", lambda n=n: n) for n in range(event.payload or 3)]


# ---- the database


async def test_a_database_that_is_locked_for_a_while_only_delays(tmp_path: Path) -> None:
    workflow = flow(count_to)
    path = tmp_path / "workflows.db"
    async with open_engine(path, [workflow], timing=QUICK) as engine:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        created = asyncio.create_task(engine.create(workflow, id="one"))
        await asyncio.sleep(0.5)
        assert not created.done()
        other.execute("COMMIT")
        other.close()
        assert await (await created).result(timeout=10) == [0, 1, 2]


@pytest.mark.parametrize("room_kib", [0, 16, 64, 200])
async def test_row_58_on_a_full_disk_nothing_is_done_that_is_not_stored(tmp_path: Path, room_kib: int) -> None:
    """The disk fills while steps run. Once there is room again the instance ends right, every result stored."""
    calls: list[int] = []
    full = asyncio.Event()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        results = []
        for number in range(40):

            async def work(number: int = number) -> str:
                calls.append(number)
                if number == 5:
                    full.set()
                    await asyncio.sleep(0.05)
                return str(number) * 4000

            results.append(len(await step.do("s", work)))
        return results

    workflow = flow(body)
    with small_disk(tmp_path / "disk", size_bytes=8 * KIB * KIB) as disk:
        async with open_engine(disk / "workflows.db", [workflow], timing=QUICK) as engine:
            handle = await engine.create(workflow, id="one")
            await full.wait()
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            with (disk / "filler").open("wb") as filler:
                os.posix_fallocate(filler.fileno(), 0, max(free - room_kib * KIB, 1))
            await asyncio.sleep(0.4)
            refusals = [one for one in [await fill(engine, workflow) for _ in range(300)] if one]
            assert refusals[0] in ("store.full", "store.failed")
            known = {one.step.count for one in handle_steps(engine, workflow) if one.step.state == "done"}
            (disk / "filler").unlink()
            calls.clear()
            assert await handle.result(timeout=15) == [4000 * len(str(number)) for number in range(40)]
            assert not {number + 1 for number in calls} & known  # what was stored was not called again


async def fill(engine: Any, workflow: type[Workflow]) -> str | None:
    """One more instance, or the code with which it was refused."""
    try:
        await engine.create(workflow, params="x" * 4000)
    except WorkflowError as refused:
        return refused.code
    return None


def handle_steps(engine: Any, workflow: type[Workflow]) -> Any:
    return described(engine, workflow).steps


@pytest.mark.parametrize("damage", ["header", "page", "no database"])
async def test_a_damaged_database_refuses_and_says_how_to_restore_it(tmp_path: Path, damage: str) -> None:
    workflow = flow(count_to)
    path = tmp_path / "workflows.db"
    async with open_engine(path, [workflow], timing=QUICK) as engine:
        for _ in range(5):
            await engine.create_batch(workflow, [NewInstanceOptions(params="x" * 2000)] * 100)
    content = bytearray(path.read_bytes())
    assert len(content) > 100 * 4096
    if damage == "header":
        content[:100] = b"\xff" * 100
    elif damage == "page":
        for page in range(1, len(content) // 4096):
            content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    else:
        content[:] = b"this is a letter, not a database\n" * 500
    path.write_bytes(content)
    with pytest.raises(StoreError) as refused:
        async with open_client(path) as client:
            await client.create("flow", id="new")
    assert refused.value.code == "store.damaged"
    assert str(path) in str(refused.value)
    assert "backup" in str(refused.value)


async def test_a_worker_that_meets_damage_says_so_and_goes_no_further(tmp_path: Path) -> None:
    path = tmp_path / "workflows.db"
    workflow = flow(count_to)
    async with open_engine(path, [workflow], timing=QUICK) as engine:
        found = sqlite3.DatabaseError("database disk image is malformed")
        found.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        engine.writer.refuse(store_error(path, found))  # as a reader does
        async with asyncio.timeout(10):
            damage = await engine.worker.damage
        assert "backup" in damage.why
        with pytest.raises(StoreError) as refused:
            await engine.create_batch(workflow, [NewInstanceOptions()])
        assert refused.value.code == "store.damaged"


async def test_a_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "workflows.db"
    async with open_client(path):
        pass
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreError) as refused:
        async with open_client(path):
            pass
    assert refused.value.code == "store.newer"


async def test_one_refused_command_does_not_take_its_neighbours_along(open_engine_here: OpenEngine) -> None:
    workflow = flow(count_to)
    engine = await open_engine_here(workflow)
    wanted = [engine.create(workflow, id=id_) for id_ in ("a", "b", "a", "c")]
    outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    assert [isinstance(one, WorkflowError) for one in outcomes] == [False, False, True, False]
    assert engine.reads.count_instances(engine.workflow(workflow).id) == 3


# ---- callbacks


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("exit_", [SystemExit(3), KeyboardInterrupt()])
async def test_a_callback_that_exits_fails_its_attempt_and_not_the_worker(
    open_engine_here: OpenEngine, exit_: BaseException, plain: bool
) -> None:
    def exits_plainly() -> None:
        raise exit_

    async def exits() -> None:
        raise exit_

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.do("s", {"retries": {"limit": 1, "delay": 1}}, exits_plainly if plain else exits)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="one")
    await engine.advance("1 minute")
    assert status_of(engine, workflow) == "errored"
    assert len(step_of(engine, workflow, "s").attempts) == 2


async def test_a_run_that_exits_fails_its_instance_and_not_the_worker(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        if event.payload:
            sys.exit(3)
        return "fine"

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="exits", params=1)
    other = await engine.create(workflow, id="other", params=0)
    assert await other.result(timeout=5) == "fine"
    assert status_of(engine, workflow, "exits") == "errored"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_callback_that_forks_and_comes_back_twice_is_one_worker_still(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        async def forks() -> int:
            pid = os.fork()
            if pid == 0:
                return 0  # the child goes on as if it were the worker
            _, status = os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status)

        return [await step.do("s", forks), await step.do("t", lambda: "went on")]

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == [70, "went on"]


async def test_a_callback_that_never_returns_times_out_each_time(open_engine_here: OpenEngine) -> None:
    begun: list[int] = []
    let_go = threading.Event()

    def hangs(ctx: Any) -> None:
        begun.append(ctx.attempt)
        let_go.wait(15)

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.do("s", {"timeout": "1 minute", "retries": {"limit": 1, "delay": 1}}, hangs)

    workflow = flow(body)
    engine = await open_engine_here(workflow, limits=Limits(threads=1))
    await engine.create(workflow, id="one")
    for attempt in (1, 2):
        while len(begun) < attempt:
            await engine_tick(engine)
        engine.virtual.move_to(engine.virtual.now_ms() + 60_001)
    while status_of(engine, workflow) != "errored":
        await engine_tick(engine)
    let_go.set()
    errors = [attempt.error for attempt in step_of(engine, workflow, "s").attempts]
    assert [error.name for error in errors if error] == ["WorkflowTimeoutError"] * 2


async def engine_tick(engine: Any) -> None:
    engine.virtual.move_to(engine.virtual.now_ms() + 1)
    await asyncio.sleep(0.005)


async def test_a_callback_that_swallows_its_cancellation_holds_nothing_up(open_engine_here: OpenEngine) -> None:
    begun = asyncio.Event()
    let_go = asyncio.Event()

    async def swallows() -> str:
        begun.set()
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("s", swallows)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    await begun.wait()
    await handle.terminate()
    assert status_of(engine, workflow) == "terminated"
    before = described(engine, workflow)
    let_go.set()
    await engine.settle()
    assert described(engine, workflow) == before


async def test_two_versions_of_the_code_share_a_store(tmp_path: Path) -> None:
    """Each instance shows the version that it was created with; the code that is loaded replays it."""

    async def old(event: WorkflowEvent, step: Any) -> Any:
        first = await step.do("a", lambda: "old a")
        await step.sleep("s", "1 hour")
        return [first, await step.do("b", lambda: "old b")]

    async def new(event: WorkflowEvent, step: Any) -> Any:
        first = await step.do("a", lambda: "new a")
        await step.sleep("s", "1 hour")
        return [first, await step.do("b", lambda: "new b")]

    path = tmp_path / "workflows.db"
    before, after = flow(old), flow(new)
    after.__qualname__ = "Flow.after"  # another class is another version
    async with open_test_engine([before], path) as engine:
        await engine.create(before, id="one")
        await engine.advance("1 minute")
        clock = engine.virtual
    async with open_test_engine([after], path, clock=clock) as engine:
        handle = await engine.create(after, id="two")
        await engine.advance("2 hours")
        assert await (await engine.get(after, "one")).result(timeout=5) == ["old a", "new b"]
        assert await handle.result(timeout=5) == ["new a", "new b"]
        versions = engine.reads.versions(handle.workflow_id)
        newest, oldest = versions.items
        assert described(engine, after, "one").instance.version_id == oldest.id
        assert described(engine, after, "two").instance.version_id == newest.id


# ---- time


async def test_row_54_a_clock_set_back_makes_timers_late_and_never_early(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.sleep("s", "2 hours")
        await step.sleep("t", 3000)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    began = engine.virtual.now_ms()
    await engine.advance("90 minutes")
    engine.virtual.move_to(engine.virtual.now_ms() - 3_600_000)
    await engine.advance("80 minutes")
    assert status_of(engine, workflow) == "waiting"
    await engine.advance("1 hour")
    assert await handle.result(timeout=5) is None
    slept = step_of(engine, workflow, "s", kind="sleep").step
    assert slept.ended_on is not None
    assert slept.ended_on - began >= 7_200_000


@pytest.mark.slow
async def test_row_59_ten_thousand_sleepers_hold_no_place_and_all_wake(tmp_path: Path) -> None:
    """On the system's clock; how late they wake is measured in loadtests."""

    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.wait_for_event("wake", type="wake", timeout=event.payload)

    workflow = flow(body)
    async with open_engine(tmp_path / "workflows.db", [workflow]) as engine:
        workflow_id = engine.workflow(workflow).id
        for _ in range(100):
            await engine.create_batch(workflow, [NewInstanceOptions(params="25 seconds")] * 100)
        while engine.reads.count_instances(workflow_id, Status.WAITING) < 10_000:
            await asyncio.sleep(0.05)
        assert engine.worker.lifetimes == {}
        quick = await engine.create(workflow, params=1)
        assert (await quick.ended(timeout=10)).status is Status.ERRORED  # there was a place for it
        while engine.reads.count_instances(workflow_id, Status.ERRORED) < 10_001:
            await asyncio.sleep(0.05)
