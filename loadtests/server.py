"""A real `onehop serve` for a load test, in processes of its own, on a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from router.metrics.slot import read_slots

ONEHOP = (sys.executable, "-m", "onehop")


@dataclass(frozen=True, slots=True)
class Server:
    """`start_s` is from the command to the word that everything answers."""

    data: Path
    edge_port: int
    api_port: int
    pid: int
    start_s: float

    @property
    def environ(self) -> dict[str, str]:
        token = (self.data / "secrets" / "admin-token").read_text().strip()
        return {
            **os.environ,
            "ONEHOP_DATA": str(self.data),
            "ONEHOP_API_URL": f"http://127.0.0.1:{self.api_port}",
            "ONEHOP_API_TOKEN": token,
        }

    def onehop(self, *arguments: str) -> str:
        done = subprocess.run([*ONEHOP, *arguments], env=self.environ, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"onehop {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def workers_pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children]


def edge_pid(server: Server) -> int:
    """The process id of the server's one edge worker."""
    return next(slot.pid for slot in read_slots(server.data / "metrics") if slot.is_alive and slot.role == "edge 1")


def cpu_s(pid: int) -> float:
    """Processor time of all threads of a process, in steps of nanoseconds (`schedstat` of proc(5))."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def users_environ() -> dict[str, str]:
    """Python keeps what it has compiled, as it does for everyone but who switched that off; 0.1 s of each start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def temporary_data() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="onehop-loadtest-"))
    try:
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(data: Path, *, workers: int = 1, cpu: int | None = None, options: Sequence[str] = ()) -> Iterator[Server]:
    """`cpu` is the one processor that all of the server's processes run on."""
    pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
    started = time.perf_counter()
    process = subprocess.Popen(
        [
            *pinned,
            *ONEHOP,
            "serve",
            "--data",
            str(data),
            "--port",
            "0",
            "--api-port",
            "0",
            "--workers",
            str(workers),
            "--json",
            *options,
        ],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=users_environ(),
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("onehop serve did not start")
        told = json.loads(line)
        yield Server(data, told["edge_port"], told["api_port"], process.pid, time.perf_counter() - started)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
