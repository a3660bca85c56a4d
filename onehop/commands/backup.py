"""`onehop backup`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from control_plane.clock import Clock
from onehop.backup import back_up
from onehop.commands.options import AsJson, Data
from onehop.opened_store import find_folder
from onehop.output import show_json, show_line, warn, watched

app = typer.Typer(add_completion=False)


@app.command()
def backup(
    target: Annotated[
        Path, typer.Argument(metavar="DIR|FILE", help="A new folder, or a file ending in .tar or .tar.gz.")
    ],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Copy a data folder, while it serves."""
    with watched() as watcher:
        description = back_up(find_folder(data), target, clock=Clock(), watcher=watcher)
    if description.blobs_missing:
        warn(f"{description.blobs_missing} blobs were missing already; 'onehop check' names what needs them")
    warn(f"{target} holds the secrets of this server: keep it as safe as the server itself")
    if as_json:
        show_json({"backup": str(target), **dataclasses.asdict(description)})
    else:
        show_line(
            f"backed up {description.sites} sites, {description.deployments} deployments and {description.blobs} blobs "
            f"to {target}"
        )
