"""`onehop restore`."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from asset_server.blobs import BlobStore
from onehop.backup import BackupRefused, being_made, bring_back, is_empty_folder
from onehop.check import check
from onehop.commands.options import AsJson, Data
from onehop.config import load_config
from onehop.data_folder import DataFolder
from onehop.opened_store import opened
from onehop.output import show_json, show_line, watched

app = typer.Typer(add_completion=False)


@app.command()
def restore(
    source: Annotated[Path, typer.Argument(metavar="DIR|FILE", help="What 'onehop backup' wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Also when the backup has faults.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back, into a folder that is empty or isn't there yet, and verify it."""
    folder = DataFolder(load_config({"data": data}, os.environ).data)
    if folder.root.exists() and not is_empty_folder(folder.root):
        raise BackupRefused(f"{folder.root} isn't empty; name a new folder with --data, nothing is ever overwritten")
    with watched() as watcher, being_made(folder.root) as partial:
        description = bring_back(source, partial, watcher=watcher)
        with opened(DataFolder(partial)) as it:
            report = check(it, BlobStore(partial), is_deep=True, watcher=watcher)
        if report.faults_count and not force:
            first = report.faults[0]
            raise BackupRefused(
                f"{source} has {report.faults_count} faults, {first.kind} {first.where} {first.what} first; "
                "nothing was restored, --force restores it all the same"
            )
    if as_json:
        told = {"data": str(folder.root), **dataclasses.asdict(description), "faults_count": report.faults_count}
        show_json(told)
    else:
        show_line(
            f"restored {description.sites} sites and {description.deployments} deployments to {folder.root}, "
            f"{report.faults_count or 'no'} faults; 'onehop serve --data {folder.root}' serves them"
        )
