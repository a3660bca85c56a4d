"""Door 2: the edge's handler as an ASGI application, for uvicorn, any other ASGI server, and tests.

It translates and nothing else: scope to EdgeRequest, Response to messages. Bodies of requests that reach assets mean
nothing and aren't read here; the server under it drains or closes.
"""

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from asset_server.message import Response
from router.edge import Edge, EdgeRequest
from router.exchange import RECEIVED_NS

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

FORWARDED_MAX: Final = 16
"""Proxies that a request may have passed, of which we read the addresses."""
BODY_CHUNK_BYTES: Final = 256 * 1024  # each chunk waits for the connection to drain, so a slow reader costs this much


class EdgeApp:
    """One edge as an ASGI app. `trusted_proxies` may say by X-Forwarded-Proto which scheme the client used."""

    def __init__(self, edge: Edge, *, trusted_proxies: Sequence[IpNetwork] = ()) -> None:
        self._edge = edge
        self._trusted_proxies = tuple(trusted_proxies)

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
        return EdgeRequest(
            method=scope["method"],
            target=target + b"?" + query if query else target,
            host=hosts[0] if len(hosts) == 1 else b"",
            scheme=self._scheme(scope, headers),
            headers=headers,
            client=self._client(scope, headers),
            received_ns=scope.get(RECEIVED_NS) or self._edge.now_ns(),
        )

    def _client(self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The address nearest to us that isn't a trusted proxy's; each proxy has appended the one that it saw."""
        client: str = scope["client"][0] if scope.get("client") else ""
        if not self._is_trusted(client):
            return client
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for part in reversed(forwarded.split(b",")[-FORWARDED_MAX:]):
            address = part.strip().decode("latin-1")
            if parse_address(address) is None:
                break
            client = address
            if not self._is_trusted(client):
                break
        return client

    def _is_trusted(self, client: str) -> bool:
        if not self._trusted_proxies:
            return False
        peer = parse_address(client)
        return peer is not None and any(peer in network for network in self._trusted_proxies)

    def _scheme(self, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> str:
        scheme: str = scope.get("scheme", "http")
        if scope.get("client") and self._is_trusted(scope["client"][0]):
            forwarded = [value for name, value in headers if name == b"x-forwarded-proto"]
            if forwarded in ([b"http"], [b"https"]):
                return forwarded[0].decode("ascii")
        return scheme

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return


def parse_address(text: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


async def write_response(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    body = response.body
    for start in range(0, len(body) - BODY_CHUNK_BYTES, BODY_CHUNK_BYTES):
        await send({"type": "http.response.body", "body": body[start : start + BODY_CHUNK_BYTES], "more_body": True})
    rest = (len(body) - 1) // BODY_CHUNK_BYTES * BODY_CHUNK_BYTES if body else 0
    await send({"type": "http.response.body", "body": body[rest:]})
