"""One request to a server and its answer, byte for byte, and the sites that the parity tests ask about.

A target goes out exactly as written: an ordinary client would repair or escape the odd ones, and the odd ones are what
both servers must agree on.
"""

import http.client
import socket
from dataclasses import dataclass
from typing import Final

ANSWER_TIMEOUT_S: Final = 20


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to both servers. `target` is text of which each character is one byte (latin-1)."""

    target: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __str__(self) -> str:
        fields = "".join(f" [{name}: {value}]" for name, value in self.fields)
        return f"{self.method} {self.target}{fields}"

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Site:
    """A folder to serve, the rules of spec/pages-serving.md that it was made for, and what to ask of it."""

    name: str
    files: tuple[tuple[str, bytes], ...]
    redirects: str
    headers: str
    asks: tuple[Ask, ...]
    covers: str = ""

    def paths(self) -> list[str]:
        return ["/" + path for path, _content in self.files]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: tuple[tuple[str, str], ...]
    """Names in lower case, in order, repeated ones kept."""
    body: bytes

    def field(self, name: str) -> str | None:
        values = [value for key, value in self.fields if key == name]
        return ", ".join(values) if values else None


def ask_server(ask: Ask, *, port: int, host: str) -> Answer:
    lines = [f"{ask.method} {ask.target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in ask.fields]
    lines += [f"Content-Length: {len(ask.body)}"] if ask.method in ("POST", "PUT", "PATCH") else []
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S) as connection:
        connection.sendall(head + ask.body)
        response = http.client.HTTPResponse(connection, method=ask.method)
        try:
            response.begin()
            body = response.read()
        finally:
            response.close()
        fields = tuple((name.lower(), value) for name, value in response.getheaders())
        return Answer(response.status, fields, body)
