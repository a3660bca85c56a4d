"""Time to the first byte by scheme, over sites of 10 to 50,000 deployments: four arms, in turn, in one run.

    legacy            parse the site's table, compile and try pattern after pattern, for each request
    legacy-compiled   parsed and compiled once a version of the table; patterns tried for each request
    hashed-uncached   one keyed hash and one get for each request: its Host is spelt as none before it
    hashed            as it is served: the decision is cached

The arms are set by the policy, over the same sites; hosts are spread evenly over a site, and so over its table. One
worker, pinned to one processor, and the load on the other. TTFB is measured with one connection, so that nothing waits
in line; throughput with several. Shares of a processor say which side was the bottleneck.
Goals (p50, hashed against legacy): at least 10 × at 10,000 deployments and 50 × at 50,000.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.ttfb` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any, Final

from loadtests.report import FIGURES, Goal, Measured, conclude, parse_options
from loadtests.schemes import Site, seed_sites, set_policy
from loadtests.server import Server, cpu_s, edge_pid, serving, temporary_data
from loadtests.ttfb_plots import draw
from router.metrics.catalogue import CONNECTIONS, DECISION_MISSES, REQUESTS, cell
from router.metrics.reading import Reading, read_metrics

ARMS: Final = ("legacy", "legacy-compiled", "hashed-uncached", "hashed")
SIZES: Final = (10, 100, 1_000, 10_000, 50_000)
SIZES_QUICK: Final = (10, 1_000, 10_000, 50_000)
SERVER_CPU, LOAD_CPU = 0, 1
LOOK_S: Final = 0.05
SETTLES_WITHIN_S: Final = 120.0
LOADED_USERS: Final = 4
PUBLISHED: Final = {
    "parse_ms_at_10000": 107,
    "match_ms_at_10000": 29,
    "overall_before_ms": 600,
    "overall_after_ms": 60,
}
"""What was published of the change that this repeats: parsing and matching a table of 10,000, and TTFB as a whole."""

TABLE_HEAD: Final = f"""# Time to the first byte, by arm

`loadtests.ttfb` wrote this. p50, p90, p99 and CPU a request: one connection. Requests/s, and the shares that the worker
and the load took of their processor: {LOADED_USERS} connections. A share near 100 % is a side that limited. Where both
are below, neither did: {LOADED_USERS} connections were waiting for each other's answers, or other programs had the
processors. The load's share says how much faster it could have asked: where it is far below the worker's, the load
wasn't the bottleneck, and ratios of p50 are the arms'. The worker's own p50 runs from a request's last header byte to
its answer, by its metrics, which also prove that each request was answered by the arm it is listed under.

Published of the change that this repeats: {PUBLISHED["parse_ms_at_10000"]} ms to parse and
{PUBLISHED["match_ms_at_10000"]} ms to match a table of 10,000 deployments; TTFB overall, with the network, from
{PUBLISHED["overall_before_ms"]} to {PUBLISHED["overall_after_ms"]} ms.
"""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is asked. `hosts_count` by whether the arm is a legacy one, which takes long at each of them."""

    sizes: tuple[int, ...]
    rounds: int
    hosts_count: Mapping[bool, int]
    requests_max: int
    seconds_max: float
    loaded_seconds: float
    loaded_rounds: int
    loaded_users: int = LOADED_USERS


FULL: Final = Extent(SIZES, 5, {True: 12, False: 480}, 480, 2.0, 1.5, 3)
QUICK: Final = Extent(SIZES_QUICK, 3, {True: 3, False: 120}, 240, 0.3, 0.2, 1, loaded_users=2)


@dataclass(slots=True)
class Arm:
    """One arm at one size, over all rounds. `worker_p50_s` is by the worker's own metrics, from a request's last header
    byte to its answer. Shares are of one processor."""

    p50_s: list[float] = field(default_factory=list)
    worker_p50_s: list[float] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)
    server_share: list[float] = field(default_factory=list)
    load_share: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        ordered = sorted(self.times_s)
        return {
            "p50_ms": median(self.p50_s) * 1000,
            "worker_p50_ms": median(self.worker_p50_s) * 1000,
            "p90_ms": ordered[int(len(ordered) * 0.9)] * 1000,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1000,
            "requests": len(ordered),
            "cpu_ms": median(self.cpu_s) * 1000,
            "per_s": median(self.per_s),
            "server_share": mean(self.server_share),
            "load_share": mean(self.load_share),
        }


class Load:
    """The locust process."""

    def __init__(self, port: int) -> None:
        self._port = port
        command = [sys.executable, "-m", "loadtests.ttfb_users"]
        self._process = subprocess.Popen(
            ["taskset", "-c", str(LOAD_CPU), *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, hosts: list[str], **limits: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"port": self._port, "hosts": hosts, **limits}) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        if told["failures"]:
            raise SystemExit(f"{len(told['failures'])} requests failed: {told['failures'][0]}")
        return told

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def loading(port: int) -> Iterator[Load]:
    load = Load(port)
    try:
        yield load
    finally:
        load.close()


def measure(load: Load, server: Server, extent: Extent, arm: str, site: Site, into: Arm, turn: int) -> None:
    pid, metrics = edge_pid(server), server.data / "metrics"
    is_legacy = arm.startswith("legacy")
    hosts = site.spread(extent.hosts_count[is_legacy], turn)
    fresh = {"is_fresh": arm == "hashed-uncached"}
    first = {"users_count": 1, "requests_min": 1, "requests_max": 1, "seconds_max": 0.0}
    if arm == "legacy-compiled":
        load.run(hosts[:1], **fresh, **first)  # compiles the table
    elif arm == "hashed":
        load.run(hosts, **fresh, **{**first, "requests_min": len(hosts), "requests_max": len(hosts)})
    before, before_s = settled(metrics), cpu_s(pid)
    asked = load.run(
        hosts,
        **fresh,
        users_count=1,
        requests_min=len(hosts) if is_legacy else 1,
        requests_max=extent.requests_max,
        seconds_max=extent.seconds_max,
    )
    into.cpu_s.append((cpu_s(pid) - before_s) / len(asked["times_s"]))
    into.p50_s.append(median(asked["times_s"]))
    into.worker_p50_s.append(prove_arm(arm, settled(metrics).since(before), len(asked["times_s"])))
    into.times_s += asked["times_s"]
    if turn >= extent.loaded_rounds:
        return
    before_s = cpu_s(pid)
    users = extent.loaded_users
    loaded = load.run(
        hosts, **fresh, users_count=users, requests_min=users, requests_max=10**7, seconds_max=extent.loaded_seconds
    )
    into.per_s.append(len(loaded["times_s"]) / loaded["elapsed_s"])
    into.server_share.append((cpu_s(pid) - before_s) / loaded["elapsed_s"])
    into.load_share.append(loaded["cpu_s"] / loaded["elapsed_s"])


def settled(metrics: Path) -> Reading:
    """Once the load before has no connection any more: one that ends by time leaves requests that are still being
    answered, for seconds by the legacy scheme."""
    gives_up_s = time.monotonic() + SETTLES_WITHIN_S
    while time.monotonic() < gives_up_s:
        reading = read_metrics(metrics)
        edges = [slot for slot in reading.living if slot.role.startswith("edge")]
        if edges and not any(slot.cells[cell(CONNECTIONS)] for slot in edges):
            return reading
        time.sleep(LOOK_S)
    raise SystemExit(f"the worker had connections open {SETTLES_WITHIN_S:g} s after the load ended")


def prove_arm(arm: str, passed: Reading, requests_count: int) -> float:
    """That the worker counted all requests as this arm's; the p50 that it measured itself."""
    scheme = arm.removesuffix("-uncached")
    misses = {"hashed": 0, "hashed-uncached": requests_count}.get(arm, passed.count(DECISION_MISSES))
    if (passed.count(REQUESTS, scheme=scheme, status="2xx"), passed.count(DECISION_MISSES)) != (requests_count, misses):
        counted = passed.count(REQUESTS, scheme=scheme, status="2xx")
        raise SystemExit(f"{requests_count} requests, {counted} counted as answered by the arm {arm}")
    if arm == "legacy" and passed.resolve_seconds(scheme=scheme).count != requests_count:
        raise SystemExit("the legacy arm didn't search its table for each request")
    return passed.request_seconds(scheme=scheme).quantile(0.5) or 0.0


def measure_all(extent: Extent) -> dict[tuple[int, str], Arm]:
    arms = {(size, arm): Arm() for size in extent.sizes for arm in ARMS}
    with ExitStack() as stack:
        data = stack.enter_context(temporary_data())
        sites = dict(zip(extent.sizes, seed_sites(data, extent.sizes), strict=True))
        server = stack.enter_context(serving(data, cpu=SERVER_CPU))
        load = stack.enter_context(loading(server.edge_port))
        for turn in range(extent.rounds):
            for arm in ARMS:
                scheme = arm.removesuffix("-uncached")
                set_policy(data, {site.name: scheme for site in sites.values()})
                for size, site in sites.items():
                    measure(load, server, extent, arm, site, arms[size, arm], turn)
    return arms


def render_table(arms: Mapping[tuple[int, str], Arm]) -> str:
    lines = [
        "| deployments | arm | p50 | p90 | p99 | p50 in worker | asked | CPU a request | requests/s | worker | load |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (size, arm), measured in arms.items():
        row = measured.row()
        times = " | ".join(short_ms(row[name]) for name in ("p50_ms", "p90_ms", "p99_ms", "worker_p50_ms"))
        lines.append(
            f"| {size:,} | {arm} | {times} | {row['requests']:,} | {short_ms(row['cpu_ms'])} | {short(row['per_s'])} "
            f"| {row['server_share']:.0%} | {row['load_share']:.0%} |"
        )
    return "\n".join(lines) + "\n"


def short_ms(value: float) -> str:
    return f"{short(value)} ms"


def short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def tell(extent: Extent, ratios: Mapping[str, Mapping[str, float]], arms: Mapping[tuple[int, str], Arm]) -> str:
    """The line for RESULTS.md."""
    against_legacy = ", ".join(f"{ratios['legacy'][str(size)]:,.0f} × at {size:,}" for size in extent.sizes)
    against_compiled = ", ".join(f"{ratios['legacy-compiled'][str(size)]:,.1f} ×" for size in extent.sizes)
    share = max(arm.row()["load_share"] for arm in arms.values())
    return (
        f"TTFB (p50) of hashed, against legacy: {against_legacy} deployments; against legacy-compiled: "
        f"{against_compiled}; the load took at most {share:.0%} of its processor ([all figures](figures/ttfb.md))"
    )


def main() -> None:
    options = parse_options(__doc__)
    extent = QUICK if options.quick else FULL
    arms = measure_all(extent)
    figures = {
        f"{arm}_{size}_p50_ms": Measured(tuple(each * 1000 for each in measured.p50_s), "ms")
        for (size, arm), measured in arms.items()
    }
    ratios = {
        other: {
            str(size): round(figures[f"{other}_{size}_p50_ms"].median / figures[f"hashed_{size}_p50_ms"].median, 1)
            for size in extent.sizes
        }
        for other in ARMS[:-1]
    }
    table = render_table(arms)
    print(table, file=sys.stderr)
    if not options.quick:
        (FIGURES / "ttfb.md").write_text(f"{TABLE_HEAD}\n{table}")
    rows = {key: measured.row() for key, measured in arms.items()}
    conclude(
        "ttfb",
        options,
        figures,
        extra={
            "ratio_p50": ratios["legacy"],
            "ratio_p50_legacy_compiled": ratios["legacy-compiled"],
            "ratio_p50_hashed_uncached": ratios["hashed-uncached"],
            "load_share_max": max(row["load_share"] for row in rows.values()),
            "rows": {f"{arm} {size}": row for (size, arm), row in rows.items()},
            "published": PUBLISHED,
        },
        goals={
            "legacy / hashed at 10,000": Goal(ratios["legacy"]["10000"], at_least=10),
            "legacy / hashed at 50,000": Goal(ratios["legacy"]["50000"], at_least=50),
        },
        sentence=tell(extent, ratios, arms),
        draw=lambda path: draw(path, rows, ARMS, PUBLISHED),
    )


if __name__ == "__main__":
    main()
