"""What every load test does with its figures: medians and spreads, one JSON line, the record of a full run; and the
comparison with its goals."""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
FIGURES: Final = FOLDER / "figures"
RESULTS: Final = FOLDER / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure over several rounds, in `unit`."""

    rounds: tuple[float, ...]
    unit: str

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def spread(self) -> float:
        return (max(self.rounds) - min(self.rounds)) / self.median if self.median else 0.0

    def __str__(self) -> str:
        return f"{self.median:,.4g} {self.unit} (spread {self.spread:.0%} over {len(self.rounds)})"


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that should be `at_most` or `at_least` something, one of the two. `must_hold`: it is about being right
    and not about being fast, so that a miss fails the run on any machine."""

    measured: float
    at_most: float | None = None
    at_least: float | None = None
    must_hold: bool = False

    def __post_init__(self) -> None:
        assert (self.at_most is None) != (self.at_least is None)

    @property
    def is_met(self) -> bool:
        return (self.at_most is None or self.measured <= self.at_most) and (
            self.at_least is None or self.measured >= self.at_least
        )

    def document(self) -> dict[str, Any]:
        return {
            **({"at_most": self.at_most} if self.at_most is not None else {"at_least": self.at_least}),
            "measured": self.measured,
            "met": self.is_met,
        }

    def __str__(self) -> str:
        limit = f"at most {self.at_most:,.4g}" if self.at_most is not None else f"at least {self.at_least:,.4g}"
        return f"{self.measured:,.4g}, goal {limit}"


@dataclass(frozen=True, slots=True)
class Options:
    """How the command was called."""

    quick: bool
    as_json: bool


def parse_options(description: str | None) -> Options:
    return options_of(parser_of(description).parse_args())


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """For a load test that takes options beside those that all take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and smaller sizes, under 45 s")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser


def options_of(arguments: argparse.Namespace) -> Options:
    if not arguments.quick and find_spec("matplotlib") is None:
        raise SystemExit("a full run draws its figures; 'make bench' brings what that needs, --quick does without")
    return Options(quick=arguments.quick, as_json=arguments.json)


def machine() -> dict[str, str]:
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=FOLDER, capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "cpu": model,
        "python": platform.python_version(),
        "commit": commit,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def conclude(
    name: str,
    options: Options,
    figures: Mapping[str, Measured],
    *,
    extra: Mapping[str, Any] | None = None,
    goals: Mapping[str, Goal] | None = None,
    sentence: str,
    draw: Callable[[Path], None] | None = None,
) -> None:
    """Print; after a full run also keep. `sentence` is the line for RESULTS.md. Exits with 1 where a goal that must
    hold was missed."""
    goals = goals or {}
    for key, figure in figures.items():
        print(f"{key}: {figure}", file=sys.stderr)
    document = {
        **{key: figure.median for key, figure in figures.items()},
        "spread": {key: round(figure.spread, 3) for key, figure in figures.items()},
        **(extra or {}),
        "goals": {name: goal.document() for name, goal in goals.items()},
    }
    for key, goal in goals.items():
        print(f"{'met   ' if goal.is_met else 'MISSED'} {key}: {goal}", file=sys.stderr)
    if goals:
        sentence += f"; {tell_goals(goals)}"
    if not options.quick:
        FIGURES.mkdir(exist_ok=True)
        record = {**document, "rounds": {key: figure.rounds for key, figure in figures.items()}, **machine()}
        if draw is not None:
            draw(FIGURES / f"{name}.svg")
        (FIGURES / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
        keep_line(name, sentence)
    print(json.dumps(document) if options.as_json else sentence)
    broken = [key for key, goal in goals.items() if goal.must_hold and not goal.is_met]
    if broken:
        raise SystemExit(f"{name}: {', '.join(broken)} must hold on any machine and didn't")


def tell_goals(goals: Mapping[str, Goal]) -> str:
    missed = [f"{key} ({goal})" for key, goal in goals.items() if not goal.is_met]
    if not missed:
        return f"all {len(goals)} goals met"
    return f"{len(goals) - len(missed)} of {len(goals)} goals met, missed: {', '.join(missed)}"


def keep_line(name: str, sentence: str) -> None:
    """One line a load test in RESULTS.md; a new run replaces its line."""
    where = machine()
    line = (
        f"| [`{name}`](figures/{name}.svg) | {sentence} | {where['date']}, {where['commit']}, {where['cpu']}, 2 cores "
        f"| `.venv/bin/python -m loadtests.{name}` |"
    )
    kept = [old for old in RESULTS.read_text().splitlines() if not old.startswith(f"| [`{name}`]")]
    RESULTS.write_text("\n".join([*kept, line]) + "\n")


def bars(
    path: Path, title: str, labels: Sequence[str], figures: Sequence[Measured], *, goal: float | None = None
) -> None:
    """A bar a figure, with every round as a dot; `goal` is drawn as a line."""
    import matplotlib  # only full runs draw: `--quick` works without it

    matplotlib.use("svg")
    from matplotlib import pyplot

    canvas, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    axes.bar(labels, [figure.median for figure in figures], color="#5b7db1", width=0.5)
    for index, figure in enumerate(figures):
        axes.scatter([index] * len(figure.rounds), figure.rounds, color="#112", s=12, zorder=3)
    if goal is not None:
        axes.axhline(goal, color="#c2410c", linestyle="--", linewidth=1.2)
        axes.text(len(labels) - 0.5, goal, " goal", color="#c2410c", va="bottom", ha="right")
    axes.set_title(title)
    axes.set_ylabel(figures[0].unit)
    axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, metadata={"Date": None})
    pyplot.close(canvas)
