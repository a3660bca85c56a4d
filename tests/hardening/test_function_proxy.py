"""The hop to workerd and back, over raw sockets: messages are made anew, both ways stream, tunnels carry bytes."""

import socket
from collections.abc import Iterator

import pytest

from tests.function_sites import FunctionServer, function_server

WORKER = """
export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (pathname === "/echo") return new Response(request.body);
    if (pathname === "/count") {
      let count = 0;
      for await (const part of request.body ?? []) count += part.byteLength;
      return new Response(`${count}`);
    }
    if (pathname === "/fields") return new Response([...request.headers.keys()].join());
    if (pathname === "/socket") {
      const [client, server] = Object.values(new WebSocketPair());
      server.accept();
      server.addEventListener("message", ({ data }) => server.send(`heard ${data}`));
      return new Response(null, { status: 101, webSocket: client });
    }
    return new Response("page");
  },
};
"""
HOST = b"Host: proxied.pages.localhost\r\n"


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with function_server(tmp_path_factory.mktemp("proxy")) as server:
        server.deploy("proxied", WORKER)
        yield server


def connect(functions: FunctionServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", functions.server.edge_port), timeout=60)


def exchanged(functions: FunctionServer, request: bytes) -> bytes:
    """All that comes back until the server closes, as the request must ask for."""
    with connect(functions) as connection:
        connection.sendall(request)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


@pytest.mark.parametrize(
    ("framing", "body", "expected"),
    [
        (b"Content-Length: 5\r\n", b"hello", b"hello"),
        (b"Transfer-Encoding: chunked\r\n", b"2;ext=1\r\nhe\r\n03\r\nllo\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (b"Content-Length: 0\r\n", b"", b""),
        (b"", b"", b""),
    ],
)
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE"])
def test_hardening_80_a_body_is_framed_anew(
    functions: FunctionServer, method: bytes, framing: bytes, body: bytes, expected: bytes
) -> None:
    request = method + b" /echo HTTP/1.1\r\n" + HOST + framing + b"Connection: close\r\n\r\n" + body
    head, _, received = exchanged(functions, request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert expected in received
    assert b"ext=1" not in received
    assert b"trailer" not in head.lower()


def test_hardening_80_a_get_with_a_length_and_a_body_leaves_the_next_request_whole(functions: FunctionServer) -> None:
    first = b"GET /fields HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
    second = b"GET /fields HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    assert exchanged(functions, first + second).count(b"HTTP/1.1 200 OK") == 2


def test_a_large_body_passes_and_its_answer_comes_while_it_is_sent(functions: FunctionServer) -> None:
    size = 30_000_000
    with connect(functions) as connection:
        connection.sendall(b"POST /count HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % size)
        connection.sendall(b"x" * size)
        assert connection.recv(65_536).endswith(b"%d" % size)
    with connect(functions) as connection:
        connection.sendall(b"POST /echo HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
        for part in (b"one", b"two", b"three"):
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            received = b""
            while part not in received:
                received += connection.recv(65_536)
        connection.sendall(b"0\r\n\r\n")


def test_head_has_no_body_and_keeps_its_connection(functions: FunctionServer) -> None:
    both = b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n" + b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    received = exchanged(functions, both)
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.count(b"page") == 1


def test_a_websocket_carries_messages_both_ways_and_ends_with_either_side(functions: FunctionServer) -> None:
    with connect(functions) as connection:
        connection.sendall(
            b"GET /socket HTTP/1.1\r\n" + HOST + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = connection.recv(65_536)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head.lower().replace(
            b"s3pplmbitxaq9kygzzhzrbk+xoo=", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        )
        for text in (b"hello", b"again"):
            connection.sendall(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)
            assert connection.recv(65_536) == bytes((0x81, 6 + len(text))) + b"heard " + text
        connection.sendall(b"\x88\x80" + bytes(4))
        assert connection.recv(65_536).startswith(b"\x88")
        assert connection.recv(65_536) == b""


def test_clients_that_leave_early_leave_the_others_served(functions: FunctionServer) -> None:
    for _ in range(20):
        with connect(functions) as connection:
            connection.sendall(b"POST /count HTTP/1.1\r\n" + HOST + b"Content-Length: 1000000\r\n\r\nhalf")
    assert functions.get("proxied").body == b"page"
