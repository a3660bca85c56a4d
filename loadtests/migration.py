"""A migration of deployments that only routing tables have: how fast, at which cost to memory and to the visitors.

Unthrottled, on a fresh store each round, at several sizes: deployments a second, and the memory of the job with all its
processes beside the page cache. Then throttled, while one edge worker serves half of what it can: p99 before and
during, failed requests, and whether every host that is asked answers the same bytes before, during and after. The
worker has one processor, the load and the job the other.
Goals: 100,000/s at each size, at most 500 MiB, the same cost at each size within 10 %; p99 at most 1.2 × of before, and
no failed request.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.migration` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import asyncio
import json
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import ONEHOP, Server, serving, temporary_data

SERVER_CPU: Final = 0
OTHER_CPU: Final = 1
SITE_DEPLOYMENTS: Final = 100
RATE_THROTTLED: Final = 20_000
CONNECTIONS: Final = 8
HOSTS_ASKED: Final = 500
GOAL_PER_S: Final = 100_000
GOAL_MEMORY_MIB: Final = 500
GOAL_COST_RATIO: Final = 1.1
GOAL_P99_RATIO: Final = 1.2
SAMPLE_S: Final = 0.5
"""Adding up the memory of a process that maps gigabytes takes tens of milliseconds."""


@dataclass(frozen=True, slots=True)
class Extent:
    sizes: tuple[int, ...]
    rounds: int
    serving_deployments: int
    serving_rounds: int
    stretch_s: float


QUICK: Final = Extent((100_000,), 3, 100_000, 1, 2.0)
FULL: Final = Extent((1_000_000, 14_000_000), 3, 1_000_000, 5, 10.0)


def onehop(data: Path, *arguments: str) -> str:
    done = subprocess.run([*ONEHOP, *arguments, "--data", str(data)], check=True, capture_output=True, text=True)
    return done.stdout


def seed(data: Path, deployments: int) -> None:
    sites = max(1, deployments // SITE_DEPLOYMENTS)
    onehop(data, "seed", "--sites", str(sites), "--deployments", str(deployments), "--legacy-only")


def anonymous_mib(pid: int) -> float:
    """Memory that no file backs, of a process and all below it."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")), 0)
    return own / 1024 + sum(anonymous_mib(int(child)) for child in children)


@dataclass(slots=True)
class Job:
    """One run of `onehop migrate run`, with the most memory that it was seen to have."""

    told: dict[str, float]
    memory_mib: float


def migrate(data: Path, *options: str, cpu: int | None = None) -> Job:
    pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
    command = [*pinned, *ONEHOP, "migrate", "run", "--json", "--data", str(data), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    highest = 0.0
    while process.poll() is None:
        highest = max(highest, anonymous_mib(process.pid))
        time.sleep(SAMPLE_S)
    assert process.stdout is not None
    output = process.stdout.read()
    if process.returncode != 0:
        raise SystemExit(f"the migration ended with {process.returncode}: {output}")
    return Job(json.loads(output), highest)


def measure_unthrottled(extent: Extent) -> tuple[dict[int, list[float]], list[float]]:
    """Deployments a second by size; the most memory of each run."""
    rates: dict[int, list[float]] = {}
    memory: list[float] = []
    for size in extent.sizes:
        with temporary_data() as seeded:
            seed(seeded, size)
            for _ in range(extent.rounds):
                data = seeded.with_name("round")
                shutil.copytree(seeded, data)
                job = migrate(data, "--no-guard")
                told = job.told
                if told["migrated"] != told["total"] or told["failed"] or told["total"] < size:
                    raise SystemExit(f"not everything was migrated: {told}")
                rates.setdefault(size, []).append(told["migrated"] / told["elapsed_s"])
                memory.append(job.memory_mib)
                shutil.rmtree(data)
    return rates, memory


@dataclass(slots=True)
class Load:
    """Requests at a fixed rate, each timed from the moment that it was due; 0: as fast as they are answered."""

    port: int
    per_s: float
    seconds: float
    hosts: list[str]
    latencies_s: list[float] = field(default_factory=list)
    failed: int = 0
    bodies: dict[str, bytes] = field(default_factory=dict)
    changed: int = 0

    async def run(self) -> None:
        began = time.perf_counter()
        gap_s = CONNECTIONS / self.per_s if self.per_s else 0.0
        await asyncio.gather(*(self._client(number, began, gap_s) for number in range(CONNECTIONS)))

    async def _client(self, number: int, began: float, gap_s: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        due = began + gap_s * number / CONNECTIONS
        turn = number
        while (now := time.perf_counter()) < began + self.seconds:
            if gap_s and due > now:
                await asyncio.sleep(due - now)
            sent = due if gap_s else time.perf_counter()
            host = self.hosts[turn % len(self.hosts)]
            turn += CONNECTIONS
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("ascii"))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(each[16:]) for each in head.lower().split(b"\r\n") if each.startswith(b"content-length: ")
            )
            body = await reader.readexactly(length)
            self.latencies_s.append(time.perf_counter() - sent)
            self.failed += not head.startswith(b"HTTP/1.1 200")
            self.changed += self.bodies.setdefault(host, body) != body
            due += gap_s
        writer.close()

    @property
    def p99_s(self) -> float:
        return sorted(self.latencies_s)[round(len(self.latencies_s) * 0.99) - 1]


@dataclass(slots=True)
class Served:
    """What visitors saw in one round."""

    ratio: float
    failed: int
    changed: int
    requests: int


def measure_serving(extent: Extent) -> list[Served]:
    served = []
    with temporary_data() as seeded:
        seed(seeded, extent.serving_deployments)
        for _ in range(extent.serving_rounds):
            data = seeded.with_name("round")
            shutil.copytree(seeded, data)
            onehop(data, "policy", "set", "--scheme", "legacy", "--reason", "the old way first")
            with serving(data, cpu=SERVER_CPU) as server:
                served.append(serve_through(server, data, extent))
            shutil.rmtree(data)
    return served


def serve_through(server: Server, data: Path, extent: Extent) -> Served:
    sites = max(1, extent.serving_deployments // SITE_DEPLOYMENTS)
    hosts = [f"seed-{1 + number * sites // HOSTS_ASKED % sites}.pages.localhost" for number in range(HOSTS_ASKED)]
    fastest = Load(server.edge_port, 0, extent.stretch_s, hosts)
    asyncio.run(fastest.run())
    half = len(fastest.latencies_s) / extent.stretch_s / 2
    before = Load(server.edge_port, half, extent.stretch_s, hosts, bodies=dict(fastest.bodies))
    asyncio.run(before.run())
    during = Load(server.edge_port, half, extent.stretch_s, hosts, bodies=dict(fastest.bodies))
    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(migrate, data, "--rate", str(RATE_THROTTLED), cpu=OTHER_CPU)
        while not job.done():
            asyncio.run(during.run())
        job.result()
    onehop(data, "policy", "set", "--scheme", "hashed", "--reason", "the new way")
    after = Load(server.edge_port, half, extent.stretch_s / 2, hosts, bodies=dict(fastest.bodies))
    asyncio.run(after.run())
    loads = (fastest, before, during, after)
    return Served(
        during.p99_s / before.p99_s,
        sum(load.failed for load in loads),
        sum(load.changed for load in loads),
        sum(len(load.latencies_s) for load in loads),
    )


def main() -> None:
    options = parse_options(__doc__)
    extent = QUICK if options.quick else FULL
    rates, memory = measure_unthrottled(extent)
    served = measure_serving(extent)
    figures = {f"rate_{size}_per_s": Measured(tuple(each), "/s") for size, each in rates.items()}
    figures["p99_ratio"] = Measured(tuple(each.ratio for each in served), "×")
    figures["memory_mib"] = Measured(tuple(memory), "MiB")
    smallest, largest = min(rates), max(rates)
    extra = {
        "rate_per_s": round(median(rates[largest])),
        "cost_ratio": round(median(rates[smallest]) / median(rates[largest]), 3),
        "failed_requests": sum(each.failed for each in served),
        "changed_answers": sum(each.changed for each in served),
        "requests": sum(each.requests for each in served),
    }
    goals = {
        "rate_per_s": Goal(extra["rate_per_s"], at_least=GOAL_PER_S),
        "cost_ratio": Goal(extra["cost_ratio"], at_most=GOAL_COST_RATIO),
        "memory_mib": Goal(max(memory), at_most=GOAL_MEMORY_MIB),
        "p99_ratio": Goal(figures["p99_ratio"].median, at_most=GOAL_P99_RATIO),
        "failed_requests": Goal(extra["failed_requests"], at_most=0, must_hold=True),
        "changed_answers": Goal(extra["changed_answers"], at_most=0, must_hold=True),
    }
    told = "; ".join(f"{size:,} deployments at {figures[f'rate_{size}_per_s']}" for size in rates)
    sentence = (
        f"unthrottled {told}, at most {max(memory):.0f} MiB; at {RATE_THROTTLED:,}/s while serving half of a worker's "
        f"capacity: p99 {figures['p99_ratio']} of before, {extra['failed_requests']} of {extra['requests']:,} requests "
        f"failed, {extra['changed_answers']} answers changed"
    )
    labels = [f"{size:,}" for size in rates]
    conclude(
        "migration",
        options,
        figures,
        extra=extra,
        goals=goals,
        sentence=sentence,
        draw=lambda path: bars(
            path,
            "Deployments migrated a second, unthrottled",
            labels,
            [figures[f"rate_{size}_per_s"] for size in rates],
            goal=GOAL_PER_S,
        ),
    )


if __name__ == "__main__":
    main()
