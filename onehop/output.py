"""What a command shows: JSON or a table on stdout, progress on stderr.

Progress is shown to people only: where stderr isn't a terminal it is silent, so that logs of a CI hold no bars.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

TABLE_CHARACTERS_MAX: Final = 1_000


class Watcher(Protocol):
    """Is told how far a long piece of work is."""

    def begin(self, what: str, total: int | None = None) -> None:
        """A new stage; `total` None: nobody knows how much there is."""

    def advance(self, count: int = 1) -> None: ...


class Unwatched:
    """Nobody looks."""

    def begin(self, what: str, total: int | None = None) -> None: ...

    def advance(self, count: int = 1) -> None: ...


class WatchedBars:
    """A bar for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage: TaskID | None = None

    def begin(self, what: str, total: int | None = None) -> None:
        self.finish()
        self._stage = self._progress.add_task(what, total=total)

    def advance(self, count: int = 1) -> None:
        if self._stage is not None:
            self._progress.advance(self._stage, count)

    def finish(self) -> None:
        if self._stage is not None:
            done = self._progress.tasks[-1].completed
            self._progress.update(self._stage, total=done or 1, completed=done or 1)


@contextmanager
def watched() -> Iterator[Watcher]:
    """Shows the progress of what runs in the block."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Unwatched()
        return
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn(bar_width=30))
    with Progress(*columns, MofNCompleteColumn(), TimeElapsedColumn(), console=console) as progress:
        bars = WatchedBars(progress)
        yield bars
        bars.finish()


def show_json(value: object) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode("utf-8") + "\n")
    sys.stdout.flush()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """`empty` is the sentence shown when there are no rows. Cells are text, never markup."""
    console = Console(markup=False, highlight=False, emoji=False)
    if not rows:
        console.print(empty, soft_wrap=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    console.width = TABLE_CHARACTERS_MAX  # a longer line is the terminal's to wrap: so an address copies whole
    console.print(table, soft_wrap=True)


def show_fields(fields: Sequence[tuple[str, object]]) -> None:
    width = max(len(name) for name, _ in fields)
    for name, value in fields:
        sys.stdout.write(f"{name:<{width}}  {printable(value)}\n")


def show_line(text: str) -> None:
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    sys.stderr.write(f"warning: {printable(text)}\n")


def warn_all(texts: Sequence[str]) -> None:
    for text in texts:
        warn(text)


def printable(value: object) -> str:
    """As one line without control characters: a branch's name or commit message must not steer the terminal."""
    text = "" if value is None else "yes" if value is True else "no" if value is False else str(value)
    return "".join(character if character.isprintable() else "·" for character in text.replace("\n", " "))
