"""`onehop deploy`."""

from pathlib import Path
from typing import Annotated

import typer

from onehop.commands.options import AsJson, Data, connect
from onehop.deploy_client import Deployed, DeployOptions, deploy_folder
from onehop.git_checkout import DETACHED, read_checkout
from onehop.output import show_fields, show_json, warn, watched

app = typer.Typer(add_completion=False)


@app.command()
def deploy(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to deploy.")],
    project: Annotated[str, typer.Option(help="The site to deploy to.")],
    branch: Annotated[str | None, typer.Option(help="Its branch; git's, unless given.")] = None,
    commit_hash: Annotated[str, typer.Option(help="Its commit; git's, unless given.")] = "",
    commit_message: Annotated[str, typer.Option(help="Its commit's message; git's, unless given.")] = "",
    commit_dirty: Annotated[bool, typer.Option("--commit-dirty", help="Uncommitted changes are in it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go live even over a deploy that began later.")] = False,
    create: Annotated[bool, typer.Option(help="Create the site if there is none.")] = True,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Deploy what symlinks out of the folder lead to, too.")
    ] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Deploy a folder: a new deployment at an address of its own, and at its branch's."""
    checkout = read_checkout(folder) if folder.is_dir() else None
    options = DeployOptions(
        site=project,
        branch=branch,
        commit_hash=commit_hash,
        commit_message=commit_message,
        is_dirty=commit_dirty,
        is_forced=force,
        creates_site=create,
        follows_links=follow_links,
    ).filled_in(checkout)
    if options.branch == DETACHED:
        warn(f"git's checkout is detached, so this is a preview of a branch {DETACHED}; name another with --branch")
    with connect(data) as api, watched() as watcher:
        deployed = deploy_folder(api, folder, options, watcher=watcher, project=Path.cwd())
    for warning in deployed.warnings:
        warn(warning)
    if as_json:
        show_json(deployed.document())
        return
    show_fields(describe(deployed))


def describe(deployed: Deployed) -> list[tuple[str, object]]:
    live_at = [*deployed.aliases]
    if deployed.environment == "production" and not deployed.is_superseded:
        live_at.insert(0, deployed.production_url)
    fields: list[tuple[str, object]] = [("deployed", deployed.url)]
    fields += [("live at", url) for url in live_at]
    if deployed.is_superseded:
        fields.append(("not live", "a deploy that began later is; --force would have replaced it"))
    if deployed.created_site:
        fields.append(("created", f"site {deployed.site}"))
    sent = (
        f"{deployed.uploaded_count} uploaded ({deployed.uploaded_bytes} bytes)"
        if deployed.uploaded_count
        else "none new"
    )
    return [*fields, ("files", f"{deployed.files_count}, {sent}")]
