"""Patterns with one `*` and any number of `:names`, as `_redirects` and `_headers` have them (pages-serving 4.4, 5.2).

    /blog/:year/*   →   literal "/blog/", one segment as "year", literal "/", anything as "splat"

A pattern is matched by RE2, so that no pattern and no path takes more than linear time. Captured text is text: it is
put into a template as it is, and names match whole, so that `:id` and `:idx` are two names (differences 9).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import re2

PLACEHOLDER: Final = re.compile(r":([A-Za-z][A-Za-z0-9_]*)")
WILDCARD: Final = re.compile(rf"\*|{PLACEHOLDER.pattern}")
SPLAT: Final = "splat"
ABSOLUTE: Final = "https://"
SEGMENT: Final = "[^/]+"
LABEL: Final = "[^/.]+"
"""What a placeholder in the host takes: no dot, so that it names one level."""
COMPILED_MAX: Final = 4_096
"""Programs kept in a process, some 10 KB each; of all the rules that it serves few come so far as to need one."""
PROGRAM_BYTES_MAX: Final = 1024 * 1024
"""RE2's budget for a program and its DFA. A line of 2,000 characters needs about a tenth."""


class PatternRefused(ValueError):
    """A pattern that could never match as its author means it; the text says why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`prefix` is what comes before the first wildcard: most subjects fail there, before any program is needed."""

    source: str
    prefix: str
    names: tuple[str, ...]

    @classmethod
    def parse(cls, source: str) -> Self:
        """`source` is a normalised path, or "https://", a host and a path. Raises PatternRefused."""
        names: list[str] = []
        for match in WILDCARD.finditer(source):
            name = match[1] or SPLAT
            if name in names:
                raise PatternRefused(_why_repeated(name, source))
            names.append(name)
        first = WILDCARD.search(source)
        return cls(source, source if first is None else source[: first.start()], tuple(names))

    def matches(self, subject: str) -> bool:
        if not subject.startswith(self.prefix):
            return False
        if not self.names:
            return len(subject) == len(self.prefix)
        return compiled(self.source, False).fullmatch(subject.encode("utf-8")) is not None

    def capture(self, subject: str) -> dict[str, str] | None:
        """What each name took, when the pattern matches."""
        if not subject.startswith(self.prefix):
            return None
        if not self.names:
            return {} if len(subject) == len(self.prefix) else None
        match = compiled(self.source, True).fullmatch(subject.encode("utf-8"))
        if match is None:
            return None
        return {name: text.decode("utf-8") for name, text in zip(self.names, match.groups(), strict=True)}


def is_dynamic(source: str) -> bool:
    return WILDCARD.search(source) is not None


def fill(template: str, captured: Mapping[str, str]) -> str:
    """`template` with the captured text in place of its names; names that captured nothing stay as they are."""
    if not captured or ":" not in template:
        return template
    return PLACEHOLDER.sub(lambda match: captured.get(match[1], match[0]), template)


def names_in(template: str) -> frozenset[str]:
    return frozenset(PLACEHOLDER.findall(template))


@lru_cache(COMPILED_MAX)
def compiled(source: str, capturing: bool) -> "re2._Regexp":
    """Programs work on bytes: RE2 answers in byte offsets, and the subject is nearly always ASCII."""
    host_end = source.find("/", len(ABSOLUTE)) if source.startswith(ABSOLUTE) else 0
    parts: list[str] = []
    position = 0
    for match in WILDCARD.finditer(source):
        taken = ".*" if match[0] == "*" else LABEL if match.start() < host_end else SEGMENT
        parts.append(re2.escape(source[position : match.start()]))
        parts.append(f"({taken})" if capturing else taken)
        position = match.end()
    parts.append(re2.escape(source[position:]))
    options = re2.Options()
    options.max_mem = PROGRAM_BYTES_MAX
    options.log_errors = False
    options.dot_nl = True
    return re2.compile("".join(parts).encode("utf-8"), options)


def _why_repeated(name: str, source: str) -> str:
    if name != SPLAT:
        return f"The placeholder :{name} appears more than once in {source}. Give each its own name."
    if source.count("*") > 1:
        return f"Only one * is allowed in a path. Got {source.count('*')} in {source}."
    return f"A path can't have both * and :{SPLAT}, since * is named {SPLAT}. Got {source}."
