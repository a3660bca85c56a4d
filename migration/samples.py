"""What a job and a rollout looked like over time: one JSON object a line, for the report.

Bounded: where a file has grown long, a look is kept less and less often.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

INTERVAL_S: Final = 1.0
LINES_AT_ONE_INTERVAL: Final = 5_000
LINES_MAX: Final = 50_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. `at_s` is Unix time, `done` of `total` filters, each half
    done once it is collected; `share` of the pace is what the guard left. `event`
    says what happened just then, in words."""

    job: str
    at_s: float
    stage: str
    done: int = 0
    total: int = 0
    requests: int = 0
    errors: int = 0
    p99_ms: float | None = None
    share: float = 1.0
    percent: float | None = None
    event: str = ""


class SampleLog:
    """Appends to one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = sum(1 for _ in path.open("rb")) if path.exists() else 0
        self._last_s = self._next_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """Also where the clock was stepped back: or nothing would be kept until it is there again."""
        return now_s >= self._next_s or now_s < self._last_s

    def add(self, sample: Sample) -> None:
        """An event is always kept, a plain look when it is due; neither past LINES_MAX."""
        if self._lines >= LINES_MAX or not (sample.event or self.is_due(sample.at_s)):
            return
        self._last_s = sample.at_s
        self._next_s = sample.at_s + INTERVAL_S * 2 ** (self._lines // LINES_AT_ONE_INTERVAL)
        with self._path.open("ab") as file:
            file.write(orjson.dumps(dataclasses.asdict(sample)) + b"\n")
        self._lines += 1


def steadied(samples: Iterable[Sample]) -> list[Sample]:
    """The same with times that never go back: where the clock was stepped back, what follows follows at once."""
    steady: list[Sample] = []
    behind_s = 0.0
    for sample in samples:
        at_s = sample.at_s + behind_s
        if steady and at_s < steady[-1].at_s:
            behind_s += steady[-1].at_s - at_s
            at_s = steady[-1].at_s
        steady.append(dataclasses.replace(sample, at_s=at_s))
    return steady


def read_samples(path: Path) -> Iterator[Sample]:
    """In the order in which they were written; a line that was cut by a crash is passed over."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                yield Sample(**orjson.loads(line))
            except (orjson.JSONDecodeError, TypeError):
                continue
