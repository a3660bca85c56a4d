"""The API on a store whose workflows an engine runs: what a client may do, and what it is told when it may not."""

import asyncio
import json
from typing import Any

from tests.workflows.rest.client import DEADLINE_S, Api
from workflows import Engine
from workflows.rest.app import WorkflowsApi
from workflows.states import Trigger
from workflows.store import instances
from workflows.store.instances import NewInstance

CRON_ID = "*/30 * * * *-1786001400000"
ID_IN_PATH = CRON_ID.replace(" ", "%20")


async def test_workflows_are_listed_with_their_counts_and_pages(api: Api) -> None:
    await api.until("greet", await api.start("greet", {"to": "ann"}), "complete")
    answer = await api.call("GET", "", page="1", per_page="2")
    assert answer.envelope["result_info"] == {"page": 1, "per_page": 2, "count": 2, "total_count": 6, "total_pages": 3}
    greet = (await api.call("GET", "/greet")).result
    assert (greet["name"], greet["class_name"], greet["instances"]["complete"]) == ("greet", "Greet", 1)
    assert len(greet["instances"]) == 9
    assert [each["name"] for each in (await api.call("GET", "", search="gree")).result] == ["greet"]


async def test_a_workflow_has_a_newest_version(api: Api) -> None:
    (version,) = (await api.call("GET", "/greet/versions")).result
    assert (await api.call("GET", f"/greet/versions/{version['id']}")).result == version
    assert (await api.call("GET", "/greet/versions/none")).status == 404


async def test_an_instance_is_started_described_and_listed(api: Api) -> None:
    made = (await api.call("POST", "/greet/instances", {"instance_id": "a-1", "params": {"to": "ann"}})).result
    assert made.keys() == {"id", "status", "version_id", "workflow_id"}
    found = await api.until("greet", "a-1", "complete")
    assert (found["success"], found["output"], found["error"]) == (True, {"to": "ann"}, None)
    assert found["trigger"] == {"source": "api"}
    (step,) = found["steps"]
    assert (step["name"], step["type"], step["success"], step["output"]) == ("greet-1", "step", True, {"to": "ann"})
    assert step["config"]["retries"] == {"limit": 5, "delay": 1000, "backoff": "exponential"}
    (listed,) = (await api.call("GET", "/greet/instances/")).result
    assert (listed["id"], listed["status"]) == ("a-1", "complete")
    for time in (listed["created_on"], listed["ended_on"], found["queued"], step["attempts"][0]["start"]):
        assert len(time) == len("2026-01-01T10:00:00.000Z")
        assert time.endswith("Z")


async def test_an_empty_creation_is_one(api: Api) -> None:
    for content in (b"", b"{}"):
        made = (await api.call("POST", "/greet/instances", content=content)).result
        assert (await api.until("greet", made["id"], "complete"))["output"] == {}


async def test_a_failed_instance_tells_each_attempt_and_that_it_was_undone(api: Api) -> None:
    found = await api.until("failing", await api.start("failing"), "errored")
    assert (found["success"], found["error"]) == (False, {"name": "ConnectionError", "message": "the bank is closed"})
    reserve, charge = found["steps"]
    assert reserve["rollback"]["success"] is True
    assert [each["success"] for each in charge["attempts"]] == [False, False]
    assert all(each["end"] is not None for each in charge["attempts"])
    assert "output" not in charge


async def test_row_13_a_sensitive_output_is_shown_to_nobody(api: Api) -> None:
    instance = await api.start("sleeper")
    found = await api.until("sleeper", instance, "running", "waiting", steps=2)
    secret, night = found["steps"]
    assert secret["output"] == "[REDACTED]"
    assert (night["type"], night["finished"]) == ("sleep", False)
    assert night["end"] > night["start"]
    log = (await api.call("GET", f"/sleeper/instances/{instance}/log")).result
    assert "hunter2" not in json.dumps([found, log])


async def test_bytes_are_counted_and_a_computed_delay_is_the_one_that_was_used(api: Api) -> None:
    found = await api.until("odd", await api.start("odd"), "complete")
    (step,) = found["steps"]
    assert (found["output"], step["output"]) == ("[bytes(3 bytes)]", "[bytes(3 bytes)]")
    assert step["config"]["retries"]["delay"] == 7


async def test_order_and_simple_change_what_is_described(api: Api) -> None:
    instance = await api.start("failing")
    await api.until("failing", instance, "errored")
    path = f"/failing/instances/{instance}"
    assert [each["name"] for each in (await api.call("GET", path, order="desc")).result["steps"]] == [
        "charge-1",
        "reserve-1",
    ]
    simple = (await api.call("GET", path, simple="true")).result
    assert "steps" not in simple
    assert simple["step_count"] == 2


async def test_an_event_ends_a_wait(api: Api) -> None:
    instance = await api.start("approval")
    found = await api.until("approval", instance, "running", "waiting", steps=2)
    wait = found["steps"][1]
    assert (wait["type"], wait["finished"], wait["output"]) == ("waitForEvent", False, None)
    await api.call("POST", f"/approval/instances/{instance}/events/approved", {"by": "ann"})
    found = await api.until("approval", instance, "complete")
    assert found["output"] == {"by": "ann"}
    event = found["steps"][1]["output"]
    assert (event["type"], event["payload"]) == ("approved", {"by": "ann"})


async def test_row_63_an_event_type_may_hold_a_slash(api: Api) -> None:
    instance = await api.start("approval", {"type": "a/b"})
    assert (await api.call("POST", f"/approval/instances/{instance}/events/a/b", content=b"")).status == 200
    assert (await api.until("approval", instance, "complete"))["output"] == {}


async def test_row_63_an_instance_that_a_schedule_made_is_read_steered_and_deleted(api: Api, engine: Engine) -> None:
    workflow = engine.workflow("approval")
    new = NewInstance(id=CRON_ID, params=b"{}", trigger=Trigger.CRON)
    await engine.writer.submit(lambda tx: instances.create(tx, workflow.id, [new], skip_known=False))
    engine.worker.ring()
    found = await api.until("approval", ID_IN_PATH, "running", "waiting", steps=2)
    assert found["trigger"] == {"source": "cron"}
    assert (await api.call("PATCH", f"/approval/instances/{ID_IN_PATH}/status", {"status": "pause"})).status == 200
    assert (await api.call("POST", f"/approval/instances/{ID_IN_PATH}/events/approved")).status == 200
    done = (await api.call("POST", "/approval/instances/batch/delete", {"instances": [CRON_ID]})).result
    assert done == {"deleted": [{"id": CRON_ID}], "errors": []}


async def test_row_50_an_id_that_a_schedule_could_make_is_for_nobody_else_to_make(api: Api) -> None:
    for bad in ("-x", "a" * 101, "a b", "", CRON_ID):
        refused = await api.call("POST", "/greet/instances", {"instance_id": bad})
        assert (bad, refused.status, refused.code) == (bad, 400, 10407)


async def test_row_63_an_id_cut_at_its_hash_starts_and_stops_nothing(api: Api) -> None:
    cut = "/greet/instances/0%200%20*%20*%20MON"
    for method, body in (("PATCH", {"status": "terminate"}), ("POST", {}), ("POST", {"by": "ann"})):
        assert (await api.call(method, cut, body)).status == 405
    assert (await api.call("GET", "/greet/instances")).result == []
    made = await api.call("POST", "/greet/instances/plain-1", {"id": "plain-1", "params": {"n": 1}})
    assert made.result["id"] == "plain-1"


async def test_row_46_an_id_that_is_there_is_refused_also_when_it_has_ended(api: Api) -> None:
    await api.start("greet", id="once")
    await api.until("greet", "once", "complete")
    refused = await api.call("POST", "/greet/instances", {"instance_id": "once"})
    assert (refused.status, refused.code) == (409, 10405)


async def test_row_47_a_batch_with_a_bad_id_makes_nothing_and_without_it_what_is_new(api: Api) -> None:
    await api.start("greet", id="known")
    batch: list[dict[str, Any]] = [{"instance_id": each} for each in ("a", "a", "known")]
    refused = await api.call("POST", "/greet/instances/batch", [*batch, {"instance_id": "-bad"}])
    assert (refused.status, refused.code) == (400, 10407)
    assert [each["id"] for each in (await api.call("GET", "/greet/instances")).result] == ["known"]
    made = (await api.call("POST", "/greet/instances/batch", batch)).result
    assert [each["id"] for each in made] == ["a"]


async def test_row_48_a_batch_of_none_and_of_101_is_refused(api: Api) -> None:
    for batch in ([], [{}] * 101):
        refused = await api.call("POST", "/greet/instances/batch", batch)
        assert (refused.status, refused.code) == (400, 10407)


async def test_row_49_a_batch_delete_answers_for_each_position(api: Api) -> None:
    await api.start("greet", id="a")
    done = await api.call("POST", "/greet/instances/batch/delete", {"instances": ["a", "gone", "a"]})
    assert done.result["deleted"] == [{"id": "a"}, {"id": "a"}]
    (error,) = done.result["errors"]
    assert (error["id"], error["code"]) == ("gone", 10400)
    refused = await api.call("POST", "/greet/instances/batch/delete", {"instances": ["a\n"]})
    assert (refused.status, refused.code) == (400, 10407)


async def test_pause_and_resume_keep_the_instance(api: Api) -> None:
    instance = await api.start("approval")
    await api.until("approval", instance, "running", "waiting", steps=2)
    path = f"/approval/instances/{instance}/status"
    paused = (await api.call("PATCH", path, {"status": "pause"})).result
    assert paused["status"] in ("paused", "waitingForPause")
    await api.until("approval", instance, "paused")
    await api.call("PATCH", path, {"action": "resume"})
    await api.call("POST", f"/approval/instances/{instance}/events/approved")
    await api.until("approval", instance, "complete")


async def test_row_41_terminated_twice_is_a_conflict_and_so_is_all_else_but_a_restart(api: Api) -> None:
    instance = await api.start("approval")
    await api.until("approval", instance, "running", "waiting", steps=2)
    path = f"/approval/instances/{instance}"
    assert (await api.call("PATCH", f"{path}/status", {"status": "terminate"})).result["status"] == "terminated"
    for method, below, body in (
        ("PATCH", "/status", {"status": "terminate"}),
        ("PATCH", "/status", {"status": "pause"}),
        ("PATCH", "/status", {"status": "resume"}),
        ("POST", "/events/approved", {}),
    ):
        refused = await api.call(method, path + below, body)
        assert (below, body, refused.status, refused.code) == (below, body, 409, 10406)
    found = await api.describe("approval", instance)
    assert (found["success"], found["steps"][-1]) == (False, {"type": "termination", "trigger": {"source": "api"}})
    assert (await api.call("PATCH", f"{path}/status", {"status": "restart"})).status == 200
    await api.until("approval", instance, "running", "waiting", steps=2)


async def test_row_36_a_restart_from_a_step_keeps_what_was_before_it(api: Api) -> None:
    instance = await api.start("approval")
    await api.until("approval", instance, "running", "waiting", steps=2)
    before = await api.call("POST", f"/approval/instances/{instance}/events/approved", {"n": 1})
    assert before.status == 200
    first = (await api.until("approval", instance, "complete"))["steps"]
    origin = {"name": "answer", "type": "waitForEvent"}
    await api.call("PATCH", f"/approval/instances/{instance}/status", {"status": "restart", "from": origin})
    again = await api.until("approval", instance, "running", "waiting", steps=2)
    assert again["steps"][0] == first[0]
    assert again["steps"][1]["finished"] is False


async def test_row_38_a_restart_from_an_unknown_step_changes_nothing(api: Api) -> None:
    instance = await api.start("greet")
    before = await api.until("greet", instance, "complete")
    body = {"status": "restart", "from": {"name": "no such step"}}
    refused = await api.call("PATCH", f"/greet/instances/{instance}/status", body)
    assert (refused.status, refused.code) == (409, 10406)
    assert await api.describe("greet", instance) == before


async def test_the_cursor_walks_through_all_and_is_stable_while_new_ones_come(api: Api) -> None:
    ids = [await api.start("unused", id=f"i-{number}") for number in range(5)]
    first = await api.call("GET", "/unused/instances", per_page="2")
    cursor = first.envelope["result_info"]["cursor"]
    await api.start("unused", id="late")
    seen = [each["id"] for each in first.result]
    while cursor:
        answer = await api.call("GET", "/unused/instances", per_page="2", cursor=cursor)
        seen += [each["id"] for each in answer.result]
        cursor = answer.envelope["result_info"].get("cursor")
    assert seen == ids[::-1]
    refused = await api.call(
        "GET", "/unused/instances", cursor=first.envelope["result_info"]["cursor"], status="queued"
    )
    assert (refused.status, refused.code) == (400, 10407)


async def test_row_62_a_page_past_the_end_is_empty(api: Api) -> None:
    assert (await api.call("GET", "/unused/instances", page="9")).result == []
    assert (await api.call("GET", "", page="9")).result == []


async def test_row_61_the_instances_of_an_empty_workflow_are_none(api: Api) -> None:
    assert (await api.call("GET", "/unused/instances/")).result == []


async def test_instances_are_filtered_by_status_time_and_id(api: Api) -> None:
    await api.until("greet", await api.start("greet", id="done-1"), "complete")
    for query, count in (
        ({"status": "complete"}, 1),
        ({"status": "running"}, 0),
        ({"search": "one-"}, 1),
        ({"search": "two"}, 0),
        ({"date_start": "2020-01-01T00:00:00Z"}, 1),
        ({"date_end": "2020-01-01T00:00:00Z"}, 0),
    ):
        assert (query, len((await api.call("GET", "/greet/instances", **query)).result)) == (query, count)
    assert (await api.call("GET", "/greet/instances", status="unknown")).status == 400


async def test_terminate_all_ends_every_live_one_and_no_other(api: Api) -> None:
    await api.until("approval", await api.start("approval", id="a"), "running", "waiting", steps=2)
    await api.start("approval", id="b")
    await api.call("POST", "/approval/instances/b/events/approved")
    await api.until("approval", "b", "complete")
    await api.call("PATCH", "/approval/instances/a/status", {"status": "pause"})
    await api.until("approval", "a", "paused")
    await api.start("approval", id="c")
    assert (await api.call("PUT", "/approval/instances/terminate")).result["status"] in ("ok", "already_running")
    for instance in ("a", "c"):
        await api.until("approval", instance, "terminated")
    assert (await api.describe("approval", "b"))["status"] == "complete"


async def test_a_deleted_workflow_is_gone_with_its_instances(api: Api) -> None:
    instance = await api.start("approval")
    await api.until("approval", instance, "running", "waiting", steps=2)
    assert (await api.call("DELETE", "/approval")).result == {"status": "ok", "success": True}
    refused = await api.call("GET", f"/approval/instances/{instance}")
    assert (refused.status, refused.code) == (404, 10200)
    assert "approval" not in {each["name"] for each in (await api.call("GET", "", per_page="100")).result}


async def test_what_is_not_there_is_told_by_its_own_code(api: Api) -> None:
    for path, code in (("/nope", 10200), ("/nope/instances", 10200), ("/greet/instances/nope", 10400)):
        refused = await api.call("GET", path)
        assert (path, refused.status, refused.code) == (path, 404, code)
    assert (await api.call("GET", "/greet/nonsense")).code == 7003
    refused = await api.call("DELETE", "/greet/instances")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, POST")


async def test_a_deploy_defines_a_workflow_and_keeps_one_that_is_the_same(api: Api) -> None:
    body = {"script_name": "app", "class_name": "Shop", "limits": {"steps": 50}, "schedules": [{"cron": "0 * * * *"}]}
    made = (await api.call("PUT", "/new-one", body)).result
    assert (made["script_name"], made["limits"], made["schedules"]) == ("app", {"steps": 50}, [{"cron": "0 * * * *"}])
    assert (await api.call("PUT", "/new-one", body)).result["version_id"] == made["version_id"]
    other = (await api.call("PUT", "/new-one", {**body, "class_name": "Other"})).result
    assert (other["id"], other["version_id"] == made["version_id"]) == (made["id"], False)
    assert (await api.call("PUT", "/-bad", body)).status == 400
    assert (await api.call("PUT", "/new-one", {**body, "schedules": [{"cron": "each now and then"}]})).code == 10407


async def test_metrics_count_what_happened(api: Api) -> None:
    await api.until("failing", await api.start("failing"), "errored")
    found = (await api.call("GET", "/failing/metrics", bucket="1m", group_by="event,step")).result
    counted = {(each["event"], each["step"]): each["count"] for each in found}
    assert counted["WORKFLOW_FAILURE", ""] == 1
    assert counted["STEP_FAILURE", "charge"] == 1
    assert (await api.call("GET", "/failing/metrics", bucket="7m")).status == 400


async def test_the_log_is_read_on_from_any_event(api: Api) -> None:
    instance = await api.start("greet")
    await api.until("greet", instance, "complete")
    log = (await api.call("GET", f"/greet/instances/{instance}/log")).result
    types = [each["type"] for each in log]
    assert types[0] == "workflow_queued"
    assert types[-1] == "workflow_completed"
    rest = (await api.call("GET", f"/greet/instances/{instance}/log", after=str(log[2]["eventId"]))).result
    assert rest == log[3:]


async def test_row_60_what_is_past_its_retention_is_gone_whole_while_it_is_read(
    api: Api, workflows_api: WorkflowsApi
) -> None:
    body = {"instance_id": "short", "instance_retention": {"success_retention": 1}}
    assert (await api.call("POST", "/greet/instances", body)).status == 200
    await api.until("greet", "short", "complete")
    collecting = asyncio.create_task(workflows_api.collect())
    async with asyncio.timeout(DEADLINE_S):
        while (answer := await api.call("GET", "/greet/instances/short")).status == 200:
            assert (answer.result["status"], len(answer.result["steps"])) == ("complete", 1)
            if collecting.done():
                collecting = asyncio.create_task(workflows_api.collect())
    assert (answer.status, answer.code) == (404, 10400)
    await collecting
