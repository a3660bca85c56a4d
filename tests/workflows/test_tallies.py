"""Counts are kept, not counted: they agree with the rows they tell of, also in a store that an older program made."""

import sqlite3
from pathlib import Path
from typing import Any

from tests.workflows.flows import flow
from workflows import WorkflowEvent, open_client
from workflows.states import LogEvent, Status
from workflows.store.bounds import BOUNDS_MS, UNBOUNDED_MS, bound_ms
from workflows.store.schema import APPLICATION_ID, V1
from workflows.testing import open_test_engine

COUNTED = "SELECT workflow_id, status, count(*), sum(state_bytes) FROM instances GROUP BY 1, 2"
KEPT = "SELECT workflow_id, status, n, state_bytes FROM tallies WHERE n > 0"


def agree(path: Path) -> bool:
    with sqlite3.connect(path) as connection:
        counted, kept = (sorted(connection.execute(sql).fetchall()) for sql in (COUNTED, KEPT))
    return bool(counted) and counted == kept


async def test_the_tallies_agree_with_the_instances_whatever_becomes_of_them(tmp_path: Path) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", lambda: "x" * 100)
        await step.sleep("n", "1 hour")
        if event.payload:
            raise ValueError

    workflow = flow(body)
    path = tmp_path / "workflows.db"
    async with open_test_engine([workflow], path) as engine:
        for number in range(6):
            await engine.create(workflow, id=f"i{number}", params=number % 2)
        assert agree(path)
        await engine.advance("10 minutes")
        await (await engine.get(workflow, "i0")).pause()
        await (await engine.get(workflow, "i1")).terminate()
        await (await engine.get(workflow, "i2")).delete()
        await engine.advance("2 hours")
        await (await engine.get(workflow, "i3")).restart()
        assert agree(path)
        workflow_id = engine.workflow(workflow).id
        counts = engine.reads.status_counts(workflow_id)
        assert sum(counts.values()) == engine.reads.count_instances(workflow_id) == 5
        assert counts[Status.TERMINATED] == engine.reads.count_instances(workflow_id, Status.TERMINATED) == 1


async def test_a_store_of_the_first_version_is_brought_up_to_date_with_its_counts(tmp_path: Path) -> None:
    path = tmp_path / "workflows.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(V1)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO workflows VALUES('w','flow','s','F',NULL,NULL,NULL,NULL,NULL,1,1,NULL)")
        connection.executemany(
            "INSERT INTO instances(workflow_id, id, version_id, status, trigger_source, params, created_on,"
            " modified_on, queued_on, recoveries, state_bytes) VALUES('w',?,'v',?,0,x'',1,1,1,?,?)",
            [("a", 5, 2, 10), ("b", 5, 0, 20), ("c", 3, 0, 5)],
        )
        connection.executemany(
            "INSERT INTO metrics VALUES('w',?,?,'s',?,?,0)",
            [(1, LogEvent.STEP_SUCCESS, 3, 30), (2, LogEvent.STEP_SUCCESS, 1, 5), (2, LogEvent.WAITING, 2, 0)],
        )
    async with open_client(path) as client:
        gauges = client.reads.gauges()
        assert gauges.instances == {("flow", Status.COMPLETE): 2, ("flow", Status.ERRORED): 1}
        assert gauges.state_bytes == 35
        assert gauges.totals == {
            ("flow", LogEvent.STEP_SUCCESS, UNBOUNDED_MS): (4, 35),
            ("flow", LogEvent.WAITING, 0): (2, 0),
            ("flow", LogEvent.RECOVERED, 0): (2, 0),
        }
    assert agree(path)


def test_a_time_is_counted_at_the_least_bound_that_holds_it() -> None:
    assert [bound_ms(ms) for ms in (0, 5, 6, 600_000, 600_001)] == [5, 5, 10, 600_000, UNBOUNDED_MS]
    assert list(BOUNDS_MS) == sorted(BOUNDS_MS)
