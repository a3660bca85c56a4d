"""What shadow compare has found, kept where an operator's command can read it: a few small files, one an edge process.

A host and a reason are written once, until they are cleared or newer ones have taken their place: of each process the
newest are kept, DIFFERENCES_MAX at least and twice as many at most. Edges share no memory and may not write to the
store, so each appends to a file of its own.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import orjson

from router.policy import Scheme
from router.shadow import Difference

DIFFERENCES_MAX: Final = 100  # of one file
FILES_MAX: Final = 32
FILE_BYTES_MAX: Final = 256 * 1024
SUFFIX: Final = ".jsonl"
OLDER_SUFFIX: Final = ".older" + SUFFIX


@dataclass(frozen=True, slots=True)
class SeenDifference:
    """`when` it was first seen by that process."""

    when: str
    difference: Difference


class DifferenceLog:
    """One process's file, made with the first difference."""

    def __init__(self, folder: Path, *, now: Callable[[], str]) -> None:
        self._folder = folder
        self._now = now
        self._seen: set[tuple[str, str]] = set()

    def add(self, difference: Difference) -> None:
        """A file that can't be written costs the entry, never the request: the counters have it anyway."""
        identity = (difference.host, difference.reason)
        path = self._folder / f"{os.getpid()}{SUFFIX}"
        if self._seen and not path.exists():
            self._seen.clear()  # somebody has cleared the list: what is still so is worth a new entry
        if identity in self._seen:
            return
        with suppress(OSError):
            if len(self._seen) >= DIFFERENCES_MAX:
                path.replace(path.with_suffix(OLDER_SUFFIX))
                self._seen.clear()
            if not self._seen:
                self._begin()
            line = orjson.dumps({"when": self._now(), **asdict(difference)}) + b"\n"
            with path.open("ab") as file:
                file.write(line)
            self._seen.add(identity)

    def _begin(self) -> None:
        """Makes room: files of processes that are long gone."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        files = sorted(self._folder.glob("*" + SUFFIX), key=lambda file: file.stat().st_mtime)
        for file in files[: -FILES_MAX + 1]:
            file.unlink(missing_ok=True)


def read_differences(folder: Path) -> list[SeenDifference]:
    """Of all processes, oldest first. Lines that were torn by a kill are passed over."""
    found: list[SeenDifference] = []
    for file in folder.glob("*" + SUFFIX):
        with suppress(OSError), file.open("rb") as opened:
            for line in opened.read(FILE_BYTES_MAX).splitlines():
                with suppress(orjson.JSONDecodeError, TypeError, KeyError, ValueError):
                    members = orjson.loads(line)
                    when = members.pop("when")
                    difference = Difference(**{**members, "served": Scheme(members["served"])})
                    found.append(SeenDifference(when, difference))
    return sorted(found, key=lambda each: each.when)


def clear_differences(folder: Path) -> None:
    """What is still so is found again."""
    for file in folder.glob("*" + SUFFIX):
        file.unlink(missing_ok=True)
