"""What a deployment's function said: the last events, those after one, and tails, which get them as they come.

A tail is a row that says until when somebody watches; edges read it and tell of every request from then on. Its id
is drawn at random and is all that its WebSocket's address holds: whoever has it may read, and it ends soon.
"""

import asyncio
import random
import secrets
from typing import Any, Final

import orjson
from starlette.types import Receive, Scope, Send

from control_plane.clock import Clock
from control_plane.deployments import addressed
from control_plane.endpoints import SiteCall
from control_plane.errors import NoFunction, UnknownRoute
from control_plane.plane import ControlPlane
from control_plane.tail_filters import parse_filters, passes
from control_plane.web_socket import WebSocket, WebSocketRefused, accept
from envelope.answers import render_error
from envelope.paging import bounded_number
from router.records import JsonObject

TAIL_S: Final = 3600
POLL_S: Final = 0.2
EVENTS_AT_ONCE_MAX: Final = 200
EVENTS_SHOWN_DEFAULT: Final = 50
PROTOCOL: Final = "trace-v1"
TAILS_PATH: Final = "/tails/"


async def list_events(plane: ControlPlane, call: SiteCall) -> JsonObject:
    """`after`: those that came after that event, else the last ones."""
    bundle = bundle_of(plane, call)
    limit = bounded_number("limit", call.query("limit"), default=EVENTS_SHOWN_DEFAULT, maximum=EVENTS_AT_ONCE_MAX)
    after = call.query("after")
    if after:
        number = bounded_number("after", after, default=1, maximum=10**9) - 1
        events = await asyncio.to_thread(plane.events.events_after, bundle, number, limit=limit)
    else:
        events = await asyncio.to_thread(plane.events.last_events, bundle, limit=limit)
    return {"next": max((each.number for each in events), default=0) + 1, "events": [each.document for each in events]}


async def begin_tail(plane: ControlPlane, call: SiteCall) -> JsonObject:
    bundle = bundle_of(plane, call)
    filters = parse_filters((await call.json_object()).get("filters"))
    tail_id = secrets.token_hex(16)
    expires_s = plane.clock.now_s() + TAIL_S
    await asyncio.to_thread(
        plane.events.watch, tail_id, bundle, expires_ms=round(expires_s * 1000), filters=orjson.dumps(filters)
    )
    scheme = "wss" if call.request.url.scheme == "https" else "ws"
    return {
        "id": tail_id,
        "url": f"{scheme}://{call.request.headers.get('host', '')}{TAILS_PATH}{tail_id}",
        "expires_at": Clock(now_s=lambda: expires_s).now(),
    }


async def end_tail(plane: ControlPlane, call: SiteCall) -> None:
    """Of this deployment alone; one that is over already is over."""
    bundle, tail_id = bundle_of(plane, call), call.path("tail")
    watched = await asyncio.to_thread(plane.events.watched, tail_id)
    if watched is not None and watched.bundle == bundle:
        await asyncio.to_thread(plane.events.end_watch, tail_id)


def bundle_of(plane: ControlPlane, call: SiteCall) -> str:
    """Raises UnknownDeployment, NoFunction."""
    with plane.store.read() as snapshot:
        deployment = addressed(snapshot, call)
    if deployment.bundle is None:
        raise NoFunction(deployment.short_id)
    return deployment.bundle


class TailSocket:
    """The ASGI app at a tail's address."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tail_id = scope["path_params"]["tail"]
        watched = await asyncio.to_thread(self._plane.events.watched, tail_id)
        try:
            if watched is None:
                raise WebSocketRefused("no such tail")
            socket = await accept(scope, receive, send, protocol=PROTOCOL)
        except WebSocketRefused:
            await render_error(UnknownRoute())(scope, receive, send)
            return
        own_address = (scope.get("client") or ("", 0))[0]
        feed = asyncio.create_task(
            self._feed(socket, watched.bundle, orjson.loads(watched.filters), tail_id, own_address)
        )
        try:
            await asyncio.wait((feed, asyncio.ensure_future(socket.until_end())), return_when=asyncio.FIRST_COMPLETED)
        finally:
            feed.cancel()
            await asyncio.to_thread(self._plane.events.end_watch, tail_id)
        await socket.close()

    async def _feed(
        self, socket: WebSocket, bundle: str, filters: list[dict[str, Any]], tail_id: str, own_address: str
    ) -> None:
        """Until the tail is over."""
        events = self._plane.events
        number = await asyncio.to_thread(events.last_number)
        while await asyncio.to_thread(events.watched, tail_id) is not None:
            for event in await asyncio.to_thread(events.events_after, bundle, number, limit=EVENTS_AT_ONCE_MAX):
                number = event.number
                if passes(event.document, filters, own_address=own_address, draw=random.random()):  # noqa: S311
                    await socket.send_text(orjson.dumps(event.document))
            await asyncio.sleep(POLL_S)
