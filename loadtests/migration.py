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

import shutil
from dataclasses import dataclass
from statistics import median
from typing import Final

from loadtests import migration_serving
from loadtests.migrating import migrate, seed
from loadtests.migration_serving import ServingExtent, counts_of, figures_of, goals_of, measure_serving
from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import temporary_data

GOAL_PER_S: Final = 100_000
GOAL_MEMORY_MIB: Final = 500
GOAL_COST_RATIO: Final = 1.1


@dataclass(frozen=True, slots=True)
class Extent:
    sizes: tuple[int, ...]
    rounds: int
    serving: ServingExtent


QUICK: Final = Extent((100_000,), 3, migration_serving.QUICK)
FULL: Final = Extent((1_000_000, 14_000_000), 3, migration_serving.FULL)


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


def main() -> None:
    options = parse_options(__doc__)
    extent = QUICK if options.quick else FULL
    rates, memory = measure_unthrottled(extent)
    served = measure_serving(extent.serving)
    figures = {f"rate_{size}_per_s": Measured(tuple(each), "/s") for size, each in rates.items()}
    figures |= {**figures_of(served), "memory_mib": Measured(tuple(memory), "MiB")}
    smallest, largest = min(rates), max(rates)
    rate_per_s = round(median(rates[largest]))
    cost_ratio = round(median(rates[smallest]) / median(rates[largest]), 3)
    goals = {
        "rate_per_s": Goal(rate_per_s, at_least=GOAL_PER_S),
        "cost_ratio": Goal(cost_ratio, at_most=GOAL_COST_RATIO),
        "memory_mib": Goal(max(memory), at_most=GOAL_MEMORY_MIB),
        **goals_of(served),
    }
    told = "; ".join(f"{size:,} deployments at {figures[f'rate_{size}_per_s']}" for size in rates)
    labels = [f"{size:,}" for size in rates]
    conclude(
        "migration",
        options,
        figures,
        extra={"rate_per_s": rate_per_s, "cost_ratio": cost_ratio, **counts_of(served)},
        goals=goals,
        sentence=f"unthrottled {told}, at most {max(memory):.0f} MiB; {migration_serving.tell(served)}",
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
