"""What visitors notice of a migration: p99 beside one that is throttled, and what they are answered.

One edge worker on one processor serves half of what it can by the legacy scheme; the load and the job have the other,
the load before the job where the system lets it (the figures say whether): visitors don't share a processor with a job,
and one that has to wait for it sees 1.5 × of the p99 of before while the edge is as quick as it was.
The job is paused and let go on again and again, and each second of it is compared with the second beside it in which it
was paused: a machine's speed drifts by more than the job costs. p99 is told as the visitors see it, from when a request
was due, and as the edge counts it. The guard is off: it would spare the visitors by slowing the job down. A pair during
which other processes took more than a twentieth of a processor says nothing and is left out; so many were.
Every host that is asked answers the same bytes before, during and after. `loadtests.migration` measures this too,
beside how fast a migration is.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.migration_serving` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Final

from loadtests.bystanders import bystanders_cpu_s
from loadtests.migrating import SITE_DEPLOYMENTS, begin_migration, onehop, seed, told_at_end
from loadtests.report import Goal, Measured, bars, conclude, parse_options
from loadtests.server import Server, cpu_s, edge_pid, serving, temporary_data
from loadtests.steady_load import SteadyLoad, load_for, offered
from migration.progress import Progress, read_progress
from onehop.migration_parts import set_control
from onehop.opened_store import OpenedStore, find_folder, opened
from router.metrics.reading import read_metrics

SERVER_CPU: Final = 0
OTHER_CPU: Final = 1
RATE_THROTTLED: Final = 20_000
HOSTS_ASKED: Final = 500
WINDOW_S: Final = 1.0
SETTLE_S: Final = 0.4
"""Until what the job was at when it was paused is done, and its pace is even again when it goes on."""
CATCH_UP_S: Final = 0.1
"""The load runs in the process that looks: what was due while it read the figures would count as late."""
BEGIN_S: Final = 30.0
BYSTANDERS_SHARE_MAX: Final = 0.05
PAIRS_MIN: Final = 3
GOAL_P99_RATIO: Final = 1.2


@dataclass(frozen=True, slots=True)
class ServingExtent:
    deployments: int
    rounds: int
    stretch_s: float


QUICK: Final = ServingExtent(200_000, 1, 2.0)
FULL: Final = ServingExtent(1_000_000, 1, 5.0)


@dataclass(frozen=True, slots=True)
class Window:
    """One second of serving: p99 as visitors see it and as the edge counts it, the edge's share of its processor, what
    other processes took of one, and how fast the job was."""

    p99_s: float
    edge_p99_s: float
    edge_share: float
    bystanders_share: float
    job_per_s: float


@dataclass(frozen=True, slots=True)
class Pair:
    paused: Window
    working: Window

    @property
    def is_quiet(self) -> bool:
        return max(self.paused.bystanders_share, self.working.bystanders_share) <= BYSTANDERS_SHARE_MAX

    @property
    def ratio(self) -> float:
        """Of visitors' p99."""
        return self.working.p99_s / self.paused.p99_s

    @property
    def edge_ratio(self) -> float:
        return self.working.edge_p99_s / self.paused.edge_p99_s


@dataclass(slots=True)
class Served:
    """What visitors saw of one job or several."""

    pairs: list[Pair] = field(default_factory=list)
    disturbed_count: int = 0
    failed: int = 0
    changed: int = 0
    requests: int = 0
    load_came_first: bool = True

    def add(self, load: SteadyLoad) -> None:
        self.load_came_first &= load.comes_first or not load.per_s
        self.failed += load.failed
        self.changed += load.changed
        self.requests += len(load.seen)


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks at the edge, the visitors and the job."""

    server: Server
    it: OpenedStore
    load: SteadyLoad
    edge: int

    def pair(self, *, working_first: bool) -> Pair:
        """The order alternates, so that a drift counts for either as often as for the other."""
        order = (True, False) if working_first else (False, True)
        windows = {is_working: self._window(is_working=is_working) for is_working in order}
        return Pair(windows[False], windows[True])

    def _window(self, *, is_working: bool) -> Window:
        set_control(self.it, is_paused=not is_working, pause_reason="" if is_working else "to compare")
        time.sleep(SETTLE_S)
        others, edge, counted = bystanders_cpu_s(), cpu_s(self.edge), read_metrics(self.server.data / "metrics")
        done = self.work_done()
        time.sleep(CATCH_UP_S)
        begin = time.perf_counter()
        time.sleep(WINDOW_S)
        end = time.perf_counter()
        passed = read_metrics(self.server.data / "metrics").since(counted)
        counted_s = CATCH_UP_S + end - begin
        edge_p99_s = passed.request_seconds().quantile(0.99)
        assert edge_p99_s is not None, "it was asked all the time"
        return Window(
            self.load.p99_s(begin, end),
            edge_p99_s,
            (cpu_s(self.edge) - edge) / counted_s,
            (bystanders_cpu_s() - others) / counted_s,
            (self.work_done() - done) / counted_s,
        )

    def work_done(self) -> float:
        """In deployments: half of one is done when it is read."""
        progress = progress_of(self.it)
        return (progress.collected + progress.done) / 2 if progress is not None else 0.0


def progress_of(it: OpenedStore) -> Progress | None:
    with it.store.read() as snapshot:
        return read_progress(snapshot)


def measure_serving(extent: ServingExtent) -> Served:
    served = Served()
    os.sched_setaffinity(0, {OTHER_CPU})  # or the load would be put beside the edge where the job is in its way
    with temporary_data() as seeded:
        seed(seeded, extent.deployments)
        for _ in range(extent.rounds):
            data = seeded.with_name("round")
            shutil.copytree(seeded, data)
            onehop(data, "policy", "set", "--scheme", "legacy", "--reason", "the old way first")
            with serving(data, cpu=SERVER_CPU) as server:
                serve_through(server, data, extent, served)
            shutil.rmtree(data)
    if len(served.pairs) < PAIRS_MIN:
        raise SystemExit(f"other processes kept the machine busy: {served.disturbed_count} pairs were left out")
    return served


def serve_through(server: Server, data: Path, extent: ServingExtent, served: Served) -> None:
    sites = max(1, extent.deployments // SITE_DEPLOYMENTS)
    hosts = [f"seed-{1 + number * sites // HOSTS_ASKED % sites}.pages.localhost" for number in range(HOSTS_ASKED)]
    fastest = load_for(SteadyLoad(server.edge_port, 0, hosts), extent.stretch_s)
    half = len(fastest.seen) / extent.stretch_s / 2
    during = SteadyLoad(server.edge_port, half, hosts, dict(fastest.bodies))
    with opened(find_folder(data)) as it, offered(during):
        job = begin_migration(data, "--rate", str(RATE_THROTTLED), "--no-guard", cpu=OTHER_CPU)
        try:
            watch_job(Watch(server, it, during, edge_pid(server)), job, served)
            set_control(it, is_paused=False, pause_reason="")
            told_at_end(job)
        finally:
            job.kill()
    onehop(data, "policy", "set", "--scheme", "hashed", "--reason", "the new way")
    after = load_for(SteadyLoad(server.edge_port, half, hosts, dict(fastest.bodies)), extent.stretch_s / 2)
    for load in (fastest, during, after):
        served.add(load)


def watch_job(watch: Watch, job: "subprocess.Popen[str]", served: Served) -> None:
    until = time.monotonic() + BEGIN_S
    while not watch.work_done():
        if job.poll() is not None or time.monotonic() > until:
            raise SystemExit("the job did not begin to read tables")
        time.sleep(0.01)
    number = 0
    while True:
        pair = watch.pair(working_first=number % 2 == 1)
        progress = progress_of(watch.it)
        if progress is None or progress.state.is_end:
            return  # there was nothing to do in some of it
        if pair.is_quiet:
            served.pairs.append(pair)
        else:
            served.disturbed_count += 1
        number += 1


def figures_of(served: Served) -> dict[str, Measured]:
    pairs = served.pairs
    return {
        "p99_ratio": Measured(tuple(each.ratio for each in pairs), "×"),
        "edge_p99_ratio": Measured(tuple(each.edge_ratio for each in pairs), "×"),
        "p99_before_ms": Measured(tuple(each.paused.p99_s * 1e3 for each in pairs), "ms"),
        "p99_during_ms": Measured(tuple(each.working.p99_s * 1e3 for each in pairs), "ms"),
        "edge_p99_before_ms": Measured(tuple(each.paused.edge_p99_s * 1e3 for each in pairs), "ms"),
        "edge_p99_during_ms": Measured(tuple(each.working.edge_p99_s * 1e3 for each in pairs), "ms"),
        "edge_share": Measured(tuple(each.working.edge_share for each in pairs), "of a processor"),
        "throttled_per_s": Measured(tuple(each.working.job_per_s for each in pairs), "/s"),
    }


def counts_of(served: Served) -> dict[str, int]:
    return {
        "failed_requests": served.failed,
        "changed_answers": served.changed,
        "requests": served.requests,
        "pairs": len(served.pairs),
        "pairs_left_out": served.disturbed_count,
        "load_came_first": served.load_came_first,
    }


def goals_of(served: Served) -> dict[str, Goal]:
    figures = figures_of(served)
    return {
        "p99_ratio": Goal(figures["p99_ratio"].median, at_most=GOAL_P99_RATIO),
        "edge_p99_ratio": Goal(figures["edge_p99_ratio"].median, at_most=GOAL_P99_RATIO),
        "failed_requests": Goal(served.failed, at_most=0, must_hold=True),
        "changed_answers": Goal(served.changed, at_most=0, must_hold=True),
    }


def tell(served: Served) -> str:
    figures = figures_of(served)
    shared = "" if served.load_came_first else ", the load sharing its processor with the job"
    return (
        f"at {figures['throttled_per_s'].median:,.0f}/s while serving half of a worker's capacity{shared}, "
        f"{len(served.pairs)} seconds beside as many with the job paused: visitors' p99 "
        f"{tell_ratios(figures['p99_ratio'])} ({figures['p99_before_ms'].median:.2f} to "
        f"{figures['p99_during_ms'].median:.2f} ms), the edge's {tell_ratios(figures['edge_p99_ratio'])} "
        f"({figures['edge_p99_before_ms'].median:.2f} to {figures['edge_p99_during_ms'].median:.2f} ms); "
        f"{served.disturbed_count} pairs left out, {served.failed} of {served.requests:,} requests failed, "
        f"{served.changed} answers changed"
    )


def tell_ratios(ratios: Measured) -> str:
    low, _, high = quantiles(ratios.rounds, n=4)
    return f"{ratios.median:.3f} × (half of the pairs {low:.2f} to {high:.2f})"


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
