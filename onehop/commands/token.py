"""`onehop token …`, over the API."""

from enum import StrEnum
from typing import Annotated

import typer

from onehop.api_client import OWN_API, quote_segment
from onehop.commands.options import AsJson, Data, connect
from onehop.output import show_json, show_line, show_table

app = typer.Typer(add_completion=False, help="API tokens: create, list, revoke.")


class Access(StrEnum):
    """What a token may do; each level includes those before it."""

    READ = "read"
    DEPLOY = "deploy"
    ADMIN = "admin"


@app.command("create")
def create_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    access: Annotated[Access, typer.Option(help="What it may do.")] = Access.DEPLOY,
    project: Annotated[str | None, typer.Option(help="For this site only; for all of them, unless given.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. It is shown once, here, and stored nowhere."""
    with connect(data) as api:
        made = api.call("POST", f"{OWN_API}/tokens", body={"name": name, "access": access, "project": project})
    show_json(made) if as_json else show_line(made["token"])


@app.command("list")
def list_tokens(data: Data = None, as_json: AsJson = False) -> None:
    """Every token's id, name and rights; never a token."""
    with connect(data) as api:
        tokens = api.call("GET", f"{OWN_API}/tokens")
    if as_json:
        show_json(tokens)
        return
    rows = [
        (each["id"], each["name"], each["access"], each["project"] or "all sites", each["created_on"])
        for each in tokens
    ]
    show_table(("id", "name", "access", "site", "created"), rows, empty="no tokens")


@app.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id, as 'onehop token list' shows it.")],
    data: Data = None,
) -> None:
    """From now on, refuse a token."""
    with connect(data) as api:
        api.call("DELETE", f"{OWN_API}/tokens/{quote_segment(token_id)}")
    show_line(f"revoked {token_id}")
