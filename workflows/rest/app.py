"""The API over HTTP: one request to one answer, whatever goes wrong an envelope.

`WorkflowsApi` knows no tokens. Whoever mounts it finds the target, asks the gate, and hands both over.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import Response

from envelope.answers import render_error, render_success
from envelope.errors import UnknownRoute, ValueRefused
from workflows.desk import Desk
from workflows.errors import InstanceNotFound, StoreError
from workflows.rest.bulk import Bulk
from workflows.rest.errors import translate
from workflows.rest.handlers import Call, Handlers, find_workflow
from workflows.rest.live import Watch, stream_instance
from workflows.rest.paths import Action
from workflows.rest.queries import parse_event_id
from workflows.store.retention import sweep

if TYPE_CHECKING:
    from prometheus_client.core import Metric

TYPES_MAX: Final = 64
WORD: Final = b"workflows"

Endpoint = Callable[[Request], Awaitable[Response]]
Report = Callable[[Request, Exception], None]


class WorkflowsApi:
    """One store's API. `end_streams` lets the live feeds end, before the server waits for its answers to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.watch = Watch(desk)
        self._bulk = Bulk(desk)
        self._handlers = Handlers(desk, self._bulk)

    async def answer(self, call: Call) -> Response:
        """Raises ApiError, WorkflowError."""
        try:
            return await self._answer(call)
        except StoreError as problem:
            self.desk.note(problem)
            raise

    async def _answer(self, call: Call) -> Response:
        if call.target.action is Action.SUBSCRIBE:
            return await self.subscribe(call)
        return render_success(await self._handlers.answer(call))

    async def subscribe(self, call: Call) -> Response:
        record = await find_workflow(self.desk, call.target.workflow)
        instance = await self.desk.read(lambda reads: reads.instance(record.id, call.target.instance))
        if instance is None:
            raise InstanceNotFound(record.name, call.target.instance)
        self.watch.refuse_crowd()
        after = parse_event_id(call.request.headers.get("last-event-id") or call.query.get("after") or "0")
        types = frozenset(each for each in call.query.get("types", "").split(",") if each)
        if len(types) > TYPES_MAX:
            raise ValueRefused(f"types names at most {TYPES_MAX} types, with commas between")
        return stream_instance(
            self.desk, self.watch, record, instance, after=after, types=types, may_go_on=call.may_go_on
        )

    async def collect(self) -> int:
        """Removes what is past its retention now; a worker does so by itself, but some time later."""
        client = await self.desk.client()
        removed = 0
        while count := await client.writer.submit(sweep):
            removed += count
        return removed

    async def metric_families(self) -> "list[Metric]":
        """Raises StoreError."""
        # Imported when first asked for: prometheus_client takes 70 ms, a quarter of the time that a start may take.
        from workflows.rest.prometheus import families

        client = await self.desk.client()
        gauges = await self.desk.read(lambda reads: reads.gauges())
        return list(families(gauges, now=self.desk.clock.now_ms(), busy_count=client.writer.busy_count))

    async def tell_metrics(self, request: Request) -> Response:
        """For Prometheus, of workflows alone."""
        from workflows.rest.prometheus import render

        text, content_type = render(await self.metric_families(), request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})

    def end_streams(self) -> None:
        self.watch.end()

    async def close(self) -> None:
        await self.watch.close()
        await self._bulk.close()
        await self.desk.close()


def in_envelopes(endpoint: Endpoint, report: Report) -> Endpoint:
    """The root of a request: every error becomes an answer, and `report` is told of those that are ours."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # the root of a request
            told = translate(error)
            if told.status >= 500:
                report(request, error)
            return render_error(told)

    return answer


def path_below(request: Request, segments_before: int) -> bytes:
    """The path after "…/workflows", as it was sent. `segments_before`: how many precede that word. Raises UnknownRoute
    where the path, undecoded, isn't cut at the place that the router took it to be cut."""
    raw: bytes = request.scope["raw_path"].partition(b"?")[0]
    parts = raw.split(b"/", segments_before + 2)
    if len(parts) < segments_before + 2 or parts[segments_before + 1] != WORD:
        raise UnknownRoute
    return b"/" + parts[-1] if len(parts) == segments_before + 3 else b""
