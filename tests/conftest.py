"""Fixtures that any room's tests may use: a real server in processes of its own, on free ports."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

STOP_TIMEOUT_S = 30


@dataclass
class Answer:
    """One HTTP answer as it came: header names lower case, every field line kept."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def field(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None


@dataclass
class LiveServer:
    """A running `onehop serve`. `pid` leads a process group of its own, so that a test can kill all of it."""

    data: Path
    edge_port: int
    api_port: int
    pid: int
    process: "subprocess.Popen[str]" = field(repr=False)

    @property
    def token(self) -> str:
        return (self.data / "secrets" / "admin-token").read_text().strip()

    @property
    def environ(self) -> dict[str, str]:
        """What the CLI and other clients need to reach this server."""
        return {
            **os.environ,
            "ONEHOP_DATA": str(self.data),
            "ONEHOP_API_URL": f"http://127.0.0.1:{self.api_port}",
            "ONEHOP_API_TOKEN": self.token,
        }

    def get(
        self, host: str, target: str = "/", *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Answer:
        return exchange(self.edge_port, method, target, {"Host": host, **(headers or {})})

    def api(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Calls the API with the admin token; `path` is below /client/v4."""
        answer = exchange(
            self.api_port,
            method,
            "/client/v4" + path,
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            json.dumps(body).encode() if body is not None else None,
        )
        document: dict[str, Any] = json.loads(answer.body)
        return document

    def cli(self, *arguments: str, check: bool = True, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        done = subprocess.run(
            [sys.executable, "-m", "onehop", *arguments], env=self.environ, capture_output=True, text=True, cwd=cwd
        )
        if check and done.returncode != 0:
            raise AssertionError(f"onehop {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start_cli(self, *arguments: str) -> "subprocess.Popen[str]":
        """As `cli`, without waiting for its end."""
        return subprocess.Popen(
            [sys.executable, "-m", "onehop", *arguments], env=self.environ, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def kill(self) -> None:
        """Every process of it at once, as a power cut would."""
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(timeout=STOP_TIMEOUT_S)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=STOP_TIMEOUT_S)


def exchange(port: int, method: str, target: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.putrequest(method, target, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        return Answer(response.status, [(key.lower(), value) for key, value in response.getheaders()], content)
    finally:
        connection.close()


@contextmanager
def serving(data: Path, *options: str, environ: Mapping[str, str] | None = None) -> Iterator[LiveServer]:
    """`onehop serve --port 0` until the block ends; it must then have stopped by itself with exit code 0."""
    process = subprocess.Popen(
        [sys.executable, "-m", "onehop", "serve", "--data", str(data), "--port", "0", "--api-port", "0", "--json",
         *(() if "--workers" in options else ("--workers", "1")), *options],
        stdout=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **(environ or {})},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"onehop serve ended with {process.wait(timeout=STOP_TIMEOUT_S)} before it was ready")
        told = json.loads(line)
        yield LiveServer(data, told["edge_port"], told["api_port"], process.pid, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=STOP_TIMEOUT_S)
        process.stdout.close()


Serve = Callable[..., LiveServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers as a test needs them; each is stopped at its end."""
    with ExitStack() as stack:

        def start(*options: str, data: Path | None = None, environ: Mapping[str, str] | None = None) -> LiveServer:
            return stack.enter_context(serving(data or tmp_path / "data", *options, environ=environ))

        yield start


@pytest.fixture(scope="module")
def live_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One server for all tests of a module."""
    with serving(tmp_path_factory.mktemp("live") / "data") as server:
        yield server
