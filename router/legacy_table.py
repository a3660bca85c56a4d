"""A site's routing table in the old shape: bytes to (host, script hash) and back. Pure.

    {"filters":[{"pattern":"^(?:2b469e16.example.pages.dev(?:[:][0-9]+)?\\\\/(?<p1>.*))$","script_hash":"…"}],"v":1}

One filter a hostname. A pattern is matched against host[:port]/path, and `p1` is the path without its slash. As it
always was, the dots of a host aren't escaped, so a pattern also matches hosts that have another character there. Such a
host has fewer dots, and that is why filters lie in the order of their dots, then of their names: a host's own filter
comes before every other that matches it, and the first that matches is the right one. The order makes a table
reproducible to the byte, and lets an edit find its place without reading the rest.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Final

from router.hostname import NAME_BYTES_MAX, Hostname
from router.pipeline import Pipeline

HEAD: Final = b'{"filters":['
TAIL: Final = b'],"v":1}'
BEFORE_HOST: Final = b'{"pattern":"^(?:'
AFTER_HOST: Final = b'(?:[:][0-9]+)?\\\\/(?<p1>.*))$","script_hash":"'
AFTER_HASH: Final = b'"}'
EMPTY: Final = HEAD + TAIL
SCRIPT_HASH_BYTES: Final = 16
LAYOUTS_MAX: Final = 256

NAME: Final = rb"[a-z0-9][a-z0-9.-]{0,%d}" % (NAME_BYTES_MAX - 1)
SCRIPT_HASH: Final = rb"[A-Za-z0-9_-]{1,64}"
FILTER: Final = re.compile(
    b"%b(%b)%b(%b)%b" % (re.escape(BEFORE_HOST), NAME, re.escape(AFTER_HOST), SCRIPT_HASH, re.escape(AFTER_HASH))
)
FILTER_BYTES_MAX: Final = len(BEFORE_HOST) + NAME_BYTES_MAX + len(AFTER_HOST) + 64 + len(AFTER_HASH) + 1
Bytes = bytes | memoryview
"""A table, or where it lies in the store."""
PATTERN: Final = re.compile(r"\^\(\?:([a-z0-9](?:[a-z0-9-]|\\?\.)*)\(\?:\[:\]\[0-9\]\+\)\?\\/\(\?<p1>\.\*\)\)\$")
"""The shapes of a pattern that are known: a host with bare dots, or with all of them escaped."""


class TableRefused(ValueError):
    """These bytes aren't a table as `render_table` makes them; the text says where they part from it."""


class PatternUnknown(ValueError):
    """A pattern isn't of a known shape, and nobody guesses which host it may have been made for."""


@dataclass(frozen=True, slots=True)
class Filter:
    """`host` is in normal form; `script_hash` names a record in the pipelines database."""

    host: str
    script_hash: str


def script_hash_of(pipeline: Pipeline) -> str:
    """32 hex, from what the pipeline is: so a record never changes, and equal pipelines of a site share one."""
    return blake2b(pipeline.encode(), digest_size=SCRIPT_HASH_BYTES).hexdigest()


def pattern_of(host: str) -> str:
    """As it is written in a table."""
    return f"^(?:{host}(?:[:][0-9]+)?\\/(?<p1>.*))$"


@dataclass(frozen=True, slots=True)
class KnownPattern:
    """The one host that a pattern was made for. `is_exact`: it matches no other."""

    host: str
    is_exact: bool


def known_pattern(pattern: str) -> KnownPattern:
    """Raises PatternUnknown."""
    match = PATTERN.fullmatch(pattern)
    if match is None:
        raise PatternUnknown("the pattern isn't of a known shape")
    host = match[1]
    escaped_count = host.count("\\.")
    if escaped_count not in (0, host.count(".")):
        raise PatternUnknown("some dots of the pattern's host are escaped, some aren't")
    host = host.replace("\\.", ".")
    try:
        hostname = Hostname.parse(host.encode("ascii"))
    except ValueError as error:  # HostRefused
        raise PatternUnknown(f"the pattern's host can't be one: {error}") from None
    if hostname.name != host:
        raise PatternUnknown(f"the pattern's host isn't in its normal form, {hostname.name}")
    return KnownPattern(host, is_exact=escaped_count > 0)


def shadowed(patterns: Sequence[KnownPattern]) -> Iterator[tuple[int, int]]:
    """Places of two patterns, in the order in which they are tried, of which the earlier also matches the later's host:
    that host would be answered by the wrong one. Past LAYOUTS_MAX ways in which dots lie, nothing more is looked for.
    """
    seen: dict[str, int] = {}
    layouts_by_length: dict[int, dict[tuple[int, ...], None]] = {}
    for at, pattern in enumerate(patterns):
        host = pattern.host
        layouts = layouts_by_length.setdefault(len(host), {})
        for layout in layouts:
            characters = list(host)
            for dot_at in layout:
                characters[dot_at] = "."
            earlier = seen.get("".join(characters))
            if earlier is not None and patterns[earlier].host != host:
                yield earlier, at
        if not pattern.is_exact:
            seen.setdefault(host, at)
            if len(layouts) < LAYOUTS_MAX:
                layouts[tuple(at for at, character in enumerate(host) if character == ".")] = None


# -- the whole table -------------------------------------------------------------------------------------------------


def place_of(host: bytes) -> tuple[int, bytes]:
    """What filters are ordered by."""
    return host.count(b"."), host


def render_filter(host: bytes, script_hash: bytes) -> bytes:
    return b"".join((BEFORE_HOST, host, AFTER_HOST, script_hash, AFTER_HASH))


def render_table(filters: Iterable[Filter]) -> bytes:
    """The one table of these filters, in whatever order they come; a host twice is a mistake of the caller's."""
    rows = [(each.host.encode("ascii"), each.script_hash.encode("ascii")) for each in filters]
    rows.sort(key=lambda row: place_of(row[0]))
    assert all(one[0] != other[0] for one, other in pairwise(rows)), "one filter a host"
    return HEAD + b",".join(render_filter(host, script_hash) for host, script_hash in rows) + TAIL


def parse_table(table: bytes) -> Iterator[Filter]:
    """Every filter, in the table's order. Raises TableRefused at the first byte that isn't `render_table`'s."""
    if not table.startswith(HEAD):
        raise TableRefused("it doesn't begin as a table does")
    at, before = len(HEAD), (0, b"")
    while table[at : at + 1] != b"]":
        match = FILTER.match(table, at)
        if match is None:
            raise TableRefused(f"byte {at} isn't the beginning of a filter of the known shape")
        place = place_of(match[1])
        if place <= before:
            raise TableRefused(f"byte {at}: the filter of {match[1].decode('ascii')} is out of order or there twice")
        yield Filter(match[1].decode("ascii"), match[2].decode("ascii"))
        before, at = place, match.end()
        if table[at : at + 1] == b",":
            at += 1
            if table[at : at + 1] == b"]":
                raise TableRefused(f"byte {at}: a filter is missing")
        elif table[at : at + 1] != b"]":
            raise TableRefused(f"it is cut at byte {at}")
    if table[at:] != TAIL:
        raise TableRefused("it doesn't end as a table of version 1 does")


# -- one host in it --------------------------------------------------------------------------------------------------


def find_filter(table: Bytes, host: str) -> Filter | None:
    """By halving, in a table that is as `render_table` makes them. Raises TableRefused where it finds that it isn't."""
    start, end = find_place(table, host.encode("ascii"))
    match = FILTER.match(table, start) if start < end else None
    return Filter(host, match[2].decode("ascii")) if match is not None else None


def edit_table(table: bytes, edits: Mapping[str, str | None]) -> bytes:
    """The table with these hosts' script hashes; None takes a host's filter out. Raises TableRefused."""
    pieces: list[bytes] = []
    at = len(HEAD)
    places = sorted(
        (find_place(table, name := host.encode("ascii")), place_of(name), script_hash)
        for host, script_hash in edits.items()
    )
    for (start, end), (_, host_bytes), script_hash in places:
        pieces.append(table[at:start])
        if script_hash is not None:
            pieces.append(render_filter(host_bytes, script_hash.encode("ascii")))
        at = end
    pieces.append(table[at : len(table) - len(TAIL)])
    return HEAD + b",".join(kept for piece in pieces if (kept := piece.strip(b","))) + TAIL


def cut_out(table: bytes, hosts: Collection[str]) -> tuple[bytes, set[str]]:
    """A table that may be damaged, without the filters that `find_filter` could find these hosts by; and the script
    hashes that they had. What else it holds stays as it is."""
    pieces: list[bytes] = []
    hashes: set[str] = set()
    at = 0
    for match in FILTER.finditer(table):
        if match[1].decode("ascii") in hosts:
            hashes.add(match[2].decode("ascii"))
            pieces.append(table[at : match.start()])
            at = match.end() + (table[match.end() : match.end() + 1] == b",")
    left = b"".join((*pieces, table[at:]))
    return (left.removesuffix(b"," + TAIL) + TAIL if left.endswith(b"," + TAIL) else left), hashes


def find_place(table: Bytes, host: bytes) -> tuple[int, int]:
    """Where the host's filter begins and ends; where it has none, twice where it would begin."""
    if bytes(table[: len(HEAD)]) != HEAD or bytes(table[-len(TAIL) :]) != TAIL:
        raise TableRefused("it doesn't begin or end as a table does")
    wanted = place_of(host)
    low, high = len(HEAD), len(table) - len(TAIL)
    while low < high:
        middle = (low + high) // 2
        near = max(low, middle - FILTER_BYTES_MAX)
        start = near + max(0, bytes(table[near : middle + len(BEFORE_HOST)]).rfind(BEFORE_HOST))
        match = FILTER.match(table, start)
        if match is None:
            raise TableRefused(f"byte {start} isn't the beginning of a filter of the known shape")
        place = place_of(match[1])
        if place == wanted:
            return match.start(), match.end()
        if place < wanted:
            low = min(match.end() + 1, high)  # past the comma, if there is one
        else:
            high = match.start()
    return low, low
