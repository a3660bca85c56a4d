"""Texts with the names of a pattern in them: destinations of `_redirects`, values of `_headers` (pages-serving 4.4).

Captured text is text: it is put in as it is, and names match whole, so that `:id` and `:idx` are two names (differences
9). How long the result would be is known before it is made, so that a line of names and a long path fill no memory.
"""

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Self

from asset_server.pattern import PLACEHOLDER


@dataclass(frozen=True, slots=True)
class Template:
    """`places` says how often each captured name stands in `text`; `fixed_bytes` is the rest, as UTF-8."""

    text: str
    places: tuple[tuple[str, int], ...]
    fixed_bytes: int

    @classmethod
    def parse(cls, text: str, names: Set[str]) -> Self:
        """`names` are those that the pattern captures; others stay as they are."""
        counts = Counter(name for name in PLACEHOLDER.findall(text) if name in names)
        places_bytes = sum(count * (1 + len(name)) for name, count in counts.items())
        return cls(text, tuple(counts.items()), len(text.encode("utf-8")) - places_bytes)

    def filled_bytes(self, captured: Mapping[str, str]) -> int:
        """The length of the filled text; captured text is from a URL and so ASCII."""
        return self.fixed_bytes + sum(count * len(captured[name]) for name, count in self.places)

    def fill(self, captured: Mapping[str, str]) -> str:
        return fill(self.text, captured) if self.places else self.text


def fill(text: str, captured: Mapping[str, str]) -> str:
    """`text` with the captured text in place of its names; names that captured nothing stay as they are."""
    return PLACEHOLDER.sub(lambda match: captured.get(match[1], match[0]), text)


def names_in(text: str) -> frozenset[str]:
    return frozenset(PLACEHOLDER.findall(text))
