"""Instances that hold far more than an answer should: what is left out, and how each part of it is had."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.rest.client import Api, mounted
from workflows import Workflow, WorkflowEvent, WorkflowStep, open_engine
from workflows.desk import Desk
from workflows.rest.app import WorkflowsApi
from workflows.store.reads import ATTEMPTS_TOLD_MAX

LARGE_COUNT = 6
LARGE = "x" * 1_040_000
ANSWER_BYTES_MAX = 5 << 20


class Large(Workflow):
    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> Any:
        await step.do("small", lambda: [1, 2])
        for _ in range(LARGE_COUNT):
            await step.do("large", lambda: LARGE)
        await step.do("secret", {"sensitive": "output"}, lambda: LARGE)
        await step.wait_for_event("answer", type="answer")
        await step.do("last", lambda: "z")


class Unlucky(Workflow):
    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> None:
        def work(ctx: Any) -> None:
            if ctx.attempt <= 2:
                raise OSError(ctx.attempt)

        await step.do("try", {"retries": {"limit": 2, "delay": 1}}, work)
        await step.do("then", work)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_engine(tmp_path / "workflows.db", [Large, Unlucky]):
        opened = WorkflowsApi(Desk(tmp_path / "workflows.db"))
        async with mounted(opened) as client:
            yield client
        await opened.close()


async def large_instance(api: Api) -> str:
    instance = await api.start("large", id="one")
    await api.call("POST", f"/large/instances/{instance}/events/answer", LARGE)
    await api.until("large", instance, "complete")
    return instance


async def test_an_answer_leaves_out_the_largest_results_and_says_where_they_are(api: Api) -> None:
    instance = await large_instance(api)
    response = await api.http.get(f"http://localhost/workflows/large/instances/{instance}")
    assert len(response.content) < ANSWER_BYTES_MAX
    steps = {each["name"]: each for each in response.json()["result"]["steps"]}
    assert steps["small-1"]["output"] == [1, 2]
    assert steps["last-1"]["output"] == "z"
    assert steps["secret-1"]["output"] == "[REDACTED]"
    assert steps["large-6"]["output"] == "[1,040,002 bytes, left out here: ?step=large-6 and the log have them]"
    assert "left out" in steps["answer-1"]["output"]["payload"]
    (whole,) = (await api.call("GET", f"/large/instances/{instance}", step="large-6")).result["steps"]
    assert whole["output"] == LARGE
    (event,) = (await api.call("GET", f"/large/instances/{instance}", step="answer-1")).result["steps"]
    assert event["output"]["payload"] == LARGE


async def test_the_log_is_told_in_answers_of_bounded_size_and_has_every_result(api: Api) -> None:
    instance = await large_instance(api)
    after, outputs = 0, []
    while True:
        response = await api.http.get(f"http://localhost/workflows/large/instances/{instance}/log?after={after}")
        assert len(response.content) < ANSWER_BYTES_MAX
        if not (rows := response.json()["result"]):
            break
        assert [row["eventId"] for row in rows] == sorted({row["eventId"] for row in rows})
        assert rows[0]["eventId"] > after
        after = rows[-1]["eventId"]
        outputs += [row["output"] for row in rows if row["type"] == "step_completed"]
    assert outputs == [[1, 2], *[LARGE] * LARGE_COUNT, "[REDACTED]", "z"]


async def test_of_very_many_attempts_the_newest_are_told_under_their_numbers(api: Api, tmp_path: Path) -> None:
    instance = await api.start("unlucky", id="one")
    found = await api.until("unlucky", instance, "complete")
    assert [len(each["attempts"]) for each in found["steps"]] == [3, 3]
    assert "attempts_left_out" not in found["steps"][0]
    with sqlite3.connect(tmp_path / "workflows.db") as connection:
        connection.execute("UPDATE steps SET attempts = attempts + ? WHERE name = 'then'", (ATTEMPTS_TOLD_MAX,))
        connection.executemany(
            "INSERT INTO attempts SELECT id, ?, instance_seq, 0, 1, ?, NULL FROM steps WHERE name = 'then'",
            ((number, '{"name":"OSError","message":"no"}') for number in range(3, ATTEMPTS_TOLD_MAX + 3)),
        )
    tried, then = (await api.describe("unlucky", instance))["steps"]
    assert (len(tried["attempts"]), tried["attempts_left_out"]) == (1, 2)
    assert (len(then["attempts"]), then["attempts_left_out"]) == (ATTEMPTS_TOLD_MAX + 1, 2)
    assert then["attempts"][-1]["success"] is True
