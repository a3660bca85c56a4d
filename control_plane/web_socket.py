"""The server's half of a WebSocket (RFC 6455), as much as a feed of text messages needs, over the listener's upgrade.

The client's frames are only read for its end and its pings. They may come unmasked: wrangler sends such ones, against
section 5.1, and a peer that is refused for it could never tail.
"""

from base64 import b64encode
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha1
from typing import Any, Final

from router.exchange import UPGRADE

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FRAME_BYTES_MAX: Final = 64 * 1024
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
FINAL_FRAME: Final = 0x80


class WebSocketRefused(Exception):
    """The request can't become a WebSocket; the text says why."""


class WebSocketEnded(Exception):
    """The client has closed it, or broke its rules."""


class WebSocket:
    """An open one. One task sends, another waits in `until_end`."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._data = b""

    async def send_text(self, text: bytes) -> None:
        await self._send_frame(TEXT, text)

    async def until_end(self) -> None:
        """Answers pings until the client closes or goes."""
        try:
            while True:
                opcode, payload = await self._next_frame()
                if opcode == PING:
                    await self._send_frame(PONG, payload)
                elif opcode == CLOSE:
                    return
        except WebSocketEnded:
            return

    async def close(self) -> None:
        await self._send_frame(CLOSE, (1000).to_bytes(2, "big"))
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_frame(self, opcode: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = bytes((FINAL_FRAME | opcode, length))
        elif length < 65_536:
            head = bytes((FINAL_FRAME | opcode, 126)) + length.to_bytes(2, "big")
        else:
            head = bytes((FINAL_FRAME | opcode, 127)) + length.to_bytes(8, "big")
        await self._send({"type": "http.response.body", "body": head + payload, "more_body": True})

    async def _next_frame(self) -> tuple[int, bytes]:
        first, second = await self._take(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self._take(2 if length == 126 else 8), "big")
        if length > FRAME_BYTES_MAX:
            raise WebSocketEnded
        mask = await self._take(4) if second & 0x80 else b""
        payload = await self._take(length)
        if mask:
            payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
        return first & 0x0F, payload

    async def _take(self, count: int) -> bytes:
        while len(self._data) < count:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise WebSocketEnded
            self._data += message["body"]
        taken, self._data = self._data[:count], self._data[count:]
        return taken


async def accept(scope: MutableMapping[str, Any], receive: Receive, send: Send, *, protocol: str) -> WebSocket:
    """`protocol` is chosen where the client offers it. Raises WebSocketRefused."""
    fields = dict(scope["headers"])
    key = fields.get(b"sec-websocket-key", b"")
    if UPGRADE not in scope.get("extensions", {}) or fields.get(b"upgrade", b"").lower() != b"websocket" or not key:
        raise WebSocketRefused("this address is for WebSockets")
    headers = [(b"sec-websocket-accept", b64encode(sha1(key + MAGIC, usedforsecurity=False).digest()))]
    offered = [each.strip() for each in fields.get(b"sec-websocket-protocol", b"").split(b",")]
    if protocol.encode() in offered:
        headers.append((b"sec-websocket-protocol", protocol.encode()))
    await receive()  # the request's own, empty body
    await send({"type": UPGRADE, "headers": headers})
    return WebSocket(receive, send)
