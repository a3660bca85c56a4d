"""`onehop legacy …`: the routing tables of the old scheme, in the data folder itself."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from control_plane.catalogue import put_site
from control_plane.clock import Clock
from control_plane.dual_write import rebuild_table
from onehop.commands.options import AsJson, Data, SiteName
from onehop.errors import CommandFailed
from onehop.legacy_export import render_named
from onehop.legacy_import import Imported, grouped, import_group
from onehop.opened_store import find_folder, opened
from onehop.output import printable, show_fields, show_json, show_line, show_table, warn, watched
from onehop.policy_edit import site_number
from router.kv.schema import SITE_NO, Database
from router.kv.store import Snapshot
from router.legacy import FILTERS_MAX, TABLE_BYTES_MAX, TableUnusable, read_pipeline, read_site_record
from router.legacy_table import Filter, TableRefused, parse_table
from router.records import Site

app = typer.Typer(
    add_completion=False, help="The routing tables of the legacy scheme: show, export, import, dual-write."
)

FILTERS_SHOWN: int = 20
REFUSED_SHOWN: int = 20


class TableMissing(CommandFailed):
    """The site has no table."""


@app.command("show")
def show_table_of(
    site: SiteName,
    count: Annotated[int, typer.Option("--count", min=0, help="How many filters.")] = FILTERS_SHOWN,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """A site's table: its size, whether deploys keep it up to date, its first filters and where they lead."""
    with opened(find_folder(data)) as it, it.store.read() as snapshot:
        record = read_site(snapshot, site)
        raw = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(record.site_no))
        filters, problem = readable(raw)
        shown = [
            {"host": each.host, "script_hash": each.script_hash, "leads_to": leads_to(snapshot, record, each)}
            for each in filters[:count]
        ]
    told: dict[str, Any] = {
        "site": site,
        "dual_write": record.dual_write,
        "table": raw is not None,
        "filters_count": len(filters),
        "bytes": len(raw or b""),
        "problem": problem,
    }
    if as_json:
        show_json({**told, "filters": shown})
        return
    show_fields([(name, "none" if value is None else value) for name, value in told.items()])
    if shown:
        show_table(("host", "script hash", "leads to"), [tuple(each.values()) for each in shown], empty="")
    if len(filters) > len(shown):
        show_line(f"and {len(filters) - len(shown)} more; --count shows them")


@app.command("export")
def export_table(
    site: SiteName,
    pipelines: Annotated[
        bool, typer.Option("--pipelines", help="What the script hashes name, as a second file.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", help="A file (the terminal).")] = None,
    data: Data = None,
) -> None:
    """A site's table, byte for byte; or with --pipelines what its script hashes name."""
    with opened(find_folder(data)) as it, it.store.read() as snapshot:
        record = read_site(snapshot, site)
        raw = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(record.site_no))
        if raw is None:
            raise TableMissing(f"{site} has no routing table; make it: onehop legacy dual-write {site} on")
        exported = (
            raw
            if not pipelines
            else render_named(snapshot, record.site_no, {each.script_hash for each in readable(raw)[0]})
        )
    if out is not None:
        out.write_bytes(exported)
        show_line(f"{len(exported)} bytes in {out}")
    else:
        sys.stdout.buffer.write(exported)


@app.command("import")
def import_tables(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE|DIR…", help="Tables, and files of pipelines with them; or folders of both."),
    ],
    dual_write_on: Annotated[
        bool, typer.Option("--dual-write-on", help="Turn the dual write of their sites on, where it is off.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Take in tables made elsewhere. A file with any problem is left out whole, and each problem named."""
    imports: list[Imported] = []
    with opened(find_folder(data)) as it, watched() as watcher:
        groups = grouped(files)
        watcher.begin("taking tables in", len(groups))
        for group in groups:
            imports += import_group(it, group, Clock(), turns_on=dual_write_on)
            watcher.advance()
    if as_json:
        show_json([document_of(each) for each in imports])
    else:
        refused = [each for each in imports if each.refused]
        for each in refused[:REFUSED_SHOWN]:
            warn(each.refused)
        if len(refused) > REFUSED_SHOWN:
            warn(f"and {len(refused) - REFUSED_SHOWN} more were refused")
        for each in imports:
            tell_import(each)
    if any(each.problems or each.refused for each in imports):
        raise typer.Exit(1)


def tell_import(each: Imported) -> None:
    for problem in each.problems:
        sys.stderr.write(
            f"{printable(each.path)}: filter {problem.number}: {printable(problem.reason)}; {printable(problem.what)}\n"
        )
    if each.problems:
        show_line(f"{each.path}: nothing taken in, {len(each.problems)} problems")
    elif not each.refused:
        made_anew = f"dual write on, {each.site}'s table made anew from its records: " if each.is_made_anew else ""
        added = f"{each.added_count} hosts added to {each.site}" if each.added_count else "nothing to add"
        kept = f"{each.kept_count} hosts show what they showed" if each.kept_count else "none was there"
        show_line(f"{each.path}: {made_anew}{added}, {kept}")


@app.command("dual-write")
def set_dual_write(
    site: SiteName,
    state: Annotated[str, typer.Argument(metavar="on|off", help="Whether deploys also write the table.")],
    data: Data = None,
) -> None:
    """Turn a site's dual write on or off. On makes its table anew, with whatever it missed."""
    if state not in ("on", "off"):
        raise typer.BadParameter(f"{state!r} is neither on nor off")
    with opened(find_folder(data)) as it, it.store.write() as transaction:
        record = read_site(transaction, site)
        record = replace(record, dual_write=state == "on")
        put_site(transaction, record)
        if record.dual_write:
            filters_count = rebuild_table(transaction, it.keys, it.names, record)
    if state == "off":
        show_line(f"off: {site}'s table isn't kept up to date, and the legacy scheme doesn't serve it")
    else:
        show_line(f"on: {site}'s table has {filters_count} filters, as its records and routes have them")


def read_site(snapshot: Snapshot, name: str) -> Site:
    record = read_site_record(snapshot, site_number(snapshot, name))
    assert record is not None, "site_number has just read it"
    return record


def readable(raw: bytes | None) -> tuple[list[Filter], str | None]:
    """As many filters as can be read, and what keeps the table from being run."""
    filters: list[Filter] = []
    try:
        filters.extend(parse_table(raw) if raw is not None else ())
    except TableRefused as error:
        return filters, str(error)
    if len(raw or b"") > TABLE_BYTES_MAX or len(filters) > FILTERS_MAX:
        return filters, f"too large: a table of more than {FILTERS_MAX} filters or {TABLE_BYTES_MAX} bytes is never run"
    return filters, None


def leads_to(snapshot: Snapshot, site: Site, each: Filter) -> str:
    try:
        return f"manifest {read_pipeline(snapshot, site.site_no, each.script_hash).manifest}"
    except TableUnusable as error:
        return str(error)


def document_of(each: Imported) -> dict[str, object]:
    return {
        "file": str(each.path),
        "site": each.site,
        "added": each.added_count,
        "kept": each.kept_count,
        "made_anew": each.is_made_anew,
        "refused": each.refused or None,
        "problems": [
            {"filter": problem.number, "what": problem.what, "reason": problem.reason} for problem in each.problems
        ],
    }
