"""The pages below one path: which page a path is, and what a form asks for. Whoever mounts them says who looks.

    /                        workflows          /{w}                instances      /{w}/{id}           a timeline
    /-/live                  changes, SSE       /{w}/-/live                        /{w}/{id}/-/live
    /-/assets/{name}         styles, script     POST /{w}           start one      POST /{w}/{id}      a command

Names and ids are one segment each, percent-encoded: ids may hold slashes, and "-" can begin no workflow's name.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from envelope.bodies import Held, parse_form, read_body
from envelope.errors import ApiError, MethodRefused, UnknownRoute, ValueRefused
from envelope.paging import parse_paging
from workflows.errors import InstanceNotFound, WorkflowError
from workflows.pages.orders import parse_order, parse_start
from workflows.pages.templating import Templates
from workflows.pages.views import (
    STATES,
    InstanceRow,
    WorkflowRow,
    instance_row,
    named_counts,
    timeline_context,
    workflow_row,
)
from workflows.rest.app import WorkflowsApi
from workflows.rest.errors import translate
from workflows.rest.handlers import BODY_BYTES_MAX, find_workflow
from workflows.rest.live import stream_changes, stream_instance_changes
from workflows.rest.queries import InstanceQuery, parse_instance_query
from workflows.states import Command, Trigger
from workflows.store.reads import Reads
from workflows.store.records import WorkflowRecord

HEADINGS: Final[Mapping[int, str]] = {404: "There is nothing here", 403: "This isn't allowed", 429: "Too much at once"}
CODE: Final = re.compile(r"^[a-z_.]+: ")
RESULTS_SHOWN_BYTES_MAX: Final = 1 << 20
FORM_BYTES_MAX: Final = 3 * BODY_BYTES_MAX  # percent-encoding may triple it


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks: the name of their token, whether they may do anything, and whether they still may look."""

    name: str
    may_change: bool
    may_go_on: Callable[[], bool]


class Pages:
    """The pages of one store."""

    def __init__(self, api: WorkflowsApi, templates: Templates) -> None:
        self._api = api
        self._desk = api.desk
        self._templates = templates

    def find_asset(self, request: Request) -> Response | None:
        """For anyone: the page that one signs in at has them too."""
        match self._segments(request):
            case ["-", "assets", name]:
                return self._templates.asset(name)
            case _:
                return None

    async def answer(self, request: Request, visitor: Visitor, held: Held) -> Response:
        """Whoever calls has made sure that a POST comes from one of these pages, by one who may. Raises ApiError."""
        segments = self._segments(request)
        try:
            if request.method == "POST":
                form = parse_form(await read_body(request, held, bytes_max=FORM_BYTES_MAX))
                return await self._obey(segments, form, visitor)
            return await self._show(segments, request, visitor)
        except WorkflowError as error:
            self._desk.note(error)
            raise translate(error) from error

    def show_refusal(self, error: ApiError) -> Response:
        heading = HEADINGS.get(error.status, "That didn't work")
        return self._templates.render(
            "message.html", http_status=error.status, heading=heading, text=plain(error.message), caller=None
        )

    async def _show(self, segments: list[str], request: Request, visitor: Visitor) -> Response:
        match segments:
            case []:
                return await self._show_workflows(request.query_params, visitor)
            case ["-", "live"] | [_, "-", "live"]:
                self._api.watch.refuse_crowd()
                return stream_changes(self._api.watch, may_go_on=visitor.may_go_on)
            case [workflow]:
                return await self._show_instances(workflow, request.query_params, visitor)
            case [workflow, instance]:
                return await self._show_instance(workflow, instance, visitor)
            case [workflow, instance, "-", "live"]:
                return await self._follow(workflow, instance, visitor)
            case _:
                raise UnknownRoute

    async def _show_workflows(self, query: Mapping[str, str], visitor: Visitor) -> Response:
        page, per_page = parse_paging(query)

        def ask(reads: Reads) -> tuple[list[WorkflowRow], int]:
            found = reads.workflows(page=page, per_page=per_page)
            return [workflow_row(each, reads.status_counts(each.id)) for each in found.items], found.total_count

        rows, total_count = await self._desk.read(ask)
        return self._render(
            "workflows.html", visitor, workflows=rows, states=STATES, page=page, pages=-(-total_count // per_page),
        )  # fmt: skip

    async def _show_instances(
        self, workflow: str, query: Mapping[str, str], visitor: Visitor, *, status: int = 200, **notice: Any
    ) -> Response:
        record = await find_workflow(self._desk, workflow)
        asked = parse_instance_query(query)
        rows, cursor, counts = await self._instances(record, asked)
        return self._render(
            "instances.html", visitor, status_code=status, workflow=workflow, instances=rows, counts=counts,
            states=STATES, status=query.get("status") or "", search=asked.which.search or "", next=cursor,
            is_later=asked.cursor is not None, **{"notice": "", "draft": None, **notice},
        )  # fmt: skip

    async def _instances(
        self, record: WorkflowRecord, asked: InstanceQuery
    ) -> tuple[list[InstanceRow], str | None, dict[str, int]]:
        now = self._desk.clock.now_ms()

        def ask(reads: Reads) -> tuple[list[InstanceRow], str | None, dict[str, int]]:
            found = reads.instances(record.id, asked.which, per_page=asked.per_page, cursor=asked.cursor)
            rows = [instance_row(each, now=now) for each in found.items]
            return rows, found.cursor, named_counts(reads.status_counts(record.id))

        return await self._desk.read(ask)

    async def _show_instance(
        self, workflow: str, instance: str, visitor: Visitor, *, status: int = 200, notice: str = "",
        draft: Mapping[str, str] | None = None,
    ) -> Response:  # fmt: skip
        """`draft` is an event that was refused: its form is shown again, with the reason beside what was typed."""
        record = await find_workflow(self._desk, workflow)
        now = self._desk.clock.now_ms()

        def ask(reads: Reads) -> dict[str, Any] | None:
            detail = reads.describe(record.id, instance, results_bytes_max=RESULTS_SHOWN_BYTES_MAX)
            return timeline_context(detail, now=now) if detail is not None else None

        context = await self._desk.read(ask)
        if context is None:
            raise InstanceNotFound(workflow, instance)
        return self._render(
            "instance.html", visitor, status_code=status, workflow=workflow, instance=instance, notice=notice,
            draft=draft, **context,
        )  # fmt: skip

    async def _follow(self, workflow: str, instance: str, visitor: Visitor) -> Response:
        record = await find_workflow(self._desk, workflow)
        found = await self._desk.read(lambda reads: reads.instance(record.id, instance))
        if found is None:
            raise InstanceNotFound(workflow, instance)
        self._api.watch.refuse_crowd()
        return stream_instance_changes(self._desk, self._api.watch, record, found, may_go_on=visitor.may_go_on)

    # -- forms ---------------------------------------------------------------------------------------------------

    async def _obey(self, segments: list[str], form: Mapping[str, str], visitor: Visitor) -> Response:
        match segments:
            case [workflow]:
                return await self._start(workflow, form, visitor)
            case [workflow, instance]:
                return await self._command(workflow, instance, form, visitor)
            case _:
                raise MethodRefused("GET")

    async def _start(self, workflow: str, form: Mapping[str, str], visitor: Visitor) -> Response:
        record = await find_workflow(self._desk, workflow)
        try:
            start = parse_start(form)
            client = await self._desk.client()
            handle = await client.create(record.name, start.instance_id, start.params, trigger=Trigger.API)
        except (WorkflowError, ValueRefused) as error:
            refused = translate(error)
            return await self._show_instances(
                workflow, {}, visitor, status=refused.status, notice=plain(refused.message),
                draft={"id": form.get("id", ""), "params": form.get("params", "")},
            )  # fmt: skip
        return RedirectResponse(self._templates.link_instance(workflow, handle.id), status_code=303)

    async def _command(self, workflow: str, instance: str, form: Mapping[str, str], visitor: Visitor) -> Response:
        record = await find_workflow(self._desk, workflow)
        client = await self._desk.client()
        try:
            order = parse_order(form)
            if order.event_type is not None:
                await client.send_event(record.id, instance, order.event_type, order.payload)
            else:
                await client.command(record.id, instance, dict(order.command))
        except InstanceNotFound:
            raise
        except (WorkflowError, ValueRefused) as error:
            refused = translate(error)
            is_event = form.get("action") == "send-event"
            return await self._show_instance(
                workflow, instance, visitor, status=refused.status, notice=plain(refused.message),
                draft={"type": form.get("type", ""), "payload": form.get("payload", "")} if is_event else None,
            )  # fmt: skip
        is_gone = order.command.get("do") is Command.DELETE
        target = self._templates.link(workflow) if is_gone else self._templates.link_instance(workflow, instance)
        return RedirectResponse(target, status_code=303)

    # ------------------------------------------------------------------------------------------------------------

    def _render(self, template: str, visitor: Visitor, *, status_code: int = 200, **context: Any) -> Response:
        return self._templates.render(
            template, http_status=status_code, caller=visitor.name, may_change=visitor.may_change, **context
        )

    def _segments(self, request: Request) -> list[str]:
        """Raises UnknownRoute."""
        raw: bytes = request.scope["raw_path"].partition(b"?")[0]
        below = raw.removeprefix(self._templates.base.encode("ascii"))
        if below == raw or (below and not below.startswith(b"/")):
            raise UnknownRoute
        try:
            return [unquote_to_bytes(each).decode("utf-8") for each in below.strip(b"/").split(b"/") if each]
        except UnicodeDecodeError:
            raise UnknownRoute from None


def plain(message: str) -> str:
    """As a sentence, without the word for programs that it begins with."""
    text = CODE.sub("", message, count=1)
    return text[:1].upper() + text[1:]
