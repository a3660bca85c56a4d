"""`onehop legacy import`: tables made elsewhere, read strictly, and taken in as far as they agree with what is here.

Nothing is guessed. A filter whose pattern isn't of a known shape, whose host isn't the site's, or whose script hash
names no pipeline of the site is a problem with its number and its reason, and a file with a problem is left out whole.
A host that is served already keeps what it shows: an old table never undoes a newer deploy. A deployment's host that
no record knows gets a record, so that it can be listed and deleted as any other.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import orjson

from control_plane.activation import pipeline_of
from control_plane.catalogue import deployments_newest_first, find_alias, put_deployment, put_site, read_deployment
from control_plane.clock import Clock
from control_plane.dual_write import put_pipeline_as, put_table, rebuild_table, shown_in_table
from functions.bundle import BundleStore
from onehop.errors import CommandFailed
from onehop.opened_store import OpenedStore
from onehop.regular_file import FileRefused, read_regular
from router.hashed import read_route
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.store import Transaction
from router.legacy import FILTERS_MAX, TABLE_BYTES_MAX, TableUnusable, read_pipeline, read_site_record
from router.legacy_table import EMPTY, KnownPattern, PatternUnknown, TableRefused, edit_table, known_pattern, shadowed
from router.pipeline import Pipeline, PipelineUnreadable
from router.records import Deployment, Site
from router.resolve import find_site_no

TABLE_SUFFIX: Final = ".table.json"
PIPELINES_SUFFIX: Final = ".pipelines.json"
PROBLEMS_MAX: Final = 1_000
TOLD_CHARACTERS_MAX: Final = 200
SHORT_ID: Final = re.compile(r"[0-9a-f]{8}")
SCRIPT_HASH: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class ImportRefused(CommandFailed):
    """A file isn't a table, or its site can't take one; the message says why."""


class FilterRefused(Exception):
    """One filter can't be taken in."""


class NothingTakenIn(Exception):
    """Ends the transaction of a file with problems, so that nothing of it stays."""

    def __init__(self, site: Site, problems: "tuple[Problem, ...]") -> None:
        super().__init__(site.name)
        self.site, self.problems = site, problems


@dataclass(frozen=True, slots=True)
class Problem:
    """`number` counts a file's filters from 1."""

    number: int
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReadFilter:
    number: int
    pattern: KnownPattern
    script_hash: str


@dataclass(frozen=True, slots=True)
class TableFile:
    """What of a file could be read."""

    path: Path
    filters: tuple[ReadFilter, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """`added_count` hosts are new to the site's table, `kept_count` show what they showed; with problems, or `refused`
    as a whole for that reason, none is. `is_made_anew`: the site's dual write was off, and its table made first."""

    path: Path
    site: str
    added_count: int
    kept_count: int
    problems: tuple[Problem, ...]
    is_made_anew: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are read together. `goes_on`: what of it is refused keeps no other group out."""

    paths: tuple[Path, ...]
    goes_on: bool = False


# -- files -----------------------------------------------------------------------------------------------------------


def grouped(paths: Iterable[Path]) -> list[Group]:
    """Those that were named, and of a folder each SITE.table.json with the pipelines beside it: so that a folder of any
    size is read a site at a time. Raises ImportRefused."""
    groups: list[Group] = []
    named: list[Path] = []
    for path in paths:
        if path.is_dir():
            groups += groups_of_folder(path)
        else:
            named.append(path)
    return [*groups, Group(tuple(named))] if named else groups


def groups_of_folder(folder: Path) -> list[Group]:
    """Raises ImportRefused."""
    try:
        names = {each.name for each in folder.iterdir()}
    except OSError as error:
        raise ImportRefused(f"{folder} can't be read: {error.strerror}") from None
    sites = sorted(each.removesuffix(TABLE_SUFFIX) for each in names if each.endswith(TABLE_SUFFIX))
    if not sites:
        raise ImportRefused(f"{folder} holds no SITE{TABLE_SUFFIX}, as 'onehop migrate cleanup' keeps them")
    wanted = [(f"{site}{TABLE_SUFFIX}", f"{site}{PIPELINES_SUFFIX}") for site in sites]
    return [Group(tuple(folder / each for each in pair if each in names), goes_on=True) for pair in wanted]


def read_files(paths: Iterable[Path]) -> tuple[list[TableFile], dict[str, Pipeline]]:
    """The tables, and the pipelines that files of those have. Raises ImportRefused."""
    tables: list[TableFile] = []
    pipelines: dict[str, Pipeline] = {}
    for path in paths:
        document = read_document(path)
        try:
            version = document.get("v")
            if type(version) is not int or version != 1:  # true and 1.0 are equal to 1
                told = repr(version)[:TOLD_CHARACTERS_MAX]
                raise ImportRefused(f"{path} is of version {told}; version 1 is known")
            if isinstance(document.get("pipelines"), dict):
                pipelines.update(read_pipelines(path, document["pipelines"]))
            elif isinstance(document.get("filters"), list):
                tables.append(read_table_file(path, document["filters"]))
            else:
                raise ImportRefused(f'{path} is no routing table: it has neither "filters" nor "pipelines"')
        except RecursionError:
            raise ImportRefused(f"{path} is nested too deep for a routing table") from None
    return tables, pipelines


def read_document(path: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(read_regular(path, bytes_max=TABLE_BYTES_MAX))
    except FileRefused as error:
        raise ImportRefused(
            f"{path} {error}; a table of more than {TABLE_BYTES_MAX} bytes isn't run, and only regular files are read"
        ) from None
    except OSError as error:
        raise ImportRefused(f"{path} can't be read: {error.strerror}") from None
    except orjson.JSONDecodeError as error:
        raise ImportRefused(f"{path} isn't JSON, or is cut: {error}") from None
    if not isinstance(document, dict):
        raise ImportRefused(f"{path} is no routing table: it isn't a JSON object")
    return document


def read_table_file(path: Path, filters: list[Any]) -> TableFile:
    if len(filters) > FILTERS_MAX:
        raise ImportRefused(f"{path} has {len(filters)} filters; a table of more than {FILTERS_MAX} is never run")
    found: dict[str, ReadFilter] = {}
    problems: list[Problem] = []
    for number, each in enumerate(filters, start=1):
        try:
            read = read_filter(number, each)
            if (earlier := found.get(read.pattern.host)) is not None:
                raise FilterRefused(f"{read.pattern.host} has a filter already, number {earlier.number}")
            found[read.pattern.host] = read
        except FilterRefused as error:
            problems.append(Problem(number, repr(each)[:TOLD_CHARACTERS_MAX], str(error)))
    in_order = list(found.values())
    for earlier_at, later_at in shadowed([each.pattern for each in in_order]):
        earlier, later = in_order[earlier_at], in_order[later_at]
        reason = (
            f"matches two hosts: {earlier.pattern.host}, and {later.pattern.host} of filter {later.number} after it"
        )
        problems.append(Problem(earlier.number, earlier.pattern.host, reason))
    return TableFile(path, tuple(in_order), tuple(sorted(problems, key=lambda each: each.number)))


def read_filter(number: int, members: Any) -> ReadFilter:
    """Raises FilterRefused."""
    if not isinstance(members, dict) or members.keys() != {"pattern", "script_hash"}:
        raise FilterRefused('a filter has a "pattern" and a "script_hash", and nothing else')
    pattern, script_hash = members["pattern"], members["script_hash"]
    if not isinstance(script_hash, str) or SCRIPT_HASH.fullmatch(script_hash) is None:
        raise FilterRefused("its script_hash isn't 1 to 64 letters, digits, - and _")
    if not isinstance(pattern, str):
        raise FilterRefused("its pattern isn't a text")
    try:
        return ReadFilter(number, known_pattern(pattern), script_hash)
    except PatternUnknown as error:
        raise FilterRefused(str(error)) from None


def read_pipelines(path: Path, members: Mapping[str, Any]) -> Iterator[tuple[str, Pipeline]]:
    """Raises ImportRefused."""
    for script_hash, each in members.items():
        try:
            pipeline = Pipeline.parse(orjson.dumps(each))
        except (PipelineUnreadable, orjson.JSONEncodeError) as error:  # the latter for what is nested too deep
            told = script_hash[:TOLD_CHARACTERS_MAX]
            raise ImportRefused(f"{path}: pipeline {told}: {str(error)[:TOLD_CHARACTERS_MAX]}") from None
        yield script_hash, pipeline


# -- into the store --------------------------------------------------------------------------------------------------


def import_group(it: OpenedStore, group: Group, clock: Clock, *, turns_on: bool) -> list[Imported]:
    """A transaction a table. Raises ImportRefused, unless the group is one of many."""
    try:
        tables, pipelines = read_files(group.paths)
        return [import_table(it, each, pipelines, clock, turns_on=turns_on) for each in tables]
    except ImportRefused as error:
        if not group.goes_on:
            raise
        return [Imported(group.paths[0], "", 0, 0, (), refused=str(error))]


def import_table(
    it: OpenedStore, file: TableFile, pipelines: Mapping[str, Pipeline], clock: Clock, *, turns_on: bool = False
) -> Imported:
    """In one transaction, all of a file or nothing; `turns_on` the dual write of a site whose own is off, which makes
    its table anew from its records first. Raises ImportRefused."""
    try:
        with it.store.write() as transaction:
            site = site_of(it, transaction, file)
            if file.problems:
                raise NothingTakenIn(site, file.problems)
            is_made_anew = not site.dual_write
            if is_made_anew:
                site = with_dual_write(it, transaction, site, turns_on=turns_on)
            intake = Intake(it, transaction, site, pipelines, clock)
            problems = []
            for each in file.filters:
                try:
                    intake.take(each)
                except FilterRefused as error:
                    problems.append(Problem(each.number, each.pattern.host, str(error)))
            if problems:
                raise NothingTakenIn(site, tuple(problems))
            intake.write()
    except NothingTakenIn as refused:
        return Imported(file.path, refused.site.name, 0, 0, refused.problems)
    return Imported(file.path, site.name, len(intake.hashes), intake.kept_count, (), is_made_anew=is_made_anew)


def with_dual_write(it: OpenedStore, transaction: Transaction, site: Site, *, turns_on: bool) -> Site:
    """Raises ImportRefused."""
    if not turns_on:
        raise ImportRefused(
            f"{site.name}'s dual write is off, so its table isn't kept up to date; give --dual-write-on, which turns "
            "it on and makes the table anew"
        )
    site = replace(site, dual_write=True)
    put_site(transaction, site)
    rebuild_table(transaction, it.keys, it.names, site)
    return site


def site_of(it: OpenedStore, transaction: Transaction, file: TableFile) -> Site:
    """The one site that a table is of. Raises ImportRefused."""
    if not file.filters:
        raise ImportRefused(
            f"{file.path} has no filter that can be taken in"
            + "".join(f"; filter {each.number}: {each.reason}" for each in file.problems[:1])
        )
    hosts = [Hostname(each.pattern.host) for each in file.filters]
    # A site's own hosts stay its own; a custom domain may be another's by now, or nobody's.
    hosts.sort(key=lambda host: it.names.split(host) is None)
    for host in hosts:
        site_no = find_site_no(transaction, it.names, host)
        site = read_site_record(transaction, site_no) if site_no is not None else None
        if site is not None:
            return site
    raise ImportRefused(f"{file.path}: {hosts[0].name} is no site's host here; make its site first: onehop site create")


@dataclass(slots=True)
class Intake:
    """One file's filters on their way into one site's table."""

    it: OpenedStore
    transaction: Transaction
    site: Site
    pipelines: Mapping[str, Pipeline]
    clock: Clock
    hashes: dict[str, str | None] = field(default_factory=dict)
    kept_count: int = 0
    _taken: dict[str, Pipeline] = field(default_factory=dict)
    _new: list[Deployment] = field(default_factory=list)
    _by_short_id: dict[str, Deployment] | None = None

    def take(self, read: ReadFilter) -> None:
        """Raises FilterRefused."""
        hostname = Hostname(read.pattern.host)
        if find_site_no(self.transaction, self.it.names, hostname) != self.site.site_no:
            raise FilterRefused(f"the host isn't {self.site.name}'s, as the table is")
        if self._shown(hostname) is not None:
            self.kept_count += 1
            return
        pipeline = self._pipeline(read.script_hash)
        wanted = self._by_records(hostname)
        if wanted is None:
            self._new.append(self._new_deployment(hostname, pipeline))
        elif replace(pipeline, kept=None) != wanted:
            raise FilterRefused("its pipeline isn't what the host shows by its records")
        self._taken[read.script_hash] = pipeline
        self.hashes[hostname.name] = read.script_hash

    def write(self) -> None:
        """Raises ImportRefused."""
        key = SITE_NO.pack(self.site.site_no)
        try:
            table = edit_table(self.transaction.get(Database.LEGACY_TABLES, key) or EMPTY, self.hashes)
        except TableRefused as error:
            raise ImportRefused(
                f"the table that {self.site.name} has is damaged ({error}); mend it first: onehop check --repair"
            ) from None
        if len(table) > TABLE_BYTES_MAX:
            raise ImportRefused(f"{self.site.name}'s table would have {len(table)} bytes, more than is ever run")
        site = self.site
        for deployment in self._new:
            site = replace(site, seq_last=site.seq_last + 1)
            put_deployment(self.transaction, replace(deployment, seq=site.seq_last))
        put_site(self.transaction, site)
        for script_hash, pipeline in self._taken.items():
            put_pipeline_as(self.transaction, script_hash, pipeline)
        put_table(self.transaction, site.site_no, table, replaced=set())

    def _shown(self, hostname: Hostname) -> Pipeline | None:
        route = read_route(self.transaction, self.it.keys, hostname)
        return route if route is not None else shown_in_table(self.transaction, self.site.site_no, hostname)

    def _pipeline(self, script_hash: str) -> Pipeline:
        """What the store has under that name, or else a file. Raises FilterRefused."""
        site_no = self.site.site_no
        given = self.pipelines.get(script_hash)
        if self.transaction.view(Database.PIPELINES, script_hash.encode("ascii")) is not None or given is None:
            try:
                pipeline = read_pipeline(self.transaction, site_no, script_hash)
            except TableUnusable as error:
                raise FilterRefused(f"{error}; a file of pipelines can bring them") from None
            if given is not None and replace(given, site_no=site_no) != pipeline:
                raise FilterRefused(f"script hash {script_hash} names another pipeline here")
        else:
            pipeline = replace(given, site_no=site_no)
        for manifest in (pipeline.manifest, pipeline.kept):
            if manifest is not None and self.transaction.view(Database.MANIFESTS, manifest.encode("ascii")) is None:
                raise FilterRefused(f"manifest {manifest} isn't here; deploy its files first")
        if pipeline.function is not None and pipeline.function not in set(BundleStore(self.it.folder.bundles).ids()):
            raise FilterRefused(f"function bundle {pipeline.function} isn't here; deploy it first")
        return pipeline

    def _by_records(self, hostname: Hostname) -> Pipeline | None:
        """None for a deployment that no record knows. Raises FilterRefused for any other host of that kind."""
        named = self.it.names.split(hostname)
        label = named[1] if named is not None else None
        if label is None:
            if self.site.production is None or (named is None and hostname.name not in self.site.domains):
                raise FilterRefused(f"{self.site.name} has nothing in production; deploy first")
            return pipeline_of(self._at(self.site.production.seq), is_preview=False)
        alias = find_alias(self.transaction, self.site.site_no, label)
        if alias is not None:
            return pipeline_of(self._at(alias.pointer.seq))
        if self._by_short_id is None:
            known = deployments_newest_first(self.transaction, self.site.site_no)
            self._by_short_id = {each.short_id: each for each in known}
        deployment = self._by_short_id.get(label)
        if deployment is not None:
            return pipeline_of(deployment)
        if SHORT_ID.fullmatch(label) is None:
            raise FilterRefused(f"{self.site.name} has no branch with the address {label}")
        return None

    def _at(self, seq: int) -> Deployment:
        return read_deployment(self.transaction, self.site.site_no, seq)

    def _new_deployment(self, hostname: Hostname, pipeline: Pipeline) -> Deployment:
        if pipeline != replace(pipeline, kept=None, is_preview=True):
            raise FilterRefused("its pipeline isn't a deployment's own: it keeps assets, or isn't a preview's")
        short_id = hostname.name.split(".")[0]
        return Deployment(
            site_no=self.site.site_no, seq=0, id=short_id + self.clock.new_id()[len(short_id):],
            created_on=self.clock.now(), manifest=pipeline.manifest, bundle=pipeline.function,
            branch=self.site.production_branch, environment="preview", log=("Imported from a routing table.",),
        )  # fmt: skip
