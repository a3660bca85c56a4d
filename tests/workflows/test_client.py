"""Rows of the table of corner cases that concern creating, finding and deleting; and a client without a worker."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, flow, run_once, status_of
from workflows import (
    InstanceNotFound,
    Limits,
    NewInstanceOptions,
    Workflow,
    WorkflowError,
    WorkflowEvent,
    WorkflowNotFound,
    open_client,
)
from workflows.states import Status, Trigger
from workflows.store.cursor import InstanceFilter
from workflows.store.definitions import Registration, register_workflow
from workflows.testing import open_test_engine
from workflows.workflow import Definition


async def sleeps(event: WorkflowEvent, step: Any) -> Any:
    await step.sleep("s", "1 day")
    return event.payload


async def test_row_46_an_id_is_taken_as_long_as_its_instance_is_kept(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    for _ in range(2):
        with pytest.raises(WorkflowError) as refused:
            await engine.create(workflow, id="one")
        assert refused.value.code == "instance.already_exists"
        if status_of(engine, workflow) != "terminated":
            await handle.terminate()
    await handle.delete()
    await engine.create(workflow, id="one")


async def test_row_47_a_batch_is_refused_whole_for_one_bad_id_and_skips_known_ones(
    open_engine_here: OpenEngine,
) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="existing")
    wanted = [NewInstanceOptions(id=id_) for id_ in ("a", "a", "existing", "bad id")]
    with pytest.raises(WorkflowError) as refused:
        await engine.create_batch(workflow, wanted)
    assert refused.value.code == "instance.invalid_id"
    workflow_id = engine.workflow(workflow).id
    assert engine.reads.count_instances(workflow_id) == 1
    assert [one.id for one in await engine.create_batch(workflow, wanted[:3])] == ["a"]
    assert engine.reads.count_instances(workflow_id) == 2


@pytest.mark.parametrize("count", [0, 101])
async def test_row_48_a_batch_has_1_to_100_entries(open_engine_here: OpenEngine, count: int) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    for call in (
        lambda: engine.create_batch(workflow, [NewInstanceOptions()] * count),
        lambda: engine.delete_batch(workflow, ["a"] * count),
    ):
        with pytest.raises(WorkflowError) as refused:
            await call()
        assert refused.value.code == "body"


async def test_row_49_deleting_a_batch_answers_for_each_position(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    await engine.create(workflow, id="a")
    await engine.settle()
    done = await engine.delete_batch(workflow, ["a", "missing", "a"])
    assert done.deleted == ("a", "a")
    assert done.errors == (("missing", 10400, "workflows.api.error.instance.not_found"),)
    assert engine.reads.count_instances(engine.workflow(workflow).id) == 0


@pytest.mark.parametrize("bad", ["-x", "x" * 101, "a b", "", None, 7, "ä", "a\n"])
async def test_row_50_ids_that_users_can_not_create(open_engine_here: OpenEngine, bad: Any) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    if bad is None:
        return
    with pytest.raises(WorkflowError) as refused:
        await engine.create(workflow, id=bad)
    assert refused.value.code == "instance.invalid_id"


async def test_row_50_a_cron_id_is_found_but_not_made(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    cron_id = "*/30 * * * *-1786001400000"
    with pytest.raises(WorkflowError) as refused:
        await engine.create(workflow, id=cron_id)
    assert refused.value.code == "instance.invalid_id"
    with pytest.raises(InstanceNotFound):
        await engine.get(workflow, cron_id)
    with pytest.raises(WorkflowError) as invalid:
        await engine.get(workflow, "a\nb")
    assert invalid.value.code == "instance.invalid_id"


async def test_row_60_an_instance_past_its_retention_is_gone_whole(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        await step.do("s", lambda: 1)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="kept-shortly", retention={"success_retention": "1 hour"})
    await engine.create(workflow, id="kept-long")
    await engine.advance("59 minutes")
    assert handle.record().status is Status.COMPLETE
    await engine.advance("3 minutes")
    assert engine.reads.describe(handle.workflow_id, "kept-shortly") is None
    with pytest.raises(InstanceNotFound):
        await handle.status()
    assert (await (await engine.get(workflow, "kept-long")).status()).status == "complete"
    await engine.advance("31 days")
    assert engine.reads.count_instances(handle.workflow_id) == 0
    assert engine.reads.feed(1) == []


async def test_params_over_1_mib_and_unstorable_ones_are_refused(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps)
    engine = await open_engine_here(workflow)
    with pytest.raises(WorkflowError) as large:
        await engine.create(workflow, params="x" * 2**20)
    with pytest.raises(WorkflowError) as odd:
        await engine.create(workflow, params=object())
    handle = await engine.create(workflow)
    with pytest.raises(WorkflowError) as large_event:
        await handle.send_event("t", "x" * 2**20)
    assert [one.value.code for one in (large, odd, large_event)] == ["payload.too_large", "body", "payload.too_large"]


async def test_params_default_to_an_empty_object(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return event.payload

    workflow = flow(body)
    assert await run_once(await open_engine_here(workflow), workflow) == {}


async def test_an_unknown_workflow_is_refused(open_engine_here: OpenEngine) -> None:
    engine = await open_engine_here()
    with pytest.raises(WorkflowNotFound):
        await engine.create("nobody")


async def test_listing_goes_on_by_cursor_and_refuses_another_listings(open_engine_here: OpenEngine) -> None:
    workflow = flow(sleeps, max_running=0)
    engine = await open_engine_here(workflow)
    workflow_id = engine.workflow(workflow).id
    for number in range(7):
        await engine.create(workflow, id=f"n{number}")
        await engine.advance(1)
    newest = InstanceFilter()
    seen: list[str] = []
    cursor = None
    while True:
        page = engine.reads.instances(workflow_id, newest, per_page=3, cursor=cursor)
        seen += [one.id for one in page.items]
        cursor = page.cursor
        if cursor is None:
            break
        kept = cursor
        await engine.create(workflow, id=f"later-{len(seen)}")  # stable under inserts
    assert seen == [f"n{number}" for number in range(6, -1, -1)]
    for other, token in ((InstanceFilter(direction="asc"), kept), (newest, "x"), (newest, "AAAA"), (newest, "é")):
        with pytest.raises(WorkflowError) as refused:
            engine.reads.instances(workflow_id, other, cursor=token)
        assert refused.value.code == "body"


async def test_a_client_of_another_process_commands_what_a_worker_runs(tmp_path: Path) -> None:
    begun = asyncio.Event()
    go = asyncio.Event()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        async def work() -> int:
            begun.set()
            await go.wait()
            return 1

        await step.do("a", work)
        return (await step.wait_for_event("w", type="t")).payload

    workflow = flow(body)
    path = tmp_path / "workflows.db"
    async with open_test_engine([workflow], path) as engine, open_client(path, clock=engine.virtual) as client:
        handle = await client.create("flow", id="one", trigger=Trigger.API)
        await begun.wait()
        await handle.pause()
        assert (await handle.status()).status == "waitingForPause"
        go.set()
        await engine.introspect(workflow, "one").wait_for_status("paused")
        await handle.resume()
        await engine.introspect(workflow, "one").wait_for_status("running")
        await handle.send_event("t", "from afar")
        assert await handle.result(timeout=5) == "from afar"
        assert described(engine, workflow).instance.trigger is Trigger.API
        await handle.delete()
        with pytest.raises(InstanceNotFound):
            await handle.status()


async def test_max_running_holds_the_rest_in_the_queue_and_waiting_is_free(open_engine_here: OpenEngine) -> None:
    go = asyncio.Event()

    async def body(event: WorkflowEvent, step: Any) -> Any:
        if event.payload == "sleep":
            await step.sleep("s", "1 day")
        await step.do("a", go.wait)

    workflow = flow(body, max_running=2)
    engine = await open_engine_here(workflow)
    workflow_id = engine.workflow(workflow).id
    await engine.create_batch(workflow, [NewInstanceOptions(params="sleep")] * 5)
    await asyncio.sleep(0.3)
    await engine.advance("1 hour")
    assert engine.reads.count_instances(workflow_id, Status.WAITING) == 5
    await engine.create_batch(workflow, [NewInstanceOptions(params="work")] * 5)
    while engine.reads.count_instances(workflow_id, Status.RUNNING) < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    counts = engine.reads.status_counts(workflow_id)
    assert (counts[Status.RUNNING], counts[Status.QUEUED], counts[Status.WAITING]) == (2, 3, 5)
    go.set()
    await engine.settle()


async def test_an_instance_whose_class_is_not_loaded_stays_queued(tmp_path: Path) -> None:
    class Other(Workflow):
        async def run(self, event: WorkflowEvent, step: Any) -> None:
            return

    workflow = flow(sleeps)
    path = tmp_path / "workflows.db"
    async with open_test_engine([workflow, Other], path):
        pass
    async with open_test_engine([Other], path) as engine:
        await engine.create("flow", id="one")
        await engine.create("other", id="two")
        await engine.introspect(Other, "two").wait_for_status("complete")
        assert status_of(engine, workflow) == "queued"


@pytest.mark.parametrize("is_loaded", [False, True])
async def test_a_worker_writes_nothing_for_a_backlog_that_it_can_not_claim_from(
    tmp_path: Path, *, is_loaded: bool
) -> None:
    workflow, path = flow(sleeps, max_running=0), tmp_path / "workflows.db"
    async with open_test_engine([workflow], path):
        pass
    async with open_test_engine([workflow] if is_loaded else [], path) as engine:
        await engine.create("flow", id="one")
        await engine.settle()
        before = engine.writer.commits_count
        for _ in range(10):
            engine.worker.ring()
            await engine.settle()
        assert engine.writer.commits_count == before
        assert status_of(engine, workflow) == "queued"


@pytest.mark.parametrize("limits", [Limits(creations_per_s=3), Limits(queued_max=3)])
async def test_creating_too_many_is_refused_until_there_is_room(open_engine_here: OpenEngine, limits: Limits) -> None:
    workflow = flow(sleeps, max_running=0 if limits.creations_per_s is None else None)
    engine = await open_engine_here(workflow, limits=limits)
    for _ in range(3):
        handle = await engine.create(workflow)
    for refused_call in (
        lambda: engine.create(workflow),
        lambda: engine.create_batch(workflow, [NewInstanceOptions()]),
    ):
        with pytest.raises(WorkflowError) as refused:
            await refused_call()
        assert refused.value.code == "rate"
    await handle.delete()
    await engine.advance("1 second")
    await engine.create(workflow)


async def test_a_workflow_that_was_deleted_and_made_anew_is_taken_up_by_its_worker(
    open_engine_here: OpenEngine,
) -> None:
    async def body(event: WorkflowEvent, step: Any) -> str:
        return "done"

    workflow = flow(body, schedules="0 0 1 1 *")
    engine = await open_engine_here(workflow)
    await engine.delete_workflow(workflow)
    made_anew = Registration(name="flow", script_name="s", class_name="Flow", code_hash="0")
    await engine.writer.submit(lambda tx: register_workflow(tx, made_anew))
    handle = await engine.create("flow")
    await engine.advance("10 seconds")
    assert await handle.result(timeout=5) == "done"


def test_another_version_of_a_class_is_another_version_of_its_workflow() -> None:
    versions = [Definition.of(flow(sleeps, **given)) for given in ({}, {"version": "1"}, {"version": "2"}, {})]
    assert len({each.code_hash for each in versions}) == 3
    assert versions[0].code_hash == versions[3].code_hash
