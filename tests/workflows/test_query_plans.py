"""A step must not cost more for what is finished: nothing that a worker asks of the database reads a table through."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from tests.workflows.flows import flow
from workflows import Timing, WorkflowEvent
from workflows.testing import open_test_engine

GROWING = ("instances", "steps", "log", "attempts", "events")


async def everything(event: WorkflowEvent, step: Any) -> Any:
    def second_works(ctx: Any) -> int:
        if ctx.attempt == 1:
            raise OSError
        return 1

    await step.do("s", {"retries": {"limit": 1, "delay": "1 hour"}}, second_works, rollback=lambda: None)
    await step.sleep("n", "1 hour")
    await step.wait_for_event("w", type="t", timeout="1 day")
    raise ValueError


async def test_no_statement_of_a_worker_scans_what_grows(tmp_path: Path) -> None:
    workflow = flow(everything, schedules="0 0 1 1 *")
    path = tmp_path / "workflows.db"
    told: set[str] = set()
    async with open_test_engine([workflow], path, timing=Timing(look_ms=1)) as engine:
        for connection in (engine.writer._connection, engine.worker._reader, engine.reads._connection):
            connection.set_trace_callback(told.add)
        for instance_id in ("one", "two", "three"):
            await engine.create(workflow, id=instance_id)
        await engine.advance("5 hours")
        one, two, three = [await engine.get(workflow, id_) for id_ in ("one", "two", "three")]
        await one.send_event("t", 1)
        await two.pause()
        await engine.advance("5 hours")
        await two.resume()
        await two.restart(from_={"name": "n", "type": "sleep"})
        await three.terminate(rollback=True)
        await engine.advance("2 days")
        await one.delete()
        await asyncio.sleep(0)
        for connection in (engine.writer._connection, engine.worker._reader, engine.reads._connection):
            connection.set_trace_callback(None)
    statements = [one for one in told if one.split()[0] in ("SELECT", "UPDATE", "DELETE", "INSERT")]
    assert len(statements) > 50
    scans = []
    with sqlite3.connect(path) as connection:
        for statement in statements:
            for *_, step in connection.execute("EXPLAIN QUERY PLAN " + statement):
                words = step.split()
                if words[0] == "SCAN" and words[1] in GROWING and "instances_r" not in step:
                    scans.append((step, statement))
    assert scans == []
