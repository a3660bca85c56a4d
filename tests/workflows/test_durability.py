"""What is on the disk when: which commits are synced, and what a power cut or a kill between them leaves.

A copy of the store's files as they are right after a sync is what a power cut just before the next one leaves at
least; a copy made within a callback is what a kill there leaves.
"""

import asyncio
import contextlib
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.workflows.flows import flow, step_of
from workflows import Workflow, WorkflowEvent
from workflows.store.checkpoints import restart_log
from workflows.store.connection import open_connection
from workflows.store.transaction import Transaction
from workflows.store.writer import BRIEF_MAX, Writer
from workflows.testing import TestEngine, open_test_engine

STEPS = 20
Body = Callable[[WorkflowEvent, Any], Any]


def copied(store: Path, to: Path) -> None:
    """The database and its log; the index of the log is made anew by whoever opens the copy."""
    to.mkdir()
    for name in (store.name, f"{store.name}-wal"):
        shutil.copy(store.with_name(name), to / name)


@asynccontextmanager
async def opened(workflow: type[Workflow], folder: Path) -> AsyncIterator[TestEngine]:
    async with open_test_engine([workflow], folder / "workflows.db") as engine:
        yield engine


async def ended(engine: TestEngine, workflow: type[Workflow]) -> Any:
    """Lets what the copied files say was running be taken over and end."""
    handle = await engine.get(workflow, "one")
    await engine.advance("1 hour")
    return await handle.result(timeout=5)


async def test_a_step_is_two_commits_and_one_sync_unless_it_can_be_undone(tmp_path: Path) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        undo = (lambda: None) if event.payload else None
        for _ in range(STEPS):
            await step.do("s", lambda: 1, rollback=undo)

    workflow = flow(body)
    async with opened(workflow, tmp_path) as engine:
        syncs = []
        for instance_id, can_be_undone in (("none", None), ("plain", False), ("undoable", True)):
            before = engine.writer.syncs_count, engine.writer.commits_count
            await (await engine.create(workflow, id=instance_id, params=can_be_undone)).result(timeout=5)
            syncs.append(engine.writer.syncs_count - before[0])
            assert engine.writer.commits_count - before[1] >= 2 * STEPS
        _, plain, undoable = syncs
        assert STEPS <= plain < 1.5 * STEPS
        assert undoable >= 2 * STEPS


async def test_a_commit_is_synced_as_long_as_one_of_its_commands_asks_for_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "workflows.db", lambda: 0)
    full, normal = 2, 1

    def setting(transaction: Transaction) -> int:
        row = transaction.one("PRAGMA synchronous")
        assert row is not None
        return int(row[0])

    assert await writer.submit(setting, synced=False) == normal
    assert await writer.submit(setting) == full
    together = [writer.submit(setting, synced=synced) for synced in (False, True, False)]
    assert [await one for one in together] == [full] * 3
    assert await writer.submit(setting, synced=False) == normal
    await writer.close()


async def test_what_is_brief_is_committed_on_the_loop_unless_it_would_have_to_wait(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "workflows.db", lambda: 0)
    threads: list[int] = []

    def row(transaction: Transaction) -> int:
        transaction.execute("UPDATE counters SET log_id=log_id+1")
        threads.append(threading.get_ident())
        return len(threads)

    def place(count: int) -> set[bool]:
        """Whether the last `count` were done on the loop."""
        return {thread == threading.get_ident() for thread in threads[-count:]}

    assert await writer.submit(row, synced=False, brief=True) == 1
    assert place(1) == {True}
    await writer.submit(row, brief=True)  # to be synced
    await writer.submit(row, synced=False)  # not brief
    assert place(2) == {False}
    await asyncio.gather(*(writer.submit(row, synced=False, brief=True) for _ in range(BRIEF_MAX + 1)))
    assert place(BRIEF_MAX + 1) == {False}
    with contextlib.closing(sqlite3.connect(writer.path, isolation_level=None)) as other:
        assert other.execute("SELECT log_id FROM counters").fetchone() == (len(threads),)
        other.execute("BEGIN IMMEDIATE")
        waits = writer.submit(row, synced=False, brief=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waits.done()
        other.execute("ROLLBACK")
        await waits
    assert place(1) == {False}
    await writer.close()


async def test_after_a_power_cut_what_was_done_is_done_and_what_had_begun_begins(tmp_path: Path) -> None:
    calls: list[str] = []
    cut, killed = tmp_path / "cut", tmp_path / "killed"

    async def body(event: WorkflowEvent, step: Any) -> Any:
        async def second(ctx: Any) -> int:
            calls.append("b")
            if not killed.exists():
                copied(tmp_path / "workflows.db", killed)
            return int(ctx.attempt)

        first = await step.do("a", lambda: calls.append("a"))
        if not cut.exists():
            copied(tmp_path / "workflows.db", cut)
        return [first, await step.do("b", second)]

    workflow = flow(body)
    async with opened(workflow, tmp_path) as engine:
        assert await (await engine.create(workflow, id="one")).result(timeout=5) == [None, 1]
    calls.clear()
    async with opened(workflow, cut) as engine:
        assert await ended(engine, workflow) == [None, 1]
        assert step_of(engine, workflow, "a").step.attempts == 1
    assert calls == ["b"]
    async with opened(workflow, killed) as engine:
        assert await ended(engine, workflow) == [None, 2]
        assert step_of(engine, workflow, "b").attempts[0].is_success is False
    assert calls == ["b", "b"]


async def test_an_event_id_that_a_power_cut_took_back_is_not_given_again(tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    told: list[int] = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("a", lambda: 1)
        if not cut.exists():
            copied(tmp_path / "workflows.db", cut)
        await step.do("b", lambda: told.append(0) if told else told.append(newest()))

    def newest() -> int:
        handle = engine.reads.instance(engine.workflow(workflow).id, "one")
        assert handle is not None
        return engine.reads.last_event_id(handle.seq) or 0

    workflow = flow(body)
    async with opened(workflow, tmp_path) as engine:
        await (await engine.create(workflow, id="one")).result(timeout=5)
    with sqlite3.connect(cut / "workflows.db") as connection:
        ((kept,),) = connection.execute("SELECT max(id) FROM log").fetchall()
    async with opened(workflow, cut) as engine:
        await ended(engine, workflow)
        instance = engine.reads.instance(engine.workflow(workflow).id, "one")
        assert instance is not None
        later = [event.id for event in engine.reads.feed(instance.seq, after=kept + 1)]  # a row may stand for two
    assert later
    assert min(later) > told[0] > kept


def test_the_log_begins_anew_and_a_reader_that_stays_only_puts_that_off(tmp_path: Path) -> None:
    path = tmp_path / "workflows.db"
    connection, reader = open_connection(path), open_connection(path)

    def log_bytes_after(commits: int) -> int:
        for _ in range(commits):
            connection.execute("UPDATE counters SET log_id = log_id + 1")
        return path.with_name(f"{path.name}-wal").stat().st_size

    before = log_bytes_after(50)
    reader.execute("BEGIN")
    reader.execute("SELECT log_id FROM counters").fetchone()
    restart_log(connection)
    held = log_bytes_after(10)
    assert held > before
    reader.execute("COMMIT")
    restart_log(connection)
    assert log_bytes_after(40) == held
    connection.close()
    reader.close()
