"""`onehop check`."""

import dataclasses
from typing import Annotated

import typer

from asset_server.blobs import BlobStore
from onehop.check import check
from onehop.commands.options import AsJson, Data
from onehop.opened_store import find_folder, opened
from onehop.output import show_json, show_line, watched
from onehop.repair import repair

app = typer.Typer(add_completion=False)


@app.command("check")
def run_check(
    deep: Annotated[bool, typer.Option("--deep/--quick", help="Read the bytes of every blob too.")] = True,
    mend: Annotated[
        bool, typer.Option("--repair", help="Mend what can be derived: routes, orphaned rows, damaged blobs.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Walk everything that is stored and name each fault and its cure. Works while serving."""
    folder = find_folder(data)
    with opened(folder) as it, watched() as watcher:
        blobs = BlobStore(folder.root)
        report = check(it, blobs, is_deep=deep, watcher=watcher)
        repaired = repair(it, blobs, report, watcher=watcher) if mend and report.faults_count else None
    if as_json:
        show_json(
            {
                "faults": [dataclasses.asdict(fault) for fault in report.faults],
                "faults_count": report.faults_count,
                "checked": report.counts,
                "repaired": dataclasses.asdict(repaired) if repaired is not None else None,
            }
        )
    else:
        for fault in report.faults:
            show_line(f"{fault.kind} {fault.where}: {fault.what}; cure: {fault.cure}")
        if report.unlisted_count:
            show_line(f"and {report.unlisted_count} more of the same kinds")
        counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in report.counts.items())
        show_line(f"{report.faults_count or 'no'} faults; checked {counts or 'nothing, the store is damaged'}")
        if not deep:
            show_line("the bytes of blobs weren't read (--quick)")
        if repaired is not None:
            show_line(
                f"repaired: {repaired.routes_written} routes and {repaired.tables_written} routing tables written, "
                f"{repaired.rows_removed} orphaned rows and {repaired.blobs_removed} damaged blobs removed; "
                "run 'onehop check' again to see what is left"
            )
    if report.faults_count:
        raise typer.Exit(1)
