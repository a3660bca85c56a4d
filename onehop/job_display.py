"""A migration's job as people and programs see it: one document, and on a terminal one bar from its first table to its
last route.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Task, TextColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from migration.progress import PHASES, Control, Progress, State
from migration.pulse import Pulse
from migration.standing import as_told, standing_of
from onehop.output import printable

BAR_COLUMNS: Final = 16
STAGE_COLUMNS: Final = 10
REASON_ABANDONED: Final = "no process works on it; 'onehop migrate run' goes on where it stopped"


class JobShow(Protocol):
    """Is told how a job stands, as often as whoever runs or watches it likes."""

    def show(self, told: Mapping[str, Any]) -> None: ...


class Unshown:
    """Nobody looks."""

    def show(self, told: Mapping[str, Any]) -> None: ...


class CutColumn(TextColumn):
    """Gives way on a narrow terminal, on its one line: a column that may wrap is the first that rich makes narrower."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


class JobBar:
    """The bar goes through both phases; what it counts is named before it."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=100.0, words="")

    def show(self, told: Mapping[str, Any]) -> None:
        self._bars.update(
            self._task, description=str(told["state"]), completed=told["percent"], words=words_of(told), refresh=True
        )


@contextmanager
def job_bar(console: Console) -> Iterator[JobShow]:
    """On a terminal; elsewhere it is silent, so that logs hold no bars."""
    if not console.is_terminal:
        yield Unshown()
        return
    columns = (
        TextColumn("{task.description}", markup=False, table_column=fixed(STAGE_COLUMNS)),
        BarColumn(bar_width=BAR_COLUMNS, table_column=fixed(BAR_COLUMNS)),
        TextColumn("{task.percentage:>3.0f}%", table_column=fixed(len("100%"))),
        CutColumn("{task.fields[words]}", markup=False, table_column=Column()),
    )
    with Bars(*columns, console=console) as bars:
        yield JobBar(bars)


def fixed(width: int) -> Column:
    return Column(width=width, no_wrap=True)


def document_of(progress: Progress, control: Control, pulse: Pulse | None, now_s: float) -> dict[str, Any]:
    """`pulse` is None unless the job's process lives. `rate` is of the last seconds, of all of it in the end."""
    standing = standing_of(progress, pulse, control, now_s)
    is_paused = control.is_paused and not progress.state.is_end
    waiting = round(pulse.pending * PHASES) if pulse is not None and progress.state is State.COLLECTING else 0
    return {
        "job": progress.job,
        "state": "paused" if is_paused else progress.state.value,
        "stage": progress.state.value,
        "total": progress.total,
        "collected": max(0, as_told(progress, pulse).collected - waiting),
        "migrated": progress.migrated,
        "failed": progress.failed,
        "skipped": progress.skipped,
        "skipped_by_reason": progress.skipped_by_reason,
        "percent": round(100 * standing.share, 1) if progress.state is not State.COMPLETE else 100.0,
        "rate": round(standing.per_s or 0.0, 1),
        "rate_limit": control.deployments_per_s,
        "eta_s": round(standing.eta_s, 1) if standing.eta_s is not None else None,
        "elapsed_s": round(standing.elapsed_s, 3),
        "guard": pulse.guard if pulse is not None else progress.guard,
        "reason": reason_of(progress, control, pulse),
    }


def reason_of(progress: Progress, control: Control, pulse: Pulse | None) -> str:
    """Why it has ended, or doesn't go on just now."""
    if progress.state.is_end:
        return progress.reason
    if pulse is None:
        return REASON_ABANDONED
    return pulse.waiting_for or (control.pause_reason if control.is_paused else "")


def words_of(told: Mapping[str, Any]) -> str:
    """What stands beside the bar, or on a line of its own."""
    is_collecting = told["stage"] == State.COLLECTING
    count = told["collected"] if is_collecting else told["migrated"] + told["failed"] + told["skipped"]
    parts = [f"{count:,} read" if is_collecting else f"{count:,} of {told['total']:,}"]
    if told["rate"]:
        parts.append(f"{told['rate']:,.0f}/s")
    if told["eta_s"] is not None:
        parts.append(f"{duration(told['eta_s'])} left")
    if told["failed"]:
        parts.append(f"{told['failed']:,} failed")
    parts += [printable(told["reason"])] if told["reason"] else [f"guard: {told['guard']}"] if told["guard"] else []
    return " · ".join(parts)


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
