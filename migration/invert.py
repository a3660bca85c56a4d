"""From a routing table to the hosts it was made for, filter by filter; or why a filter's host can't be told. Pure.

Nothing is guessed: a pattern that isn't exactly of a known shape, or whose host another pattern of the table would
answer first, is a failure with its reason, and so is a table that can't be read at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import orjson

from router.legacy_table import (
    HEAD,
    TAIL,
    KnownPattern,
    PatternUnknown,
    TableRefused,
    known_pattern,
    parse_table,
    shadowed,
)

SHOWN_CHARACTERS_MAX: Final = 200
VERSION: Final = 1
LOOSE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of a table in other JSON than ours, which is built whole in memory: some eight times its bytes."""


@dataclass(frozen=True, slots=True)
class Inverted:
    """One filter: the host that it answers, the record that it leads to."""

    host: str
    script_hash: str


@dataclass(frozen=True, slots=True)
class NotInverted:
    """A filter, or with `what` "table" the whole of it, that leads nowhere; `what` is cut to a line's length."""

    what: str
    reason: str


def invert_table(table: bytes) -> Iterator[Inverted | NotInverted]:
    """Every filter once, in the table's order. One in the form of `render_table` is read without building its JSON.

    Of a table whose end is missing, nothing is taken; where it is damaged further in, what stands before the damage.
    One in another form is read up to LOOSE_BYTES_MAX.
    """
    exact_count = 0
    if table.startswith(HEAD) and table.endswith(TAIL):
        try:
            for each in parse_table(table):
                yield Inverted(each.host, each.script_hash)
                exact_count += 1
        except TableRefused as error:
            refused = str(error)
        else:
            return
    else:
        refused = "it doesn't begin and end as a table of version 1 does"
    if len(table) > LOOSE_BYTES_MAX:
        yield NotInverted("table", f"{refused}; in another form it is read up to {LOOSE_BYTES_MAX} bytes: {len(table)}")
        return
    filters = read_filters(table)
    if filters is None:
        yield NotInverted("table", refused)
    else:
        yield from islice(invert_loosely(filters), exact_count, None)


def read_filters(table: bytes) -> list[Any] | None:
    """The filters of a table in whatever JSON; None for what is no table of version 1."""
    try:
        document = orjson.loads(table)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict):
        return None
    filters, version = document.get("filters"), document.get("v")
    is_known = type(version) is int and version == VERSION  # true and 1.0 are equal to 1, and no versions
    return filters if isinstance(filters, list) and is_known else None


def invert_loosely(filters: list[Any]) -> Iterator[Inverted | NotInverted]:
    """Each by its pattern's shape, and by what patterns stand before it."""
    read = [read_filter(each) for each in filters]
    problems = {at: f"its host is answered by the pattern of filter {by}" for by, at in shadowed_filters(read)}
    seen: dict[str, int] = {}
    for at, (each, known) in enumerate(zip(filters, read, strict=True)):
        if isinstance(known, NotInverted):
            yield known
        elif at in problems:
            yield NotInverted(shown(each), problems[at])
        elif known.host in seen:
            yield NotInverted(shown(each), f"filter {seen[known.host]} is for the same host")
        else:
            seen[known.host] = at
            yield Inverted(known.host, each["script_hash"])


def read_filter(each: Any) -> KnownPattern | NotInverted:
    if not (
        isinstance(each, dict) and isinstance(each.get("pattern"), str) and isinstance(each.get("script_hash"), str)
    ):
        return NotInverted(shown(each), "a filter has a pattern and a script_hash, both text")
    try:
        return known_pattern(each["pattern"])
    except PatternUnknown as error:
        return NotInverted(shown(each), str(error))


def shadowed_filters(read: list[KnownPattern | NotInverted]) -> Iterator[tuple[int, int]]:
    """Places of two filters of which the earlier answers the later's host."""
    places = [at for at, known in enumerate(read) if isinstance(known, KnownPattern)]
    known = [each for each in read if isinstance(each, KnownPattern)]
    for earlier, later in shadowed(known):
        yield places[earlier], places[later]


def shown(each: Any) -> str:
    text = each["pattern"] if isinstance(each, dict) and isinstance(each.get("pattern"), str) else repr(each)
    return text[:SHOWN_CHARACTERS_MAX]
