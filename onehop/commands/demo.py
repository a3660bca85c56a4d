"""`onehop demo`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from onehop.config import load_config
from onehop.demo import (
    LEGACY_DEPLOYMENTS,
    DemoSite,
    RunningServer,
    deploy_demo_sites,
    first_deploy_lines,
    migration_lines,
    seed_legacy_site,
    serving,
)
from onehop.output import show_line, watched
from onehop.workerd_choice import chosen_workerd

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    data: Annotated[Path | None, typer.Option(help="The data folder (ONEHOP_DATA, ./onehop-data).")] = None,
    port: Annotated[str | None, typer.Option(help="Port of the sites; 0 picks a free one (8787).")] = None,
    api_port: Annotated[str | None, typer.Option(help="Port of the API; 0 picks a free one (8788).")] = None,
    workers: Annotated[str | None, typer.Option(help="Edge worker processes.")] = None,
) -> None:
    """Serve with two demo sites deployed, and say how to deploy your own. Ctrl-C ends it."""
    given = {"--data": data, "--port": port, "--api-port": api_port, "--workers": workers}
    options = [text for name, value in given.items() if value is not None for text in (name, str(value))]
    with serving(options) as server:
        if server is None:
            raise typer.Exit(1)
        with watched() as watcher:
            has_workerd = chosen_workerd(load_config({"data": server.data}, os.environ)) is not None
            sites = deploy_demo_sites(server, with_functions=has_workerd, watcher=watcher)
            legacy_host = seed_legacy_site(server, watcher=watcher)
        tell(server, sites, legacy_host)
        raise typer.Exit(server.process.wait())


def tell(server: RunningServer, sites: list[tuple[DemoSite, str]], legacy_host: str) -> None:
    show_line("")
    for site, url in sites:
        name = site.site if site.branch == "main" else f"{site.site}, branch {site.branch}"
        show_line(f"  {name:<22} {url}")
    show_line("")
    show_line("Deploy a folder of your own, in another terminal:")
    show_line("")
    for line in first_deploy_lines(server):
        show_line(f"  {line}" if line else "")
    show_line("")
    show_line(f"{legacy_host} has {LEGACY_DEPLOYMENTS} deployments that only a routing table knows. Migrate them:")
    show_line("")
    for line in migration_lines(server):
        show_line(f"  {line}")
    show_line("")
    show_line("Ctrl-C ends it; what was deployed stays.")
