"""Door 2: the edge's handler as an ASGI application, for uvicorn, any other ASGI server, and tests.

It translates: scope to EdgeRequest, Response to messages. Where the edge says that a function comes first, the
request goes on to the function stage, which streams. Bodies of requests that reach assets mean nothing and aren't
read here; the server under it drains or closes.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, Protocol

from asset_server.message import Response
from router import error_pages
from router.edge import Edge, EdgeRequest, FunctionFirst, deals_bucket, with_arm, without_bucket
from router.exchange import RECEIVED_NS
from router.forwarded import TrustedProxies
from router.function_request import FunctionRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_CHUNK_BYTES: Final = 256 * 1024  # each chunk waits for the connection to drain, so a slow reader costs this much


class Functions(Protocol):
    """What runs functions beside this edge."""

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def answer(
        self, request: FunctionRequest, receive: Receive, send: Send, from_assets: Callable[[], Response]
    ) -> int | Response:
        """The status of what was sent, or an answer that is still to be sent."""


class EdgeApp:
    """One edge as an ASGI app."""

    def __init__(
        self,
        edge: Edge,
        *,
        proxies: TrustedProxies = TrustedProxies(),  # noqa: B008  # frozen
        functions: Functions | None = None,
    ) -> None:
        self._edge = edge
        self._proxies = proxies
        self._functions = functions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the edge answers HTTP, not {scope['type']!r}")
        request = self._edge_request(scope)
        answer = self._edge.handle(request)
        if isinstance(answer, FunctionFirst):
            await self._ask_function(answer, request, scope, receive, send)
        else:
            await write_response(answer, send)

    async def _ask_function(
        self, first: FunctionFirst, request: EdgeRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if self._functions is None:
            await write_response(self._edge.finish(first, error_pages.functions_absent(), request), send)
            return

        def from_assets() -> Response:
            target = (first.target.path + first.target.query).encode("ascii")
            return self._edge.answer_from_assets(first.pipeline, replace(request, target=target))

        asked = FunctionRequest.of(first, request, may_upgrade=bool(scope.get("extensions")))
        out = FunctionAnswer(self._edge, first, request, send)
        answer = await self._functions.answer(asked, receive, out.send, from_assets)
        if isinstance(answer, Response):
            await write_response(self._edge.finish(first, answer, request), send)
        elif not out.has_begun:
            self._edge.count(first, request, answer)

    def _edge_request(self, scope: Scope) -> EdgeRequest:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        query: bytes = scope["query_string"]
        target: bytes = scope["raw_path"]
        hosts = [value for name, value in headers if name == b"host"]
        peer: str = scope["client"][0] if scope.get("client") else ""
        return EdgeRequest(
            method=scope["method"],
            target=target + b"?" + query if query else target,
            host=hosts[0] if len(hosts) == 1 else b"",
            scheme=self._proxies.scheme(peer, scope.get("scheme", "http"), headers),
            headers=headers,
            client=self._proxies.client(peer, headers),
            received_ns=scope.get(RECEIVED_NS) or self._edge.now_ns(),
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if self._functions is not None:
                await (self._functions.start() if message["type"] == "lifespan.startup" else self._functions.stop())
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


class FunctionAnswer:
    """A function's answer on its way out: it gets what its arm adds, and is counted when its head is there."""

    def __init__(self, edge: Edge, first: FunctionFirst, request: EdgeRequest, send: Send) -> None:
        self._edge = edge
        self._first = first
        self._request = request
        self._send = send
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if not self.has_begun:
            self.has_begun = True
            self._edge.count(self._first, self._request, message.get("status", HTTPStatus.SWITCHING_PROTOCOLS))
            headers = message.get("headers", ())
            if self._first.fields or deals_bucket(headers):
                message = {**message, "headers": with_arm(without_bucket(headers), self._first.fields)}
        await self._send(message)


async def write_response(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    body = response.body
    for start in range(0, len(body) - BODY_CHUNK_BYTES, BODY_CHUNK_BYTES):
        await send({"type": "http.response.body", "body": body[start : start + BODY_CHUNK_BYTES], "more_body": True})
    rest = (len(body) - 1) // BODY_CHUNK_BYTES * BODY_CHUNK_BYTES if body else 0
    await send({"type": "http.response.body", "body": body[rest:]})
