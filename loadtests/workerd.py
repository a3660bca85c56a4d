"""workerd for the load tests: where it is, those of a server, a plain one, and one connection that asks in turn."""

import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from loadtests.server import Server

REPOSITORY: Final = Path(__file__).parent.parent
ARCHITECTURES: Final = {"x86_64": "64", "aarch64": "arm64"}
ANSWER_BYTES_MAX: Final = 1024 * 1024
START_S_MAX: Final = 20.0
CONFIG: Final = """\
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")], compatibilityDate = "2026-01-01",
  ))],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
"""


def find_workerd() -> Path:
    """ONEHOP_WORKERD, or the one that the tests' newer wrangler brings along."""
    named = os.environ.get("ONEHOP_WORKERD")
    package = f"workerd-linux-{ARCHITECTURES.get(platform.machine(), 'unknown')}"
    brought = REPOSITORY / "tests/e2e/wrangler-4.164/node_modules/@cloudflare" / package / "bin/workerd"
    program = Path(named) if named else brought
    if not program.is_file():
        raise SystemExit(f"no workerd at {program}: run .ci/install-real-parts, or set ONEHOP_WORKERD")
    return program


def workerd_pids(server: Server) -> list[int]:
    """The edge workers' children."""
    found = []
    for worker in server.workers_pids():
        found += [int(pid) for pid in Path(f"/proc/{worker}/task/{worker}/children").read_text().split()]
    return found


@contextmanager
def plain_workerd(worker: str) -> Iterator[int]:
    """workerd with nothing of ours, serving one worker on a port of its own, which is yielded."""
    folder = Path(tempfile.mkdtemp(prefix="onehop-loadtest-workerd-"))
    (folder / "worker.js").write_text(worker)
    (folder / "config.capnp").write_text(CONFIG)
    listener = socket.create_server(("127.0.0.1", 0))
    process = subprocess.Popen(
        [find_workerd(), "serve", f"--socket-fd=http={listener.fileno()}", folder / "config.capnp"],
        pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield listener.getsockname()[1]
    finally:
        process.terminate()
        process.wait(timeout=START_S_MAX)
        listener.close()
        shutil.rmtree(folder, ignore_errors=True)


class Asker:
    """One connection to one host, asking for one thing after the other."""

    def __init__(self, port: int, host: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=START_S_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host = host

    def ask(self, target: str) -> float:
        """Milliseconds to the whole answer, which must be a 200 that says its length."""
        request = f"GET {target} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode()
        started = time.perf_counter()
        self._socket.sendall(request)
        answer = self._socket.recv(ANSWER_BYTES_MAX)
        while not is_whole(answer):
            more = self._socket.recv(ANSWER_BYTES_MAX)
            if not more:
                raise SystemExit(f"{self._host}{target}: the connection ended within {answer[:200]!r}")
            answer += more
        elapsed_ms = (time.perf_counter() - started) * 1000
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"{self._host}{target}: {answer[:200]!r}")
        return elapsed_ms

    def close(self) -> None:
        self._socket.close()


def is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = next(line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length)


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]
