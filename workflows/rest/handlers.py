"""What each target does, once it is known who asks: reads and commands of the store to documents.

Whoever calls has found the target, and has made sure that the caller may do this. Errors pass through; `app` maps them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson
from starlette.requests import Request

from envelope.answers import Page, Part
from envelope.bodies import Held, parse_json, read_body
from envelope.errors import MethodRefused, UnknownRoute
from envelope.paging import parse_paging
from workflows.client import NewInstanceOptions
from workflows.desk import Desk
from workflows.duration import Duration
from workflows.errors import InstanceNotFound
from workflows.identity import check_workflow_name
from workflows.rest.bulk import Bulk
from workflows.rest.documents import (
    Document,
    detail_document,
    instance_document,
    iso,
    metric_document,
    version_document,
    workflow_document,
)
from workflows.rest.paths import Action, Target
from workflows.rest.queries import (
    LIVE_STATUS_NAMES,
    parse_event_id,
    parse_instance_query,
    parse_metrics_query,
    parse_order,
    parse_status,
)
from workflows.rest.wishes import (
    Creation,
    Definition,
    StatusChange,
    parse_batch,
    parse_creation,
    parse_definition,
    parse_deletion,
    parse_named_creation,
    parse_status_change,
)
from workflows.schedule import parse_schedules
from workflows.states import Command, Status, Trigger
from workflows.store.definitions import Registration, register_workflow
from workflows.store.reads import InstanceDetail, Reads
from workflows.store.records import WorkflowRecord

PAYLOAD_BYTES_MAX: Final = 1 << 20
BODY_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 4096
"""A body holds its payload and a few members around it; what the payload itself may take, the engine says."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, past its door. `is_local`: asked in the dialect of a local development session. `may_go_on`: whether
    the door would still let it in; an answer that lasts asks again and again."""

    request: Request
    target: Target
    held: Held
    is_local: bool = False
    may_go_on: Callable[[], bool] = lambda: True

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    async def json(self) -> object:
        return parse_json(await read_body(self.request, self.held, bytes_max=BODY_BYTES_MAX))


Handler = Callable[[Call], Awaitable[object]]


class Handlers:
    """One for each action but the live feed, which isn't an envelope."""

    def __init__(self, desk: Desk, bulk: Bulk) -> None:
        self._desk = desk
        self._bulk = bulk
        self._handlers: Mapping[Action, Handler] = {
            Action.LIST_WORKFLOWS: self.list_workflows,
            Action.SHOW_WORKFLOW: self.show_workflow,
            Action.PUT_WORKFLOW: self.put_workflow,
            Action.DELETE_WORKFLOW: self.delete_workflow,
            Action.LIST_VERSIONS: self.list_versions,
            Action.SHOW_VERSION: self.show_version,
            Action.SHOW_METRICS: self.show_metrics,
            Action.LIST_INSTANCES: self.list_instances,
            Action.CREATE_INSTANCE: self.create,
            Action.CREATE_NAMED_INSTANCE: self.create_named,
            Action.CREATE_BATCH: self.create_batch,
            Action.DELETE_BATCH: self.delete_batch,
            Action.TERMINATE_ALL: self.terminate_all,
            Action.SHOW_INSTANCE: self.show_instance,
            Action.SHOW_LOG: self.show_log,
            Action.CHANGE_STATUS: self.change_status,
            Action.SEND_EVENT: self.send_event,
            Action.DELETE_INSTANCE: self.delete_instance,
        }

    async def answer(self, call: Call) -> object:
        """The envelope's result. Raises ApiError, WorkflowError."""
        return await self._handlers[call.target.action](call)

    # -- workflows -----------------------------------------------------------------------------------------------

    async def list_workflows(self, call: Call) -> Page:
        page, per_page = parse_paging(call.query)
        search = call.query.get("search", "")

        def ask(reads: Reads) -> Page:
            found = reads.workflows(page=page, per_page=per_page, search=search)
            items = [workflow_document(each, reads.status_counts(each.id)) for each in found.items]
            return Page(items, page=page, per_page=per_page, total_count=found.total_count)

        return await self._desk.read(ask)

    async def show_workflow(self, call: Call) -> Document:
        record = await self._workflow(call)
        return workflow_document(record, await self._desk.read(lambda reads: reads.status_counts(record.id)))

    async def put_workflow(self, call: Call) -> Document:
        wish = parse_definition(await call.json())
        name = call.target.workflow
        check_workflow_name(name)
        known = await self._desk.read(lambda reads: reads.workflow(name))
        wanted = registration_of(name, wish, known)
        client = await self._desk.client()
        _, version_id = await client.writer.submit(lambda tx: register_workflow(tx, wanted))
        return {**await self.show_workflow(call), "version_id": version_id}

    async def delete_workflow(self, call: Call) -> Document:
        record = await self._workflow(call)
        await self._bulk.delete(record, keeps_workflow=call.is_local)
        return {"status": "ok", "success": True}

    async def list_versions(self, call: Call) -> Page:
        record = await self._workflow(call)
        page, per_page = parse_paging(call.query)
        found = await self._desk.read(lambda reads: reads.versions(record.id, page=page, per_page=per_page))
        items = [version_document(each, record) for each in found.items]
        return Page(items, page=page, per_page=per_page, total_count=found.total_count)

    async def show_version(self, call: Call) -> Document:
        record = await self._workflow(call)
        found = await self._desk.read(lambda reads: reads.version(record.id, call.target.version))
        if found is None:
            raise UnknownRoute
        return version_document(found, record)

    async def show_metrics(self, call: Call) -> list[Document]:
        record = await self._workflow(call)
        query = parse_metrics_query(call.query, now=self._desk.clock.now_ms())
        found = await self._desk.read(
            lambda reads: reads.metrics(
                record.id, from_ms=query.from_ms, to_ms=query.to_ms, bucket_minutes=query.bucket_minutes,
                by_step=query.by_step,
            )
        )  # fmt: skip
        return [metric_document(each) for each in found]

    # -- instances -----------------------------------------------------------------------------------------------

    async def list_instances(self, call: Call) -> Page | Part:
        record = await self._workflow(call)
        query = parse_instance_query(call.query)
        found = await self._desk.read(
            lambda reads: reads.instances(
                record.id, query.which, per_page=query.per_page, cursor=query.cursor, page=query.page
            )
        )
        items = [instance_document(each) for each in found.items]
        if not call.is_local:
            return Part(items, per_page=query.per_page, cursor=found.cursor)
        counts = await self._desk.read(lambda reads: reads.status_counts(record.id))
        shown = counts[Status(query.which.status)] if query.which.status is not None else sum(counts.values())
        return Page(
            items, page=query.page, per_page=query.per_page, total_count=shown,
            more={"status_counts": {status.api_name: count for status, count in counts.items()}},
        )  # fmt: skip

    async def create(self, call: Call) -> Document:
        return await self._create(call, parse_creation(await call.json()))

    async def create_named(self, call: Call) -> Document:
        wish = parse_named_creation(await call.json(), named=call.target.instance)
        if wish is None:
            raise MethodRefused("GET, DELETE")
        return await self._create(call, wish)

    async def _create(self, call: Call, wish: Creation) -> Document:
        record = await self._workflow(call)
        client = await self._desk.client()
        handle = await client.create(
            record.name, wish.instance_id, wish.params, retention_of(wish), trigger=Trigger.API
        )
        return await self._created(record, handle.id)

    async def create_batch(self, call: Call) -> list[Document]:
        wishes = parse_batch(parse_json(await read_body(call.request, call.held, bytes_max=PAYLOAD_BYTES_MAX)))
        record = await self._workflow(call)
        client = await self._desk.client()
        wanted = [
            NewInstanceOptions(id=each.instance_id, params=each.params, retention=retention_of(each)) for each in wishes
        ]
        handles = await client.create_batch(record.name, wanted, trigger=Trigger.API)
        return [await self._created(record, handle.id) for handle in handles]

    async def _created(self, record: WorkflowRecord, instance: str) -> Document:
        found = await self._desk.read(lambda reads: reads.instance(record.id, instance))
        return {
            "id": instance,
            "status": (found.status if found is not None else Status.QUEUED).api_name,
            "version_id": found.version_id if found is not None else "",
            "workflow_id": record.id,
        }

    async def delete_batch(self, call: Call) -> Document:
        ids = parse_deletion(await call.json())
        record = await self._workflow(call)
        done = await (await self._desk.client()).delete_batch(record.name, ids)
        return {
            "deleted": [{"id": each} for each in done.deleted],
            "errors": [{"id": each, "code": code, "message": message} for each, code, message in done.errors],
        }

    async def terminate_all(self, call: Call) -> Document:
        record = await self._workflow(call)
        status = parse_status(call.query.get("status"), LIVE_STATUS_NAMES)
        has_begun = await self._bulk.terminate(record, status)
        return {"status": "ok" if has_begun else "already_running"}

    # -- one instance --------------------------------------------------------------------------------------------

    async def show_instance(self, call: Call) -> Document:
        record = await self._workflow(call)
        order = parse_order(call.query.get("order"), default="asc")
        is_simple = call.query.get("simple") == "true"
        only = call.query.get("step") or None

        def ask(reads: Reads) -> Document | None:
            detail: InstanceDetail | None = reads.describe(record.id, call.target.instance, order=order, only=only)
            if detail is None:
                return None
            return detail_document(detail, is_simple=is_simple, shows_plans=not call.is_local)

        found = await self._desk.read(ask)
        if found is None:
            raise InstanceNotFound(record.name, call.target.instance)
        return found

    async def show_log(self, call: Call) -> list[Document]:
        """The instance's events past `after`, oldest first; as many as one answer holds, [] when there is none."""
        record = await self._workflow(call)
        after = parse_event_id(call.query.get("after"))
        instance = call.target.instance

        def ask(reads: Reads) -> list[Document] | None:
            found = reads.instance(record.id, instance)
            if found is None:
                return None
            return [each.document(instance) for each in reads.feed(found.seq, after=after)]

        rows = await self._desk.read(ask)
        if rows is None:
            raise InstanceNotFound(record.name, instance)
        return rows

    async def change_status(self, call: Call) -> Document:
        wish = parse_status_change(await call.json())
        record = await self._workflow(call)
        command: dict[str, Any] = {"do": Command(wish.action)}
        if wish.from_step is not None:
            origin = wish.from_step
            command["from"] = {"name": origin.name, "count": origin.count, "type": origin.type}
        if wish.action == "terminate":
            command["rollback"] = wish.rollback
        client = await self._desk.client()
        status = await client.command(record.id, call.target.instance, command)
        return {
            "status": status_after(wish, status).api_name,
            "timestamp": iso(self._desk.clock.now_ms()),
        }

    async def send_event(self, call: Call) -> Document:
        """The body is the payload itself; none is an empty object."""
        body = await read_body(call.request, call.held, bytes_max=BODY_BYTES_MAX)
        payload = parse_json(body) if body.strip() else {}
        record = await self._workflow(call)
        client = await self._desk.client()
        await client.send_event(record.id, call.target.instance, call.target.event_type, payload)
        return {"success": True, "timestamp": iso(self._desk.clock.now_ms())}

    async def delete_instance(self, call: Call) -> Document:
        record = await self._workflow(call)
        await (await self._desk.client()).command(record.id, call.target.instance, {"do": Command.DELETE})
        return {"success": True}

    async def _workflow(self, call: Call) -> WorkflowRecord:
        """Raises WorkflowNotFound."""
        return await find_workflow(self._desk, call.target.workflow)


def status_after(wish: StatusChange, status: Status | None) -> Status:
    """What to tell: a worker has seen a command a moment before it has done it."""
    if status is None or (wish.action == "terminate" and not wish.rollback):
        return Status.TERMINATED
    return Status.WAITING_FOR_PAUSE if wish.action == "pause" and status is Status.RUNNING else status


async def find_workflow(desk: Desk, name: str) -> WorkflowRecord:
    """Raises WorkflowNotFound."""
    return (await desk.client()).workflow(name)


def retention_of(wish: Creation) -> dict[str, Duration] | None:
    given: dict[str, Duration] = {}
    if wish.success_retention is not None:
        given["success_retention"] = wish.success_retention
    if wish.error_retention is not None:
        given["error_retention"] = wish.error_retention
    return given or None


def registration_of(name: str, wish: Definition, known: WorkflowRecord | None) -> Registration:
    """A deploy tells of its code's place, steps and schedules; what else is set for the workflow stays as it is.
    Raises WorkflowError."""
    crons = parse_schedules(wish.schedules or None)
    told = f"{wish.script_name}\0{wish.class_name}"
    return Registration(
        name=name,
        script_name=wish.script_name,
        class_name=wish.class_name,
        code_hash=sha256(told.encode("utf-8")).hexdigest(),
        limits_json=orjson.dumps({"steps": wish.steps_max}).decode() if wish.steps_max is not None else None,
        schedules_json=orjson.dumps([{"cron": cron.text} for cron in crons]).decode() if crons else None,
        success_ret_ms=known.success_ret_ms if known is not None else None,
        error_ret_ms=known.error_ret_ms if known is not None else None,
        max_running=known.max_running if known is not None else None,
    )
