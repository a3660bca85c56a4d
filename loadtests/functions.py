"""What Onehop adds to workerd: the same worker asked through an edge and asked of a plain workerd, in turn.

Also the first request of a function of 10 KB that nobody has asked before, and whether the static files of a site
with functions (left out by its `_routes.json`) are as quick as those of a site without. One connection, one request
at a time: what counts is the time to an answer, not how many fit. And how long visitors wait when workerd is killed
while others ask. Goals: 0.5 ms at the median and 2 ms at p99, 15 ms cold, a ratio of 0.95, an answer within 1 s of the
kill and none that failed.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.functions` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import json
import os
import signal
import tempfile
import threading
from typing import Final

from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data
from loadtests.workerd import Asker, find_workerd, percentile, plain_workerd, workerd_pids

DOMAIN: Final = "pages.localhost"
WORKER: Final = """\
export default {
  fetch(request) {
    const { pathname } = new URL(request.url);
    return Response.json({ path: pathname, agent: request.headers.get("user-agent") });
  },
};
"""
COLD_BYTES: Final = 10_000
ROUTES: Final = json.dumps({"version": 1, "include": ["/*"], "exclude": ["/static/*"]})
PAGE: Final = b"static " * 200
LOADERS: Final = 4
ASKS_BETWEEN_KILLS: Final = 100
"""So that no request is under way through two kills."""


def write_site(folder: Path, *, worker: str | None) -> Path:
    (folder / "static").mkdir(parents=True)
    (folder / "static" / "page.txt").write_bytes(PAGE)
    if worker is not None:
        (folder / "_worker.js").write_text(worker)
        (folder / "_routes.json").write_text(ROUTES)
    return folder


def cold_worker(number: int) -> str:
    """A bundle of its own of about 10 KB."""
    filler = "".join(f"export function f{index}(a) {{ return a * {index} + {number}; }}\n" for index in range(200))
    return (WORKER + filler)[: COLD_BYTES - 1] + "\n" if len(WORKER + filler) < COLD_BYTES else WORKER + filler


def deploy(server: Server, folder: Path, site: str) -> str:
    """Its host."""
    server.onehop("deploy", str(folder), "--project", site, "--branch", "main", "--json")
    return f"{site}.{DOMAIN}"


def overheads(server: Server, host: str, plain_port: int, *, rounds: int, asks: int) -> tuple[Measured, Measured]:
    """At the median and at p99, a figure a round, in ms."""
    ours, plain = Asker(server.edge_port, host), Asker(plain_port, host)
    for asker in (ours, plain):
        for _ in range(asks):
            asker.ask("/api/warm")
    medians, tails = [], []
    for _ in range(rounds):
        our_times, plain_times = [], []
        for _ in range(asks):  # one by one, so that whatever else the machine does falls on both
            our_times.append(ours.ask("/api/x"))
            plain_times.append(plain.ask("/api/x"))
        medians.append(percentile(our_times, 0.5) - percentile(plain_times, 0.5))
        tails.append(percentile(our_times, 0.99) - percentile(plain_times, 0.99))
    return Measured(tuple(medians), "ms"), Measured(tuple(tails), "ms")


def cold_times(server: Server, hosts: list[str]) -> Measured:
    times = []
    for host in hosts:
        asker = Asker(server.edge_port, host)
        times.append(asker.ask("/api/cold"))
        asker.close()
    return Measured(tuple(times), "ms")


def static_ratios(server: Server, with_function: str, without: str, *, rounds: int, asks: int) -> Measured:
    """Speed of the one to that of the other: 1 is alike, less is slower."""
    first, second = Asker(server.edge_port, with_function), Asker(server.edge_port, without)
    ratios = []
    for _ in range(rounds):
        with_times, without_times = [], []
        for _ in range(asks):
            with_times.append(first.ask("/static/page.txt"))
            without_times.append(second.ask("/static/page.txt"))
        ratios.append(percentile(without_times, 0.5) / percentile(with_times, 0.5))
    return Measured(tuple(ratios), "")


def kill_times(server: Server, host: str, *, kills: int) -> tuple[Measured, int]:
    """From a SIGKILL of every workerd to the answer of a request that comes right after it, and how many requests of
    the others failed; each is a GET, which is sent once more when its process dies under it."""
    done = threading.Event()
    failed: list[str] = []

    def load() -> None:
        while not done.is_set():
            try:
                Asker(server.edge_port, host).ask("/api/load")
            except (SystemExit, OSError) as error:
                failed.append(str(error))

    loaders = [threading.Thread(target=load) for _ in range(LOADERS)]
    for each in loaders:
        each.start()
    times = []
    for _ in range(kills):
        for pid in workerd_pids(server):
            os.kill(pid, signal.SIGKILL)
        asker = Asker(server.edge_port, host)
        times.append(asker.ask("/api/back"))
        for _ in range(ASKS_BETWEEN_KILLS):
            asker.ask("/api/between")
        asker.close()
    done.set()
    for each in loaders:
        each.join()
    for text in failed[:3]:
        print(f"failed: {text}", file=sys.stderr)
    return Measured(tuple(times), "ms"), len(failed)


def main() -> None:
    options = parse_options(__doc__)
    rounds, asks, cold_count, kills = (7, 400, 8, 5) if options.quick else (20, 1_500, 30, 20)
    workerd = ("--workerd", str(find_workerd()))
    with (
        temporary_data() as data,
        tempfile.TemporaryDirectory() as made,
        plain_workerd(WORKER) as plain_port,
        serving(data, options=workerd) as server,
    ):
        root = Path(made)
        warm = deploy(server, write_site(root / "warm", worker=WORKER), "warm")
        static = deploy(server, write_site(root / "static", worker=None), "static")
        cold = [
            deploy(server, write_site(root / f"cold{number}", worker=cold_worker(number)), f"cold{number}")
            for number in range(cold_count)
        ]
        overhead_p50, overhead_p99 = overheads(server, warm, plain_port, rounds=rounds, asks=asks)
        figures = {
            "overhead_p50_ms": overhead_p50,
            "overhead_p99_ms": overhead_p99,
            "cold_ms": cold_times(server, cold),
            "static_ratio": static_ratios(server, warm, static, rounds=rounds, asks=asks),
        }
        back, failed_count = kill_times(server, warm, kills=kills)
        figures["back_ms"] = back
    sentence = (
        f"beyond plain workerd: {overhead_p50} at the median, {overhead_p99} at p99; cold {figures['cold_ms']}; "
        f"static files of a site with functions at {figures['static_ratio']}of one without; "
        f"answered {back} after workerd was killed under load, at most {max(back.rounds):.0f} ms, {failed_count} failed"
    )
    conclude(
        "functions",
        options,
        figures,
        extra={"back_ms_max": max(back.rounds), "failed": failed_count},
        goals={
            "overhead_p50_ms": Goal(overhead_p50.median, at_most=0.5),
            "overhead_p99_ms": Goal(overhead_p99.median, at_most=2),
            "cold_ms": Goal(figures["cold_ms"].median, at_most=15),
            "static_ratio": Goal(figures["static_ratio"].median, at_least=0.95),
            "back_ms_max": Goal(max(back.rounds), at_most=1_000),
            "failed": Goal(failed_count, at_most=0),
        },
        sentence=sentence,
        draw=lambda path: bars(
            path,
            "What a function's answer costs beyond plain workerd",
            ["median", "p99", "first request"],
            [overhead_p50, overhead_p99, figures["cold_ms"]],
        ),
    )


if __name__ == "__main__":
    main()
