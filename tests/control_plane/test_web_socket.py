"""The server's half of a WebSocket, against frames made by hand."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from control_plane.web_socket import WebSocketRefused, accept
from router.exchange import UPGRADE

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3, with the answer that it wants
ACCEPTED = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Client:
    """What the client sends, and what it got."""

    def __init__(self, *sent: bytes) -> None:
        self._messages = [b"", *sent]
        self.got: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._messages:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._messages.pop(0), "more_body": True}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.got.append(message)

    @property
    def frames(self) -> bytes:
        return b"".join(each["body"] for each in self.got if each["type"] == "http.response.body")


def scope(**fields: bytes) -> dict[str, Any]:
    headers = {"upgrade": b"websocket", "sec-websocket-key": KEY, **fields}
    return {
        "headers": [(name.replace("_", "-").encode(), value) for name, value in headers.items()],
        "extensions": {UPGRADE: {}},
    }


async def test_the_handshake_proves_the_key_and_echoes_the_protocol() -> None:
    client = Client()
    await accept(scope(sec_websocket_protocol=b"a, trace-v1"), client.receive, client.send, protocol="trace-v1")
    assert client.got == [
        {"type": UPGRADE, "headers": [(b"sec-websocket-accept", ACCEPTED), (b"sec-websocket-protocol", b"trace-v1")]}
    ]


async def test_what_asks_for_no_websocket_is_refused() -> None:
    client = Client()
    for wrong in (scope(upgrade=b"h2c"), scope(sec_websocket_key=b""), {**scope(), "extensions": {}}):
        with pytest.raises(WebSocketRefused):
            await accept(wrong, client.receive, client.send, protocol="x")


@pytest.mark.parametrize(
    "frames",
    [
        (b"\x81\x85\x01\x02\x03\x04", b"igokn", b"\x89\x02hi", b"\x88\x00"),
        (b"\x81", b"\x0f", b'{"debug":false}', b"\x89\x02hi\x88\x00"),
    ],
)
async def test_masked_and_unmasked_frames_are_read_and_pings_answered(frames: tuple[bytes, ...]) -> None:
    client = Client(*frames)
    socket = await accept(scope(), client.receive, client.send, protocol="x")
    await socket.until_end()
    assert client.frames == b"\x8a\x02hi"


async def test_a_frame_that_is_too_long_or_a_client_that_went_ends_it() -> None:
    for frames in ((b"\x81\x7f" + (2**40).to_bytes(8, "big"),), ()):
        client = Client(*frames)
        await (await accept(scope(), client.receive, client.send, protocol="x")).until_end()


@pytest.mark.parametrize(
    ("length", "head"),
    [(5, b"\x81\x05"), (300, b"\x81\x7e\x01\x2c"), (70_000, b"\x81\x7f" + (70_000).to_bytes(8, "big"))],
)
async def test_text_goes_out_in_one_frame(length: int, head: bytes) -> None:
    client = Client()
    socket = await accept(scope(), client.receive, client.send, protocol="x")
    await socket.send_text(b"x" * length)
    assert client.frames == head + b"x" * length
