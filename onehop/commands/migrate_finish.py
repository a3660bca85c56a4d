"""`onehop migrate verify` and `cleanup`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from onehop.commands.options import AsJson, Data
from onehop.migration_finish import CleanupReport, clean_up, cleanup_candidates, verify_sites
from onehop.opened_store import find_folder, opened
from onehop.output import show_fields, show_json, show_line, show_table, watched
from onehop.site_lookup import site_names_of, site_number

Sites = Annotated[str | None, typer.Option(help="Names of sites, with commas; all, unless given.")]
DIFFERENCES_SHOWN: int = 50


def verify(sites: Sites = None, data: Data = None, as_json: AsJson = False) -> None:
    """Compare both schemes for every host, in both directions. Exits with 1 if they differ."""
    with opened(find_folder(data)) as it:
        numbers = None
        if sites is not None:
            with it.store.read() as snapshot:
                numbers = [site_number(snapshot, each.strip()) for each in sites.split(",")]
        with watched() as watcher:
            report = verify_sites(it, numbers, watcher)
        with it.store.read() as snapshot:
            names = site_names_of(snapshot, {each.site_no for each in report.differences})
    listed = [
        {"site": names.get(each.site_no), "what": each.what, "kind": each.kind.value, "detail": each.detail}
        for each in report.differences
    ]
    if as_json:
        counts = {name: getattr(report, name) for name in ("sites", "sites_sound", "hosts_same", "hosts_newer")}
        show_json({**counts, "differences_count": report.differences_count, "differences": listed})
    else:
        show_fields(
            [
                ("sites", f"{report.sites_sound} of {report.sites} verify"),
                ("hosts", f"{report.hosts_same} the same by both schemes, {report.hosts_newer} newer than their table"),
                ("differences", report.differences_count),
            ]
        )
        if listed:
            shown = [tuple(each.values()) for each in listed[:DIFFERENCES_SHOWN]]
            show_table(("site", "host", "difference", "detail"), shown, empty="")
            if report.differences_count > len(shown):
                show_line(f"and {report.differences_count - len(shown)} more")
    if report.differences_count:
        raise typer.Exit(1)


def cleanup(
    keep: Annotated[
        Path | None, typer.Option("--keep", help="Where the tables are kept (DATA/migration/tables).")
    ] = None,
    sites: Sites = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Drop the tables of sites that have verified and that nothing sends to the legacy scheme any more."""
    folder = find_folder(data)
    kept_in = keep if keep is not None else folder.migration / "tables"
    with opened(folder) as it:
        free, refused = cleanup_candidates(it)
        with it.store.read() as snapshot:
            names = site_names_of(snapshot)
            if sites is not None:
                wanted = {site_number(snapshot, each.strip()) for each in sites.split(",")}
                free = [number for number in free if number in wanted]
                refused = {number: reason for number, reason in refused.items() if number in wanted}
        if free and not yes:
            ask(len(free), kept_in)
        with watched() as watcher:
            report = clean_up(it, free, kept_in, watcher)
    report.refused |= refused
    tell(report, names, kept_in, as_json=as_json)
    if report.refused:
        raise typer.Exit(1)


def ask(count: int, kept_in: Path) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("dropping tables asks first, and there's nobody to ask: give --yes")
    if not typer.confirm(f"drop the tables of {count} sites, after keeping them in {kept_in}?"):
        raise typer.Exit(1)


def tell(report: CleanupReport, names: dict[int, str], kept_in: Path, *, as_json: bool) -> None:
    refused = [{"site": names.get(number), "reason": reason} for number, reason in report.refused.items()]
    freed = sum(each.table_bytes for each in report.dropped)
    if as_json:
        dropped = [each.name for each in report.dropped]
        show_json({"dropped": dropped, "bytes": freed, "kept_in": str(kept_in), "refused": refused})
        return
    show_line(f"dropped the tables of {len(report.dropped)} sites, {freed} bytes; they are kept in {kept_in}")
    if report.dropped:
        show_line(f"'onehop legacy import {kept_in} --dual-write-on' takes them in again")
    for each in refused:
        show_line(f"{each['site'] or 'a site without a name'} keeps its table: {each['reason']}")
