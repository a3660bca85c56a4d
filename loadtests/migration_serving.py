"""What visitors notice of a migration: p99 before and during one that is throttled, and what they are answered.

One edge worker on one processor serves half of what it can by the legacy scheme; the load and the job have the other.
Every host that is asked answers the same bytes before, during and after. `loadtests.migration` measures this too,
beside how fast a migration is.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.migration_serving` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import asyncio
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from loadtests.migrating import SITE_DEPLOYMENTS, migrate, onehop, seed
from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, serving, temporary_data

SERVER_CPU: Final = 0
OTHER_CPU: Final = 1
RATE_THROTTLED: Final = 20_000
CONNECTIONS: Final = 8
HOSTS_ASKED: Final = 500
GOAL_P99_RATIO: Final = 1.2


@dataclass(frozen=True, slots=True)
class ServingExtent:
    deployments: int
    rounds: int
    stretch_s: float


QUICK: Final = ServingExtent(100_000, 1, 2.0)
FULL: Final = ServingExtent(1_000_000, 5, 10.0)


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

    before_s: float
    during_s: float
    failed: int
    changed: int
    requests: int

    @property
    def ratio(self) -> float:
        """Of the p99."""
        return self.during_s / self.before_s


def measure_serving(extent: ServingExtent) -> list[Served]:
    served = []
    with temporary_data() as seeded:
        seed(seeded, extent.deployments)
        for _ in range(extent.rounds):
            data = seeded.with_name("round")
            shutil.copytree(seeded, data)
            onehop(data, "policy", "set", "--scheme", "legacy", "--reason", "the old way first")
            with serving(data, cpu=SERVER_CPU) as server:
                served.append(serve_through(server, data, extent))
            shutil.rmtree(data)
    return served


def serve_through(server: Server, data: Path, extent: ServingExtent) -> Served:
    sites = max(1, extent.deployments // SITE_DEPLOYMENTS)
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
        before.p99_s,
        during.p99_s,
        sum(load.failed for load in loads),
        sum(load.changed for load in loads),
        sum(len(load.latencies_s) for load in loads),
    )


def figures_of(served: list[Served]) -> dict[str, Measured]:
    return {
        "p99_ratio": Measured(tuple(each.ratio for each in served), "×"),
        "p99_before_ms": Measured(tuple(each.before_s * 1e3 for each in served), "ms"),
        "p99_during_ms": Measured(tuple(each.during_s * 1e3 for each in served), "ms"),
    }


def counts_of(served: list[Served]) -> dict[str, int]:
    return {
        "failed_requests": sum(each.failed for each in served),
        "changed_answers": sum(each.changed for each in served),
        "requests": sum(each.requests for each in served),
    }


def goals_of(served: list[Served]) -> dict[str, Goal]:
    counts = counts_of(served)
    return {
        "p99_ratio": Goal(median(each.ratio for each in served), at_most=GOAL_P99_RATIO),
        "failed_requests": Goal(counts["failed_requests"], at_most=0, must_hold=True),
        "changed_answers": Goal(counts["changed_answers"], at_most=0, must_hold=True),
    }


def tell(served: list[Served]) -> str:
    figures, counts = figures_of(served), counts_of(served)
    return (
        f"at {RATE_THROTTLED:,}/s while serving half of a worker's capacity: p99 {figures['p99_ratio']} of before "
        f"({figures['p99_before_ms']}, {figures['p99_during_ms']}), {counts['failed_requests']} of "
        f"{counts['requests']:,} requests failed, {counts['changed_answers']} answers changed"
    )


def main() -> None:
    options = parse_options(__doc__)
    served = measure_serving(QUICK if options.quick else FULL)
    figures = figures_of(served)
    conclude(
        "migration_serving",
        options,
        figures,
        extra=counts_of(served),
        goals=goals_of(served),
        sentence=tell(served),
        draw=lambda path: bars(
            path,
            "p99 of visitors, ms",
            ["before", "during"],
            [figures["p99_before_ms"], figures["p99_during_ms"]],
        ),
    )


if __name__ == "__main__":
    main()
