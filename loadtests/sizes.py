"""Stores of ten to fourteen million deployments side by side: what a visitor, a deploy and a worker notice of the size.

The servers run at once and take turns, one worker on one core each, the load on the other. Every size is asked for as
many hosts, since what more hosts cost is another question; it is answered beside: 10,000 hosts by Zipf's law, where
there are as many. Cold is the first request of each host of a worker just started.

Goals: warm throughput and p99 within 10 % of the smallest size's, cold within 25 %, deploy to live p99 at most 50 ms,
look-ups at most 8 µs (0.5 µs cached), 150 MiB a worker.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.sizes` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import http.client
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from loadtests.live import WORKERS, p99_of, watch_changes
from loadtests.report import Goal, Measured, bars, conclude, options_of, parser_of
from loadtests.resolving import own_hosts, resolve_cost
from loadtests.scale import onehop, private_mib
from loadtests.server import Server, edge_pid, serving, temporary_data
from loadtests.wrk import require_wrk, run_wrk, write_listed

SIZES: Final = (10, 10_000, 1_000_000, 14_000_000)
QUICK_SIZES: Final = (10, 10_000)
SITES_MAX: Final = 1_000
SERVER_CPU, CLIENT_CPU = 0, 1
FEW_HOSTS: Final = 10
MANY_HOSTS: Final = 10_000
COLD_HOSTS: Final = 200
LISTED_REQUESTS: Final = 100_000
WARM_RATIO_MIN, P99_RATIO_MAX, COLD_RATIO_MAX = 0.9, 1.1, 1.25
LIVE_GOAL_S: Final = 0.05
UNCACHED_GOAL_US, CACHED_GOAL_US = 8.0, 0.5
MEMORY_GOAL_MIB: Final = 150


@dataclass
class Size:
    """One store, and what was measured of it: requests per second and seconds, a figure a round."""

    deployments: int
    data: Path
    scripts: Path
    hosts: list[str] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    p99_s: list[float] = field(default_factory=list)
    many_per_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    cold_s: list[float] = field(default_factory=list)
    live_s: list[float] = field(default_factory=list)
    memory_mib: float = 0.0
    uncached_us: float = 0.0
    cached_us: float = 0.0

    def seed(self) -> None:
        sites = min(SITES_MAX, max(2, self.deployments // 10))
        onehop("seed", "--sites", str(sites), "--deployments", str(self.deployments), "--data", str(self.data))
        self.hosts = own_hosts(self.data, min(self.deployments, MANY_HOSTS), seed=self.deployments)

    def look_up(self) -> None:
        cost = resolve_cost(self.data, self.hosts)
        self.uncached_us, self.cached_us = cost.uncached_us, cost.cached_us

    def ask_cold(self) -> None:
        """Of a server that has just started."""
        with serving(self.data, cpu=SERVER_CPU) as server:
            first, *others = ask_each_once(server, self.hosts[:COLD_HOSTS])
            self.first_s.append(first)
            self.cold_s.append(median(others))

    def ask_warm(self, server: Server, seconds: int) -> None:
        few = write_listed(self.scripts, self.hosts[:FEW_HOSTS], ["/"], count=LISTED_REQUESTS, seed=1)
        run = self.load(server, few, seconds)
        self.per_s.append(run[0])
        self.p99_s.append(run[1])
        if len(self.hosts) == MANY_HOSTS:
            many = write_listed(self.scripts, self.hosts, ["/"], count=LISTED_REQUESTS, seed=2)
            self.many_per_s.append(self.load(server, many, seconds)[0])
        self.memory_mib = max(self.memory_mib, private_mib(edge_pid(server)))

    def load(self, server: Server, script: Path, seconds: int) -> tuple[float, float]:
        run = run_wrk(f"http://127.0.0.1:{server.edge_port}", cpu=CLIENT_CPU, seconds=seconds, script=script)
        if run.bad_count:
            raise SystemExit(f"{run.bad_count} of {run.requests_count} requests failed at {self.deployments:,}")
        return run.requests_per_s, run.p99_s

    def deploy(self, rounds: int) -> None:
        with serving(self.data, workers=WORKERS) as server:
            watch = watch_changes(server, rounds)
        if watch.mixtures or watch.went_back:
            raise SystemExit(f"{watch.mixtures} mixtures and {watch.went_back} answers that went back")
        self.live_s = watch.delays["deploy"]


def ask_each_once(server: Server, hosts: list[str]) -> list[float]:
    """Seconds of each; the first one's include the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.edge_port, timeout=30)
    seconds = []
    for host in hosts:
        began = time.perf_counter()
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - began)
        if answer.status != 200:
            raise SystemExit(f"{host} answered {answer.status}")
    connection.close()
    return seconds


def measure(sizes: list[Size], *, rounds: int, seconds: int, live_rounds: int) -> None:
    for size in sizes:
        size.seed()
        size.look_up()
    for _ in range(rounds):
        for size in sizes:
            size.ask_cold()
    with ExitStack() as running:
        servers = [running.enter_context(serving(size.data, cpu=SERVER_CPU)) for size in sizes]
        for turn in range(rounds):
            for size, server in list(zip(sizes, servers, strict=True))[:: 1 if turn % 2 == 0 else -1]:
                size.ask_warm(server, seconds)
    for size in sizes:
        size.deploy(live_rounds)


def parse_sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split(","))
    if not sizes or min(sizes) < FEW_HOSTS or list(sizes) != sorted(set(sizes)):
        raise argparse.ArgumentTypeError(f"numbers from {FEW_HOSTS} on, ascending, with commas between")
    return sizes


def goals_of(sizes: list[Size]) -> dict[str, Goal]:
    smallest, largest = sizes[0], sizes[-1]

    def ratio(of: Callable[[Size], list[float]]) -> float:
        return median(of(largest)) / median(of(smallest))

    return {
        "warm_ratio": Goal(ratio(lambda size: size.per_s), at_least=WARM_RATIO_MIN),
        "warm_p99_ratio": Goal(ratio(lambda size: size.p99_s), at_most=P99_RATIO_MAX),
        "cold_ratio": Goal(ratio(lambda size: size.cold_s), at_most=COLD_RATIO_MAX),
        "live_p99_s": Goal(max(p99_of(size.live_s) for size in sizes), at_most=LIVE_GOAL_S),
        "uncached_us": Goal(max(size.uncached_us for size in sizes[1:] or sizes), at_most=UNCACHED_GOAL_US),
        "cached_us": Goal(max(size.cached_us for size in sizes[1:] or sizes), at_most=CACHED_GOAL_US),
        "memory_mib": Goal(max(size.memory_mib for size in sizes), at_most=MEMORY_GOAL_MIB),
    }


def figures_of(sizes: list[Size]) -> dict[str, Measured]:
    figures = {}
    for size in sizes:
        name = f"{size.deployments:,}"
        figures |= {
            f"{name}: warm": Measured(tuple(size.per_s), "/s"),
            f"{name}: warm p99": Measured(tuple(size.p99_s), "s"),
            f"{name}: first request": Measured(tuple(size.first_s), "s"),
            f"{name}: a host's first": Measured(tuple(size.cold_s), "s"),
            f"{name}: deploy to live": Measured(tuple(size.live_s), "s"),
        }
        if size.many_per_s:
            figures[f"{name}: warm, {MANY_HOSTS:,} hosts"] = Measured(tuple(size.many_per_s), "/s")
    return figures


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", type=parse_sizes, help="deployments, e.g. 10,10000,1000000,14000000 (the default)")
    arguments = parser.parse_args()
    options = options_of(arguments)
    require_wrk()
    counts = arguments.sizes or (QUICK_SIZES if options.quick else SIZES)
    with ExitStack() as held:
        scripts = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="onehop-sizes-")))
        sizes = []
        for count in counts:
            folder = scripts / str(count)
            folder.mkdir()
            sizes.append(Size(count, held.enter_context(temporary_data()), folder))
        if options.quick:
            measure(sizes, rounds=2, seconds=1, live_rounds=10)
        else:
            measure(sizes, rounds=5, seconds=4, live_rounds=100)
    figures = figures_of(sizes)
    parts = [
        f"{size.deployments:,}: {median(size.per_s):,.0f}/s, p99 {median(size.p99_s) * 1e3:.2f} ms, "
        f"a host's first {median(size.cold_s) * 1e3:.2f} ms, look-up {size.uncached_us:.1f} µs "
        f"({size.cached_us:.2f} cached), {size.memory_mib:.0f} MiB, live p99 {p99_of(size.live_s) * 1e3:.0f} ms"
        for size in sizes
    ]
    extra = {
        "sizes": {
            str(size.deployments): {
                "uncached_us": round(size.uncached_us, 2),
                "cached_us": round(size.cached_us, 3),
                "memory_mib": round(size.memory_mib, 1),
                "live_p99_s": round(p99_of(size.live_s), 4),
            }
            for size in sizes
        }
    }
    conclude(
        "sizes",
        options,
        figures,
        extra=extra,
        goals=goals_of(sizes),
        sentence=f"by deployments: {'; '.join(parts)}",
        draw=lambda path: bars(
            path,
            "Requests per second of a core, by deployments in the store",
            [f"{size.deployments:,}" for size in sizes],
            [Measured(tuple(size.per_s), "/s") for size in sizes],
        ),
    )


if __name__ == "__main__":
    main()
