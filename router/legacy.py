"""The legacy scheme: a request takes its site's routing table and tries pattern after pattern.

Two arms find the same. `legacy` does what the old design did: it takes the table's bytes, parses them and compiles
pattern after pattern until one matches, for each request. `legacy-compiled` parses and compiles once a version of the
table. RE2 runs the patterns of both, so that none can take more than linear time.

What a process keeps is bounded in bytes and in filters. A table that is too large, or isn't as this release writes
tables, is never run: it is refused once for its version, and its site is found by the hashed scheme. Of a refused table
nothing but the reason is kept, and a script hash that leads nowhere is remembered for the table's version: what is
damaged costs no more than what is sound.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import re2

from router.kv.schema import SITE_NO, Database
from router.kv.store import Snapshot, Store
from router.legacy_table import BEFORE_HOST, TableRefused, find_filter, parse_table
from router.metrics.catalogue import (
    TABLE_CACHE_BYTES,
    TABLE_CACHE_FILTERS,
    TABLE_HITS,
    TABLE_MISSES,
    TABLES_REFUSED,
)
from router.metrics.meter import EdgeMeter
from router.pipeline import Pipeline, PipelineUnreadable
from router.policy import Scheme
from router.records import RecordUnreadable, Site, decode_record

TABLE_BYTES_MAX: Final = 16 * 1024 * 1024
FILTERS_MAX: Final = 100_000
"""Of one table, to be run for a request: at this size a request keeps its worker for a second and a half."""
RAW_BYTES_MAX: Final = 64 * 1024 * 1024
COMPILED_FILTERS_MAX: Final = 60_000
"""Of all compiled tables in a process, some 4.6 KB each."""
SITES_MAX: Final = 50_000
DEAD_HASHES_MAX: Final = 256
"""Of one table, that are remembered one by one; with more, it isn't run any more."""


class TableUnusable(Exception):
    """A site's table can't be used; the text says why."""

    def __init__(self, site_no: int, reason: str) -> None:
        super().__init__(f"the routing table of site {site_no} can't be used: {reason}")
        self.site_no, self.reason = site_no, reason


@dataclass(frozen=True, slots=True)
class Found:
    """What a table leads to: the pipeline, and what `p1` took, as a request target."""

    pipeline: Pipeline
    target: bytes


@dataclass(slots=True)
class SiteTable:
    """One version of a site's table. `is_written`: deploys keep it up to date, so that it may serve. `is_proven`: it
    was read from end to end, and `problem` says all that is wrong with it; its bytes are gone then. `dead` says why a
    script hash leads nowhere."""

    site_no: int
    is_written: bool
    raw: bytes | None
    problem: str | None
    is_proven: bool = False
    compiled: list[tuple[Any, str]] | None = field(default=None, repr=False)
    dead: dict[str, str] = field(default_factory=dict, repr=False)


class TableOutrun(TableUnusable):
    """A script hash of this version of the table leads nowhere: a deploy has outrun it, or it is damaged."""

    def __init__(self, table: SiteTable, script_hash: str, reason: str) -> None:
        super().__init__(table.site_no, reason)
        self.table, self.script_hash = table, script_hash


def subject_of(host: bytes, hostname: str, target: bytes) -> bytes:
    """What patterns are matched against: host[:port]/path. `host` is as it was received, with a port or without one."""
    _, _, port = host.rpartition(b":") if b":" in host else (b"", b"", b"")
    return b"".join((hostname.encode("ascii"), b":" if port else b"", port, target))


def compile_pattern(pattern: str) -> Any:
    """Works on bytes, each of which is a character. Compiled anew each time: `re2.compile` would remember the last 128,
    and a short table would never pay for what the old design did with each request. Raises re2.error."""
    return REGEXP(pattern.encode("latin-1"), OPTIONS)


def pattern_options() -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return options


OPTIONS: Final = pattern_options()
RUN_ERRORS: Final = (orjson.JSONDecodeError, KeyError, TypeError, re2.error)
REGEXP: Final[Any] = type(re2.compile(b"", OPTIONS))


class LegacyTables:
    """One process's tables. Whoever follows the feed tells it which sites have changed."""

    def __init__(self, store: Store, meter: EdgeMeter) -> None:
        self._store = store
        self._meter = meter
        self._sites: OrderedDict[int, SiteTable] = OrderedDict()
        self._raw_bytes = 0
        self._compiled_filters = 0

    def forget(self, site_nos: Iterable[int]) -> None:
        for site_no in site_nos:
            table = self._sites.pop(site_no, None)
            if table is not None:
                self._count_out(table)
        self._tell_sizes()

    def clear(self) -> None:
        self._sites.clear()
        self._raw_bytes = self._compiled_filters = 0
        self._tell_sizes()

    def table_of(self, site_no: int) -> SiteTable:
        """Raises StoreError."""
        table = self._sites.get(site_no)
        if table is not None:
            self._meter.add(TABLE_HITS)
            self._sites.move_to_end(site_no)
            return table
        self._meter.add(TABLE_MISSES)
        with self._store.read() as snapshot:
            table = read_site_table(snapshot, site_no)
        self._sites[site_no] = table
        self._raw_bytes += len(table.raw or b"")
        self._make_room()
        return table

    def find(self, table: SiteTable, scheme: Scheme, subject: bytes) -> Found | None:
        """As the arm does it. Raises TableUnusable, StoreError."""
        if not table.is_proven:
            self._prove(table)
        if table.problem is not None:
            raise TableUnusable(table.site_no, table.problem)
        if table.raw is None:
            return None
        try:
            if scheme is Scheme.LEGACY_COMPILED:
                matched = match_compiled(self._compiled(table), subject)
            else:
                matched = match_parsing(table.raw, subject)
        except RUN_ERRORS as error:
            raise TableUnusable(table.site_no, f"a filter can't be run: {error}") from None
        if matched is None:
            return None
        script_hash, rest = matched
        if script_hash in table.dead:
            raise TableUnusable(table.site_no, table.dead[script_hash])
        try:
            with self._store.read() as snapshot:
                return Found(read_pipeline(snapshot, table.site_no, script_hash), b"/" + rest)
        except TableUnusable as error:
            raise TableOutrun(table, script_hash, error.reason) from None

    def look_afresh(self, outrun: "TableOutrun") -> SiteTable | None:
        """The table that has taken the place of the one that led nowhere, since a deploy writes table and pipelines
        anew. None where it is that one still: then the script hash is remembered as dead. Raises StoreError."""
        table = outrun.table
        with self._store.read() as snapshot:
            is_same = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(table.site_no)) == table.raw
        if not is_same:
            self.forget((table.site_no,))
            return self.table_of(table.site_no)
        table.dead[outrun.script_hash] = outrun.reason
        if len(table.dead) > DEAD_HASHES_MAX:
            self._refuse(table, f"more than {DEAD_HASHES_MAX} of its script hashes lead nowhere")
        return None

    def look_up(self, site_no: int, host: str) -> Pipeline | None:
        """Without running a pattern, for hosts without a route: in the table where it lies, and of one commit with the
        pipeline. Raises TableUnusable, StoreError."""
        with self._store.read() as snapshot:
            view = snapshot.view(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
            if view is None:
                return None
            if len(view) > TABLE_BYTES_MAX:
                raise TableUnusable(site_no, too_large(len(view)))
            try:
                found = find_filter(view, host)
            except TableRefused as error:
                raise TableUnusable(site_no, str(error)) from None
            return read_pipeline(snapshot, site_no, found.script_hash) if found is not None else None

    def _prove(self, table: SiteTable) -> None:
        """Once for all requests that will run it: 60 ms for 50,000 filters."""
        table.is_proven = True
        problem = table.problem if table.raw is None else problem_of(table.raw)
        if problem is not None:
            self._refuse(table, problem)

    def _refuse(self, table: SiteTable, problem: str) -> None:
        """Its bytes make room for tables that are run, or a few refused ones would push each other out for ever."""
        if self._sites.get(table.site_no) is table:
            self._count_out(table)
        table.problem, table.raw, table.compiled = problem, None, None
        table.dead.clear()
        self._meter.add(TABLES_REFUSED)
        self._tell_sizes()

    def _compiled(self, table: SiteTable) -> list[tuple[Any, str]]:
        if table.compiled is None:
            assert table.raw is not None, "a table without bytes isn't searched"
            filters = orjson.loads(table.raw)["filters"]
            table.compiled = [(compile_pattern(each["pattern"]), each["script_hash"]) for each in filters]
            self._compiled_filters += len(table.compiled)
            self._make_room()
        return table.compiled

    def _make_room(self) -> None:
        """Lets the tables go that were not asked for the longest; never the newest, which is in use."""
        while len(self._sites) > 1 and (
            self._raw_bytes > RAW_BYTES_MAX
            or self._compiled_filters > COMPILED_FILTERS_MAX
            or len(self._sites) > SITES_MAX
        ):
            _, table = self._sites.popitem(last=False)
            self._count_out(table)
        self._tell_sizes()

    def _tell_sizes(self) -> None:
        self._meter.put(TABLE_CACHE_BYTES, self._raw_bytes)
        self._meter.put(TABLE_CACHE_FILTERS, self._compiled_filters)

    def _count_out(self, table: SiteTable) -> None:
        self._raw_bytes -= len(table.raw or b"")
        self._compiled_filters -= len(table.compiled or ())


def match_parsing(raw: bytes, subject: bytes) -> tuple[str, bytes] | None:
    """The old way: (script hash, what p1 took) of the first filter that matches."""
    for each in orjson.loads(raw)["filters"]:
        match = compile_pattern(each["pattern"]).match(subject)
        if match is not None:
            return each["script_hash"], match[b"p1"]
    return None


def match_compiled(filters: list[tuple[Any, str]], subject: bytes) -> tuple[str, bytes] | None:
    for pattern, script_hash in filters:
        match = pattern.match(subject)
        if match is not None:
            return script_hash, match[b"p1"]
    return None


def find_afresh(snapshot: Snapshot, table: SiteTable, subject: bytes) -> Found | None:
    """By a table that was just read in this snapshot, which nobody keeps. Raises TableUnusable."""
    problem = table.problem if table.raw is None else problem_of(table.raw)
    if problem is not None:
        raise TableUnusable(table.site_no, problem)
    try:
        matched = match_parsing(table.raw, subject) if table.raw is not None else None
    except RUN_ERRORS as error:
        raise TableUnusable(table.site_no, f"a filter can't be run: {error}") from None
    if matched is None:
        return None
    script_hash, rest = matched
    return Found(read_pipeline(snapshot, table.site_no, script_hash), b"/" + rest)


def problem_of(raw: bytes) -> str | None:
    """What keeps a table from being run; its filters are counted before they are read."""
    filters_count = raw.count(BEFORE_HOST)
    if filters_count > FILTERS_MAX:
        return f"it has {filters_count} filters, more than {FILTERS_MAX}"
    try:
        for _ in parse_table(raw):
            pass
    except TableRefused as error:
        return str(error)
    return None


def too_large(bytes_count: int) -> str:
    return f"it has {bytes_count} bytes, more than {TABLE_BYTES_MAX}"


def read_site_table(snapshot: Snapshot, site_no: int) -> SiteTable:
    """A table that is too large isn't even copied."""
    view = snapshot.view(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
    if view is None:
        return SiteTable(site_no, is_written=False, raw=None, problem=None)
    site = read_site_record(snapshot, site_no)
    is_written = site is not None and site.dual_write
    if len(view) > TABLE_BYTES_MAX:
        return SiteTable(site_no, is_written, raw=None, problem=too_large(len(view)))
    return SiteTable(site_no, is_written, raw=bytes(view), problem=None)


def read_site_record(snapshot: Snapshot, site_no: int) -> Site | None:
    value = snapshot.get(Database.SITES, SITE_NO.pack(site_no))
    try:
        return decode_record(Site, value) if value is not None else None
    except RecordUnreadable:
        return None


def read_pipeline(snapshot: Snapshot, site_no: int, script_hash: str) -> Pipeline:
    """What a filter leads to. Raises TableUnusable."""
    value = snapshot.get(Database.PIPELINES, script_hash.encode("ascii"))
    if value is None:
        raise TableUnusable(site_no, f"script hash {script_hash} names no pipeline")
    try:
        pipeline = Pipeline.parse(value)
    except PipelineUnreadable as error:
        raise TableUnusable(site_no, f"pipeline {script_hash}: {error}") from None
    if pipeline.site_no != site_no:
        raise TableUnusable(site_no, f"pipeline {script_hash} belongs to site {pipeline.site_no}")
    return pipeline
