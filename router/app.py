"""Door 2: the edge's handler as an ASGI application, for uvicorn, any other ASGI server, and tests.

It translates and nothing else: scope to EdgeRequest, Response to messages. Bodies of requests that reach assets mean
nothing and aren't read here; the server under it drains or closes.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from asset_server.message import Response
from router.edge import Edge, EdgeRequest
from router.exchange import RECEIVED_NS
from router.forwarded import TrustedProxies

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY_CHUNK_BYTES: Final = 256 * 1024  # each chunk waits for the connection to drain, so a slow reader costs this much


class EdgeApp:
    """One edge as an ASGI app."""

    def __init__(self, edge: Edge, *, proxies: TrustedProxies = TrustedProxies()) -> None:  # noqa: B008  # frozen
        self._edge = edge
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the edge answers HTTP, not {scope['type']!r}")
        await write_response(self._edge.handle(self._edge_request(scope)), send)

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
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


async def write_response(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    body = response.body
    for start in range(0, len(body) - BODY_CHUNK_BYTES, BODY_CHUNK_BYTES):
        await send({"type": "http.response.body", "body": body[start : start + BODY_CHUNK_BYTES], "more_body": True})
    rest = (len(body) - 1) // BODY_CHUNK_BYTES * BODY_CHUNK_BYTES if body else 0
    await send({"type": "http.response.body", "body": body[rest:]})
