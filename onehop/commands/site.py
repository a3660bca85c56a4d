"""`onehop site …`: sites, their settings, addresses and domains, over the API."""

import sys
from typing import Annotated, Any

import typer

from onehop.commands.options import AsJson, Data, SiteName, connect
from onehop.output import show_fields, show_json, show_line, show_table

app = typer.Typer(add_completion=False, help="Sites: list, create, show, change, delete; their domains and addresses.")
domain_app = typer.Typer(help="A site's custom domains.")
app.add_typer(domain_app, name="domain")

DomainName = Annotated[str, typer.Argument(metavar="DOMAIN", help="The custom domain's name.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]


@app.command("list")
def list_sites(data: Data = None, as_json: AsJson = False) -> None:
    """Every site, by name."""
    with connect(data) as api:
        sites = list(api.projects())
    if as_json:
        show_json(sites)
        return
    rows = [
        (
            site["name"],
            site["production_branch"],
            (site["canonical_deployment"] or {}).get("short_id", "–"),
            (site["latest_deployment"] or {}).get("created_on", "–"),
            ", ".join(site["domains"]),
        )
        for site in sites
    ]
    show_table(
        ("site", "production branch", "live", "last deploy", "hosts"), rows,
        empty="no sites yet; 'onehop deploy DIR --project NAME' makes one",
    )  # fmt: skip


@app.command("show")
def show_site(site: SiteName, data: Data = None, as_json: AsJson = False) -> None:
    """One site: its settings and what is live."""
    with connect(data) as api:
        project, settings = api.project("GET", site), api.own_site("GET", site)
    if as_json:
        show_json({**project, **settings})
        return
    show_fields(fields_of(project, settings))


def fields_of(project: Any, settings: Any) -> list[tuple[str, object]]:
    live = project["canonical_deployment"]
    return [
        ("site", project["name"]),
        ("url", settings["url"]),
        ("domains", ", ".join(settings["domains"]) or "none"),
        ("production branch", project["production_branch"]),
        ("live", f"{live['short_id']}, deployed {live['created_on']}" if live else "nothing yet"),
        ("functions", project["uses_functions"]),
        ("replaced assets kept", f"{settings['keep_days']} days"),
        ("created", project["created_on"]),
    ]


@app.command("create")
def create_site(
    site: SiteName,
    production_branch: Annotated[str, typer.Option(help="Deploys of this branch go to production.")] = "main",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a site. (A first deploy makes it as well.)"""
    with connect(data) as api:
        project = api.create_project({"name": site, "production_branch": production_branch})
    show_json(project) if as_json else show_line(f"created {site}, to be served at {project['subdomain']}")


@app.command("delete")
def delete_site(site: SiteName, yes: Yes = False, data: Data = None) -> None:
    """Delete a site with all its deployments, addresses and tokens."""
    with connect(data) as api:
        api.project("GET", site)
        if not yes and not sys.stdin.isatty():
            raise typer.BadParameter("deleting asks first, and there's nobody to ask: give --yes")
        if not yes and not typer.confirm(f"delete {site} with all its deployments?"):
            raise typer.Exit(1)
        api.project("DELETE", site)
    show_line(f"deleted {site}")


@app.command("alias")
def tell_alias(
    site: SiteName,
    branch: Annotated[str, typer.Argument(metavar="BRANCH", help="The branch's name.")],
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """The address that a branch has, or will get by its first deploy."""
    with connect(data) as api:
        alias = api.own_site("GET", site, "/alias", query={"branch": branch})
    show_json(alias) if as_json else show_line(alias["url"])


@app.command("set")
def change_site(
    site: SiteName,
    keep_days: Annotated[
        int | None, typer.Option(min=0, max=30, help="Days that assets of a replaced deployment stay reachable.")
    ] = None,
    production_branch: Annotated[str | None, typer.Option(help="Deploys of this branch go to production.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Change a site's settings."""
    if keep_days is None and production_branch is None:
        raise typer.BadParameter("nothing to set: give --keep-days or --production-branch")
    with connect(data) as api:
        if keep_days is not None:
            api.own_site("PATCH", site, body={"keep_days": keep_days})
        if production_branch is not None:
            api.project("PATCH", site, body={"production_branch": production_branch})
        project, settings = api.project("GET", site), api.own_site("GET", site)
    show_json({**project, **settings}) if as_json else show_fields(fields_of(project, settings))


@app.command("purge")
def purge_site(site: SiteName, data: Data = None) -> None:
    """From now on, answer nothing from deployments that were replaced."""
    with connect(data) as api:
        api.own_site("POST", site, "/purge")
    show_line(f"purged: {site} now answers from its live deployments only")


@domain_app.command("list")
def list_domains(site: SiteName, data: Data = None, as_json: AsJson = False) -> None:
    """A site's custom domains."""
    with connect(data) as api:
        domains = api.project("GET", site, "/domains")
    if as_json:
        show_json(domains)
        return
    rows = [(each["name"], each["status"], each["created_on"]) for each in domains]
    show_table(("domain", "status", "added"), rows, empty=f"none; 'onehop site domain add {site} DOMAIN' adds one")


@domain_app.command("add")
def add_domain(site: SiteName, domain: DomainName, data: Data = None, as_json: AsJson = False) -> None:
    """Serve a site at a domain too. It must lead to this server (DNS is yours to set)."""
    with connect(data) as api:
        added = api.project("POST", site, "/domains", body={"name": domain})
    show_json(added) if as_json else show_line(f"{added['name']} is {added['status']}")


@domain_app.command("remove")
def remove_domain(site: SiteName, domain: DomainName, data: Data = None) -> None:
    """Stop serving a site at a domain."""
    with connect(data) as api:
        api.project("DELETE", site, f"/domains/{domain}")
    show_line(f"removed {domain}")
