"""Durable steps and instances a second, beside DBOS: same machine, same SQLite, same durability, rounds in turns.

Both engines run in a process of their own with `synchronous=FULL` and a write-ahead log (workflows_child.py says more).
Measured: steps after each other in one instance, where each waits for the disk; steps over 100 instances at once, where
several may share a sync; instances of one step, from asking for them to their end. The full run measures as well DBOS
with the journal that it takes by itself, how fast each wakes after a SIGKILL in its sleep, and, of ours alone, what a
million ended and a hundred thousand sleeping instances cost (workflows_crowd.py).
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.workflows` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import json
import subprocess
import tempfile
import time
from typing import Any, Final

from loadtests.report import Goal, Measured, bars, conclude, parse_options

ROUNDS: Final = 5
ROUNDS_QUICK: Final = 3
QUICK: Final = ("--sequential", "200", "--concurrent", "10", "--instances", "150")
FULL: Final = ("--sequential", "600", "--concurrent", "30", "--instances", "400")
SLEEPERS: Final = {"ours": 10_000, "dbos": 1_000}  # DBOS with 10,000 would take minutes to fall asleep
SLEEP_S: Final = 25
CHILD_S_MAX: Final = 300
RATIO_GOAL: Final = 3.0
STEPS_GOAL: Final = 5_000
LATENESS_MS_GOAL: Final = 50
MEMORY_MIB_GOAL: Final = 300
START_S_GOAL: Final = 2
GROWTH_GOAL: Final = 0.9  # of the steps a second beside none
FIGURES: Final = ("sequential_steps_per_s", "steps_per_s", "instances_per_s")


def start_child(engine: str, what: str, folder: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "loadtests.workflows_child", engine, what, folder, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=CHILD_S_MAX, check=False)


def measure(engine: str, what: str, folder: str, *options: str) -> dict[str, float]:
    child = start_child(engine, what, folder, *options)
    if child.returncode:
        raise SystemExit(f"{engine} failed:\n{child.stderr[-2000:]}")
    figures: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
    return figures


def one_round(engine: str, sizes: tuple[str, ...]) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="onehop-loadtest-") as folder:
        return measure(engine, "rates", folder, *sizes)


def wake_after_kill(engine: str) -> dict[str, float]:
    """Instances that slept when their process was killed, and whose time had come when the next one started."""
    count = SLEEPERS[engine]
    with tempfile.TemporaryDirectory(prefix="onehop-loadtest-") as folder:
        options = ("--instances", str(count), "--sleep-s", str(SLEEP_S))
        asleep = start_child(engine, "fall-asleep", folder, *options)
        if asleep.returncode != -9:
            raise SystemExit(f"{engine} did not fall asleep:\n{asleep.stderr[-2000:]}")
        time.sleep(SLEEP_S)  # the last one was asleep before the kill, so now all are due
        wake_s = measure(engine, "wake", folder, *options)["wake_s"]
    return {"instances": count, "wake_s": round(wake_s, 2), "per_s": round(count / wake_s, 1)}


def crowd(what: str, folder: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "loadtests.workflows_crowd", what, folder]
    child = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_S_MAX, check=False)
    if child.returncode != (-9 if what == "asleep" else 0):
        raise SystemExit(f"{what} failed:\n{child.stderr[-2000:]}")
    figures: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    return figures


def measure_crowds() -> tuple[dict[str, Any], dict[str, Goal], str]:
    """The figures, their goals, and a sentence."""
    with tempfile.TemporaryDirectory(prefix="onehop-loadtest-") as folder:
        ended = crowd("ended", folder)
    with tempfile.TemporaryDirectory(prefix="onehop-loadtest-") as folder:
        asleep = crowd("asleep", folder) | crowd("awake", folder)
    late_ms, peak_mib, start_s = asleep["lateness_ms"]["p99"], asleep["memory_mib"]["peak"], asleep["start_s"]
    goals = {
        "growth_in_one": Goal(ended["ratio"]["in_one"], at_least=GROWTH_GOAL),
        "growth_over_100": Goal(ended["ratio"]["over_100"], at_least=GROWTH_GOAL),
        "lateness_p99_ms": Goal(late_ms, at_most=LATENESS_MS_GOAL),
        "memory_peak_mib": Goal(peak_mib, at_most=MEMORY_MIB_GOAL),
        "start_after_crash_s": Goal(start_s, at_most=START_S_GOAL),
    }
    told = (
        f"beside 1,000,000 ended instances {ended['ratio']['in_one']:.2f} × the steps in one instance and "
        f"{ended['ratio']['over_100']:.2f} × over 100; of 100,000 sleepers 500 wake a second, "
        f"p99 {late_ms:.0f} ms late, {peak_mib:.0f} MiB, and after a SIGKILL "
        f"a step is done {start_s:.2f} s after the start"
    )
    return {"ended": ended, "asleep": asleep}, goals, told


def main() -> None:
    options = parse_options(__doc__)
    sizes = QUICK if options.quick else FULL
    rounds: dict[str, list[dict[str, float]]] = {"ours": [], "dbos": []}
    for _ in range(ROUNDS_QUICK if options.quick else ROUNDS):
        for engine, measured in rounds.items():
            measured.append(one_round(engine, sizes))
    figures: dict[str, Measured] = {}
    ratios: dict[str, Measured] = {}
    for name in FIGURES:
        ours = tuple(figure[name] for figure in rounds["ours"])
        theirs = tuple(figure[name] for figure in rounds["dbos"])
        unit = f"{'instances' if name.startswith('instances') else 'steps'}/s"
        figures[name] = Measured(ours, unit)
        figures[f"dbos_{name}"] = Measured(theirs, unit)
        ratio = name.replace("_per_s", "_ratio_dbos")
        ratios[ratio] = Measured(tuple(our / their for our, their in zip(ours, theirs, strict=True)), "×")
    extra: dict[str, Any] = {}
    told_extra = ""
    more_goals: dict[str, Goal] = {}
    if not options.quick:
        extra["wake_after_kill"] = {engine: wake_after_kill(engine) for engine in SLEEPERS}
        extra["dbos_as_it_comes"] = one_round("dbos-as-it-comes", QUICK)
        told_extra = "; ".join(
            f"{'woken after a SIGKILL' if engine == 'ours' else 'DBOS'}: {woken['instances']:,} sleepers in "
            f"{woken['wake_s']:.1f} s" for engine, woken in extra["wake_after_kill"].items()
        )  # fmt: skip
        extra["crowds"], more_goals, told_crowds = measure_crowds()
        told_extra = f"; {told_extra}; {told_crowds}"
    goals = {
        "steps_ratio_dbos": Goal(ratios["steps_ratio_dbos"].median, at_least=RATIO_GOAL),
        "sequential_steps_ratio_dbos": Goal(ratios["sequential_steps_ratio_dbos"].median, at_least=RATIO_GOAL),
        "instances_ratio_dbos": Goal(ratios["instances_ratio_dbos"].median, at_least=RATIO_GOAL),
        "steps_per_s": Goal(figures["steps_per_s"].median, at_least=STEPS_GOAL),
    }
    told = "; ".join(
        f"{what} {figures[name]}, {ratios[name.replace('_per_s', '_ratio_dbos')].median:.1f} × DBOS"
        for name, what in zip(FIGURES, ("in one instance", "over 100 instances", "of one step"), strict=True)
    )
    conclude(
        "workflows",
        options,
        figures | ratios,
        extra=extra,
        goals=goals | more_goals,
        sentence=f"durable, `synchronous=FULL` for both: {told}{told_extra}",
        draw=draw(figures),
    )


def draw(figures: dict[str, Measured]) -> Any:
    """Steps over 100 instances and instances, ours beside DBOS."""
    names = ("steps_per_s", "dbos_steps_per_s", "instances_per_s", "dbos_instances_per_s")
    labels = ("steps", "steps, DBOS", "instances", "instances, DBOS")

    def paint(path: Path) -> None:
        bars(path, "Durable, a second", labels, [figures[name] for name in names], goal=STEPS_GOAL)

    return paint


if __name__ == "__main__":
    main()
