"""`onehop seed`."""

import os
import time
from typing import Annotated

import typer

from asset_server.blobs import BlobStore
from control_plane.clock import Clock
from onehop.commands.options import AsJson, Data
from onehop.config import load_config
from onehop.data_folder import DataFolder
from onehop.opened_store import opened
from onehop.output import show_fields, show_json, watched
from onehop.prepared_folder import prepare
from onehop.seed import SeedPlan, seed

app = typer.Typer(add_completion=False)


@app.command("seed")
def run_seed(
    sites: Annotated[int, typer.Option(help="How many sites.")],
    deployments: Annotated[int, typer.Option(help="How many deployments, over all sites.")],
    legacy_only: Annotated[
        bool, typer.Option("--legacy-only", help="As the old design had them: in routing tables, without routes.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make synthetic deployments, for tests at scale. The sites are called seed-N, numbered on from those there are."""
    plan, config = SeedPlan(sites, deployments, legacy_only), load_config({"data": data}, os.environ)
    folder = DataFolder(config.data)
    if not folder.exists():
        prepare(config)
    started_s = time.monotonic()
    with opened(folder) as it, watched() as watcher:
        numbers = seed(it, BlobStore(folder.root), plan, clock=Clock(), watcher=watcher)
        example = it.names.production(f"seed-{numbers[0]}").name
    elapsed_s = time.monotonic() - started_s
    told = {
        "sites": len(numbers),
        "first_site": f"seed-{numbers[0]}",
        "last_site": f"seed-{numbers[-1]}",
        "deployments": deployments,
        "example_host": example,
        "elapsed_s": round(elapsed_s, 3),
        "deployments_per_s": round(deployments / elapsed_s),
    }
    show_json(told) if as_json else show_fields(list(told.items()))
