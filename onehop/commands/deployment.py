"""`onehop deployment …`: a site's deployments, over the API. A deployment is named by its id or its short id."""

from typing import Annotated, Any

import typer

from onehop.api_client import ApiClient
from onehop.commands.options import AsJson, Data, SiteName, connect
from onehop.errors import CommandFailed
from onehop.output import show_fields, show_json, show_line, show_table, watched

app = typer.Typer(
    add_completion=False, help="Deployments: list, show, roll back, promote, delete; their files and logs."
)

SHORT_ID_CHARACTERS = 8

DeploymentName = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="Its id, short id or URL.")]


class NoSuchDeployment(CommandFailed):
    """No deployment of the site is named so."""


@app.command("list")
def list_deployments(
    site: SiteName,
    environment: Annotated[str, typer.Option(help="production or preview; both, unless given.")] = "",
    branch: Annotated[str | None, typer.Option(help="Of this branch only.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """A site's deployments, newest first."""
    with connect(data) as api:
        live = (api.project("GET", site)["canonical_deployment"] or {}).get("id")
        found = []
        with watched() as watcher:
            watcher.begin("reading deployments")
            for each in api.deployments(site, environment=environment):
                watcher.advance()
                if branch in (None, branch_of(each)):
                    found.append(each)
    if as_json:
        show_json(found)
        return
    rows = [
        (
            each["short_id"],
            "live" if each["id"] == live else "superseded" if each.get("superseded") else each["environment"],
            branch_of(each),
            metadata_of(each)["commit_hash"][:8],
            each["created_on"],
            each["url"],
        )
        for each in found
    ]
    columns = ("deployment", "state", "branch", "commit", "created", "url")
    show_table(columns, rows, empty=f"none; 'onehop deploy DIR --project {site}' makes one")


@app.command("show")
def show_deployment(site: SiteName, deployment: DeploymentName, data: Data = None, as_json: AsJson = False) -> None:
    """One deployment."""
    with connect(data) as api:
        found = api.project("GET", site, f"/deployments/{find_id(api, site, deployment)}")
    if as_json:
        show_json(found)
        return
    metadata = metadata_of(found)
    dirty = " with uncommitted changes" if metadata["commit_dirty"] else ""
    show_fields(
        [
            ("deployment", found["id"]),
            ("url", found["url"]),
            ("aliases", ", ".join(found["aliases"] or ()) or "none"),
            ("environment", found["environment"]),
            ("branch", metadata["branch"]),
            ("commit", f"{metadata['commit_hash'] or 'unknown'}{dirty}"),
            ("message", metadata["commit_message"]),
            ("files", f"{found.get('files_count')}, {found.get('bytes_count')} bytes"),
            ("functions", found["uses_functions"]),
            ("created", found["created_on"]),
        ]
    )


@app.command("files")
def list_files(site: SiteName, deployment: DeploymentName, data: Data = None, as_json: AsJson = False) -> None:
    """The files of a deployment, with their hashes."""
    with connect(data) as api:
        files = api.own_site("GET", site, f"/deployments/{find_id(api, site, deployment)}/files")
    if as_json:
        show_json(files)
        return
    rows = [(each["path"], each["size_bytes"], each["content_type"], each["hash"]) for each in files]
    show_table(("path", "bytes", "type", "hash"), rows, empty="it has no files")


@app.command("log")
def show_log(site: SiteName, deployment: DeploymentName, data: Data = None, as_json: AsJson = False) -> None:
    """What happened when it was deployed, each refused line of its rules included."""
    with connect(data) as api:
        log = api.project("GET", site, f"/deployments/{find_id(api, site, deployment)}/history/logs")
    if as_json:
        show_json(log["data"])
        return
    for entry in log["data"]:
        show_line(f"{entry['ts']}  {entry['line']}")


@app.command("rollback")
def roll_back(site: SiteName, deployment: DeploymentName, data: Data = None, as_json: AsJson = False) -> None:
    """Show a production deployment of before in production again."""
    with connect(data) as api:
        found = api.project("POST", site, f"/deployments/{find_id(api, site, deployment)}/rollback")
    show_json(found) if as_json else show_line(f"{site} shows {found['short_id']} again")


@app.command("promote")
def promote(site: SiteName, deployment: DeploymentName, data: Data = None, as_json: AsJson = False) -> None:
    """Show any deployment in production, a preview as well."""
    with connect(data) as api:
        found = api.own_site("POST", site, f"/deployments/{find_id(api, site, deployment)}/promote")
    show_json(found) if as_json else show_line(f"{site} shows {found['short_id']}")


@app.command("delete")
def delete_deployment(
    site: SiteName,
    deployment: Annotated[str | None, typer.Argument(metavar="[DEPLOYMENT]", help="Its id, short id or URL.")] = None,
    branch: Annotated[str | None, typer.Option(help="All previews of this branch and its address, instead.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Also when a branch's address shows it.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Delete a deployment, or all previews of a branch."""
    if (deployment is None) == (branch is None):
        raise typer.BadParameter("name a deployment, or a branch with --branch")
    with connect(data) as api:
        if deployment is None:
            report = api.own_site("DELETE", site, "/branch", query={"branch": branch or ""})
            deleted = report["deleted_count"]
            if not deleted and not report["alias_deleted"]:
                raise NoSuchDeployment(
                    f"{site} has no previews of a branch {branch}; 'onehop deployment list {site}' shows what there is"
                )
        else:
            path = f"/deployments/{find_id(api, site, deployment)}"
            api.project("DELETE", site, path, query={"force": "true" if force else "false"})
            deleted = 1
    show_json({"deleted": deleted}) if as_json else show_line(f"deleted {deleted}")


def find_id(api: ApiClient, site: str, named: str) -> str:
    """The full id of what a person named: an id, a short id, or an address that begins with one."""
    named = named.partition("://")[2].partition(".")[0] if "://" in named else named
    if len(named) != SHORT_ID_CHARACTERS:
        return named.replace("/", "")
    for each in api.deployments(site):
        if each["short_id"] == named.lower():
            return str(each["id"])
    raise NoSuchDeployment(f"{site} has no deployment {named}; 'onehop deployment list {site}' shows those there are")


def metadata_of(deployment: Any) -> Any:
    return deployment["deployment_trigger"]["metadata"]


def branch_of(deployment: Any) -> str:
    return str(metadata_of(deployment)["branch"])
