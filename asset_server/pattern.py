"""Patterns with one `*` and any number of `:names`, as `_redirects` and `_headers` have them (pages-serving 4.4, 5.2).

    /blog/:year/*   →   literal "/blog/", one segment as "year", literal "/", anything as "splat"

Names never take a "/" (in a host no "." either), so the separators of a pattern and of a subject meet one by one,
those before `*` from the left and those after it from the right. What lies between two separators is a cell, and cells
are matched apart from each other. In a cell each name takes as much as those after it leave, as with a greedy regular
expression: that is where every literal sits as far right as it can, which one walk from the right finds. So no pattern
and no path takes more than a walk over both, however many names there are: a regular expression that must remember
what 300 names took needs seconds for one long path (hardening 46).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

PLACEHOLDER: Final = re.compile(r":([A-Za-z][A-Za-z0-9_]*)")
WILDCARD: Final = re.compile(rf"\*|{PLACEHOLDER.pattern}")
SPLAT: Final = "splat"
ABSOLUTE: Final = "https://"
NAMES_MAX: Final = 100
"""In one pattern, so that a compiled one stays a few times the size of its text."""
CELLS_SHARED_MAX: Final = 256
IN_PATH: Final = "/"
IN_HOST: Final = "./"
"""What no name takes: in the host no dot either, so that a name is one level of it."""
STOP_IN_PATH: Final = re.compile("/")
STOP_IN_HOST: Final = re.compile("[./]")


class PatternRefused(ValueError):
    """A pattern that could never match as its author means it; the text says why."""


@dataclass(frozen=True, slots=True)
class _Cell:
    """What may stand between two separators: `literals` with a name between each two of them. `stops` are the
    separators here."""

    literals: tuple[str, ...]
    stops: str

    def end_in(self, subject: str, start: int, end: int) -> int:
        """Where the first separator of `subject[start:end]` is, or `end`."""
        for stop in self.stops:
            found = subject.find(stop, start, end)
            end = end if found == -1 else found
        return end

    def start_in(self, subject: str, start: int, end: int) -> int:
        """Where what follows the last separator of `subject[start:end]` begins, or `start`."""
        return max(start, *(subject.rfind(stop, start, end) + 1 for stop in self.stops))


@dataclass(frozen=True, slots=True)
class _Run:
    """Cells, with a joint between each two: a text that begins and ends with a separator, such as "/" or "/x/y/"."""

    cells: tuple[_Cell, ...]
    joints: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pattern:
    """`prefix` is what comes before the first wildcard: most subjects fail there. `head` begins at `head_start`, after
    the last separator of the prefix; `tail` is what follows `*`, None without one."""

    source: str
    prefix: str
    names: tuple[str, ...]
    head_start: int
    head: _Run | None
    tail: _Run | None

    @classmethod
    def parse(cls, source: str) -> Self:
        """`source` is a normalised path, or "https://", a host and a path. Raises PatternRefused."""
        wildcards = list(WILDCARD.finditer(source))
        names = [match[1] or SPLAT for match in wildcards]
        if len(set(names)) < len(names):
            raise PatternRefused(_why_repeated(names, source))
        if len(names) > NAMES_MAX:
            raise PatternRefused(f"A path may have {NAMES_MAX} placeholders. This one has {len(names)}.")
        if not wildcards:
            return cls(source, source, (), 0, None, None)
        prefix = source[: wildcards[0].start()]
        head, tail = _runs(source, wildcards)
        return cls(source, prefix, tuple(names), len(prefix) - len(head.cells[0].literals[0]), head, tail)

    def capture(self, subject: str) -> dict[str, str] | None:
        """What each name took, when the pattern matches."""
        if not subject.startswith(self.prefix):
            return None
        if self.head is None:
            return {} if len(subject) == len(self.prefix) else None
        taken = self._take(self.head, subject)
        return None if taken is None else dict(zip(self.names, taken, strict=True))

    def _take(self, head: _Run, subject: str) -> list[str] | None:
        """What the names took, in their order."""
        start, end = self.head_start, len(subject)
        before: list[str] = []
        for cell, joint in zip(head.cells, head.joints, strict=False):  # the last cell has no joint after it
            cell_end = cell.end_in(subject, start, end)
            took = _take_cell(cell.literals, subject[start:cell_end])
            if took is None or not subject.startswith(joint, cell_end):
                return None
            before += took
            start = cell_end + len(joint)
        last = head.cells[-1]
        if self.tail is None:
            took = _take_cell(last.literals, subject[start:]) if last.end_in(subject, start, end) == end else None
            return None if took is None else before + took
        after: list[str] = []
        for cell, joint in zip(self.tail.cells[:0:-1], self.tail.joints[::-1], strict=True):
            cell_start = cell.start_in(subject, start, end)
            took = _take_cell(cell.literals, subject[cell_start:end])
            end = cell_start - len(joint)
            if took is None or end < start or not subject.startswith(joint, end):
                return None
            after = took + after
        around = _take_around_star(last, self.tail.cells[0], subject, start, end)
        return None if around is None else before + around + after


def is_dynamic(source: str) -> bool:
    return WILDCARD.search(source) is not None


def _runs(source: str, wildcards: Sequence[re.Match[str]]) -> tuple[_Run, _Run | None]:
    host_end = source.find("/", len(ABSOLUTE)) if source.startswith(ABSOLUTE) else 0
    runs: list[_Run] = []
    cells: list[_Cell] = []
    joints: list[str] = []
    _, _, right = _split_literal(source, 0, wildcards[0].start(), host_end)
    literals = [right]
    stops = IN_HOST if wildcards[0].start() < host_end else IN_PATH
    for index, wildcard in enumerate(wildcards):
        if wildcard[0] == "*":
            runs.append(_Run((*cells, _cell(tuple(literals), stops)), tuple(joints)))
            cells, joints, literals = [], [], []
        literal_end = wildcards[index + 1].start() if index + 1 < len(wildcards) else len(source)
        left, joint, right = _split_literal(source, wildcard.end(), literal_end, host_end)
        literals.append(left)
        if joint:
            cells.append(_cell(tuple(literals), stops))
            joints.append(joint)
            literals = [right]
            stops = IN_HOST if literal_end < host_end else IN_PATH
    runs.append(_Run((*cells, _cell(tuple(literals), stops)), tuple(joints)))
    return runs[0], runs[1] if len(runs) > 1 else None


@lru_cache(CELLS_SHARED_MAX)
def _cell(literals: tuple[str, ...], stops: str) -> _Cell:
    """Most cells are a name between two separators, so patterns share them."""
    return _Cell(literals, stops)


def _split_literal(source: str, start: int, end: int, host_end: int) -> tuple[str, str, str]:
    """`source[start:end]` as what comes before its first separator, from that to the last one, and what follows."""
    stops = [
        *(match.start() for match in STOP_IN_HOST.finditer(source, start, min(end, host_end))),
        *(match.start() for match in STOP_IN_PATH.finditer(source, max(start, host_end), end)),
    ]
    if not stops:
        return source[start:end], "", ""
    return source[start : stops[0]], source[stops[0] : stops[-1] + 1], source[stops[-1] + 1 : end]


def _take_cell(literals: Sequence[str], text: str, *, star: int = -1) -> list[str] | None:
    """What stands between the literals when they fill `text` from end to end, each as far right as it can be; at least
    a character, but for the gap number `star`."""
    first, last = literals[0], literals[-1]
    if len(literals) == 1:
        return [] if text == first else None
    start, end = len(first), len(text) - len(last)
    if not (text.startswith(first) and text.endswith(last)):
        return None
    # Searched backwards in the mirrored text: `str.find` is linear, `str.rfind` isn't.
    mirrored = text[::-1] if len(literals) > 2 else ""
    gaps: list[str] = []
    for index in range(len(literals) - 2, 0, -1):
        latest_end = end - (index != star)
        found = mirrored.find(literals[index][::-1], len(text) - latest_end, len(text) - start)
        if found == -1:
            return None
        gaps.append(text[len(text) - found : end])
        end = len(text) - found - len(literals[index])
    if end - start < (star != 0):
        return None
    gaps.append(text[start:end])
    gaps.reverse()
    return gaps


def _take_around_star(before: _Cell, after: _Cell, subject: str, start: int, end: int) -> list[str] | None:
    """What the names of both cells and `*` between them take of `subject[start:end]`."""
    before_end = before.end_in(subject, start, end)
    after_start = after.start_in(subject, start, end)
    star = len(before.literals) - 1
    if before_end == end:  # no separator: one text for both
        return _take_cell((*before.literals, *after.literals), subject[start:end], star=star)
    before_took = _take_cell((*before.literals, ""), subject[start:before_end], star=star)
    after_took = _take_cell(("", *after.literals), subject[after_start:end], star=0)
    if before_took is None or after_took is None:
        return None
    splat = subject[before_end - len(before_took[-1]) : after_start + len(after_took[0])]
    return [*before_took[:-1], splat, *after_took[1:]]


def _why_repeated(names: Sequence[str], source: str) -> str:
    repeated = next(name for index, name in enumerate(names) if name in names[:index])
    if repeated != SPLAT:
        return f"The placeholder :{repeated} appears more than once in {source}. Give each its own name."
    if source.count("*") > 1:
        return f"Only one * is allowed in a path. Got {source.count('*')} in {source}."
    return f"A path can't have both * and :{SPLAT}, since * is named {SPLAT}. Got {source}."
