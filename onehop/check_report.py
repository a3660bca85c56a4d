"""What a check has found: faults, each with its cure, and counts of what was looked at."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FAULTS_LISTED_MAX: Final = 1_000  # of each kind; the rest is counted


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is the sort of thing, `where` names it, `what` is wrong with it, `cure` is what to do."""

    kind: str
    where: str
    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """`counts` of what was walked; `unlisted_count` faults are beyond those in `faults`."""

    faults: tuple[Fault, ...]
    unlisted_count: int
    counts: Mapping[str, int]

    @property
    def faults_count(self) -> int:
        return len(self.faults) + self.unlisted_count


@dataclass(slots=True)
class Faults:
    """Collects faults while a check runs."""

    _listed: list[Fault] = field(default_factory=list)
    _by_kind: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, where: str, what: str, cure: str) -> None:
        self._by_kind[kind] += 1
        if self._by_kind[kind] <= FAULTS_LISTED_MAX:
            self._listed.append(Fault(kind, where, what, cure))

    def report(self, counts: Mapping[str, int]) -> CheckReport:
        return CheckReport(tuple(self._listed), self._by_kind.total() - len(self._listed), dict(counts))
