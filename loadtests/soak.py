"""Ten minutes of everything at once, and the memory of a worker all the while: it must not grow.

Five thousand hosts by Zipf's law, unknown hosts, long bodies, changing cookies and queries, connections that are opened
for one request or left half way, refusals, and a deploy every few seconds. Memory is read every second; what counts is
the last third against the one before, when every cache has long been full. Bounded by --seconds.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.soak` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import http.client
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from random import Random
from statistics import median
from typing import Final

from loadtests.report import Goal, Measured, conclude, options_of, parser_of
from loadtests.resolving import own_hosts
from loadtests.scale import onehop, private_mib
from loadtests.server import Server, edge_pid, serving, temporary_data
from loadtests.wrk import require_wrk, run_wrk, write_listed
from router.metrics.reading import read_metrics

SECONDS: Final = 600
QUICK_SECONDS: Final = 30
DEPLOYMENTS: Final = 10_000
HOSTS: Final = 5_000
SERVER_CPU, CLIENT_CPU = 0, 1
DEPLOY_EVERY_S: Final = 5.0
ROUND_S: Final = 5
SITE: Final = "soak"
GROWTH_MIB_MAX: Final = 2.0
MEMORY_GOAL_MIB: Final = 150
LARGE_BYTES: Final = 8 * 1024 * 1024


class Soak:
    """What goes on beside wrk, each in a thread of its own until `ended`."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._ended = threading.Event()
        self.memory_mib: list[float] = []
        self.errors: list[str] = []

    def run(self, script: Path, seconds: int) -> None:
        acts = (self._watch_memory, self._deploy, self._misbehave, self._download)
        threads = [threading.Thread(target=self._until_ended, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        try:
            until_s = time.monotonic() + seconds
            while time.monotonic() < until_s:
                run = run_wrk(
                    f"http://127.0.0.1:{self._server.edge_port}", cpu=CLIENT_CPU, seconds=ROUND_S, script=script
                )
                if run.bad_count:
                    self.errors.append(f"{run.bad_count} of {run.requests_count} requests failed")
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _until_ended(self, act: Callable[[int], float]) -> None:
        """`act` gets its turn's number and says how many seconds later the next is due."""
        turn = 0
        while not self._ended.is_set():
            try:
                pause_s = act(turn)
            except (OSError, http.client.HTTPException, SystemExit) as error:
                self.errors.append(f"{act.__name__}: {error}")
                return
            turn += 1
            self._ended.wait(pause_s)

    def _watch_memory(self, turn: int) -> float:
        self.memory_mib.append(private_mib(edge_pid(self._server)))
        return 1.0

    def _deploy(self, turn: int) -> float:
        (self._folder / "index.html").write_text(f"turn {turn}")
        self._server.onehop("deploy", str(self._folder), "--project", SITE, "--branch", "main", "--json")
        return DEPLOY_EVERY_S

    def _download(self, turn: int) -> float:
        """A long body, every other time left half way."""
        connection = http.client.HTTPConnection("127.0.0.1", self._server.edge_port, timeout=30)
        connection.request("GET", "/large.bin", headers={"Host": f"{SITE}.pages.localhost", "Cookie": f"turn={turn}"})
        answer = connection.getresponse()
        size = len(answer.read(LARGE_BYTES // 3) if turn % 2 else answer.read())
        connection.close()
        if answer.status == 200 and turn % 2 == 0 and size != LARGE_BYTES:
            self.errors.append(f"{size} bytes of a long body")
        return 0.05

    def _misbehave(self, turn: int) -> float:
        """Unknown hosts, blocks that always change, half requests, refused ones."""
        host = f"{SITE}.pages.localhost" if turn % 3 else f"unknown-{turn}.example"
        fields = f"Host: {host}\r\nCookie: a={turn}\r\nX-Request-Id: {turn}\r\n"
        sent = (
            f"GET /?v={turn} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n",
            f"GET / HTTP/1.1\r\n{fields}",
            f"GET /{turn} HTTP/1.1\r\n{fields}{'X: y' * 20_000}\r\n\r\n",
            f"POST / HTTP/1.1\r\n{fields}Content-Length: 100\r\n\r\nx",
        )[turn % 4]
        address = ("127.0.0.1", self._server.edge_port)
        with socket.create_connection(address, timeout=30) as client, suppress(ConnectionError):
            client.sendall(sent.encode())
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass
        return 0.01


def growth_mib(memory_mib: list[float]) -> float:
    """The last third's median over the second third's."""
    third = len(memory_mib) // 3
    return median(memory_mib[-third:]) - median(memory_mib[third : 2 * third])


def make_folder(folder: Path) -> None:
    folder.mkdir()
    (folder / "index.html").write_text("before")
    (folder / "large.bin").write_bytes(Random(8).randbytes(LARGE_BYTES))


def draw_memory(path: Path, memory_mib: list[float]) -> None:
    import matplotlib  # only full runs draw: `--quick` works without it

    matplotlib.use("svg")
    from matplotlib import pyplot

    canvas, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(memory_mib, color="#5b7db1")
    axes.set_ylim(bottom=0)
    axes.set_title("Own memory of an edge worker under everything at once")
    axes.set_xlabel("seconds")
    axes.set_ylabel("MiB")
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, metadata={"Date": None})
    pyplot.close(canvas)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seconds", type=int, help=f"how long; {SECONDS}, with --quick {QUICK_SECONDS}")
    arguments = parser.parse_args()
    options = options_of(arguments)
    require_wrk()
    seconds = arguments.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    with ExitStack() as held:
        made = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="onehop-soak-")))
        data = held.enter_context(temporary_data())
        onehop("seed", "--sites", "100", "--deployments", str(DEPLOYMENTS), "--data", str(data))
        script = write_listed(made, own_hosts(data, HOSTS, seed=3), ["/"], count=100_000, seed=3)
        make_folder(made / "site")
        server = held.enter_context(serving(data, cpu=SERVER_CPU))
        soak = Soak(server, made / "site")
        soak.run(script, seconds)
        counted = read_metrics(data / "metrics")
    memory = soak.memory_mib
    grown = growth_mib(memory)
    for error in soak.errors[:10]:
        print(error)
    figures = {"memory_mib": Measured(tuple(memory), "MiB")}
    conclude(
        "soak",
        options,
        figures,
        goals={
            "growth_mib": Goal(round(grown, 2), at_most=GROWTH_MIB_MAX),
            "memory_mib_max": Goal(max(memory), at_most=MEMORY_GOAL_MIB),
            "errors": Goal(len(soak.errors) + counted.errors_count, at_most=0, must_hold=True),
        },
        extra={"seconds": seconds, "requests": counted.requests_count},
        sentence=(
            f"{seconds} s, {counted.requests_count:,} requests: {median(memory):.0f} MiB, at most {max(memory):.0f}, "
            f"{grown:+.2f} MiB from the second third to the last"
        ),
        draw=lambda path: draw_memory(path, memory),
    )


if __name__ == "__main__":
    main()
