"""The live feed: every event once, in order, from any of them on, and an end."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

from tests.workflows.rest.client import DEADLINE_S, Api
from workflows.rest.app import WorkflowsApi
from workflows.rest.live import SUBSCRIBERS_MAX


async def read_stream(api: Api, path: str, *, headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The events of a stream that ends."""
    async with asyncio.timeout(DEADLINE_S):
        response = await api.http.get(f"http://localhost/workflows{path}", headers=headers)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [block.splitlines() for block in response.text.split("\n\n") if "event: " in block]
    return [
        {
            "id": next((line[4:] for line in lines if line.startswith("id: ")), None),
            "type": next(line[7:] for line in lines if line.startswith("event: ")),
            "data": json.loads(next(line[6:] for line in lines if line.startswith("data: "))),
        }
        for lines in events
    ]


async def test_row_67_a_subscription_tells_the_rest_and_ends(api: Api) -> None:
    instance = await api.start("approval")
    await api.until("approval", instance, "running", "waiting", steps=2)
    path = f"/approval/instances/{instance}/subscribe"
    following = asyncio.create_task(read_stream(api, path))
    await asyncio.sleep(0)
    await api.call("POST", f"/approval/instances/{instance}/events/approved", {"by": "ann"})
    events = await following
    assert [each["type"] for each in events][-2:] == ["workflow_completed", "end"]
    assert events[-2]["data"]["output"] == {"by": "ann"}
    ids = [int(each["id"]) for each in events[:-1]]
    assert ids == sorted(set(ids))
    rest = await read_stream(api, path, headers={"Last-Event-ID": str(ids[3])})
    assert [each["id"] for each in rest] == [each["id"] for each in events[4:]]
    only = await read_stream(api, f"{path}?types=step_completed")
    assert [each["type"] for each in only] == ["step_completed", "step_completed", "end"]


async def test_a_stream_ends_when_its_instance_is_deleted(api: Api) -> None:
    instance = await api.start("approval")
    await api.until("approval", instance, "running", "waiting", steps=2)
    following = asyncio.create_task(read_stream(api, f"/approval/instances/{instance}/subscribe"))
    await asyncio.sleep(0)
    await api.call("DELETE", f"/approval/instances/{instance}")
    assert (await following)[-1]["type"] == "end"


async def test_a_stream_that_the_server_cuts_says_no_end_so_that_it_is_taken_up_again(
    api: Api, workflows_api: WorkflowsApi
) -> None:
    instance = await api.start("approval")
    await api.until("approval", instance, "running", "waiting", steps=2)
    following = asyncio.create_task(read_stream(api, f"/approval/instances/{instance}/subscribe"))
    await asyncio.sleep(0)
    workflows_api.end_streams()
    assert "end" not in {each["type"] for each in await following}


async def test_more_subscribers_than_there_may_be_are_asked_to_wait(api: Api, workflows_api: WorkflowsApi) -> None:
    instance = await api.start("unused")
    async with AsyncExitStack() as stack:
        for _ in range(SUBSCRIBERS_MAX):
            await stack.enter_async_context(workflows_api.watch.subscribing())
        refused = await api.call("GET", f"/unused/instances/{instance}/subscribe")
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, 10429, "1")
