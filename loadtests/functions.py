"""What Onehop adds to workerd: the same worker asked through an edge and asked of a plain workerd, in turn.

Also the first request of a function of 10 KB that nobody has asked before, and whether the static files of a site
with functions (left out by its `_routes.json`) are as quick as those of a site without. One connection, one request
at a time: what counts is the time to an answer, not how many fit. Goals: 0.5 ms at the median and 2 ms at p99, 15 ms
cold, a ratio of 0.95.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.functions` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import json
import tempfile
from typing import Final

from loadtests.report import Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data
from loadtests.workerd import Asker, find_workerd, percentile, plain_workerd

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


def main() -> None:
    options = parse_options(__doc__)
    rounds, asks, cold_count = (7, 400, 8) if options.quick else (20, 1_500, 30)
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
    sentence = (
        f"beyond plain workerd: {overhead_p50} at the median, {overhead_p99} at p99; cold {figures['cold_ms']}; "
        f"static files of a site with functions at {figures['static_ratio']}of one without"
    )
    conclude(
        "functions",
        options,
        figures,
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
