"""`onehop functions …`: workerd, which runs them, and what they say."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from functions.bundle import BundleStore
from functions.installation import examine
from onehop.commands.deployment import find_id
from onehop.commands.options import AsJson, Data, SiteName, connect
from onehop.config import load_config
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from onehop.output import show_fields, show_json, show_line
from onehop.workerd_choice import chosen_workerd
from onehop.workerd_install import VERSION, install_workerd

app = typer.Typer(add_completion=False, help="Functions: install workerd, show whether it is there, read logs.")

POLL_S: Final = 0.5


class NothingDeployed(CommandFailed):
    """The site has no production deployment."""


@app.command()
def install(
    into: Annotated[Path | None, typer.Option(help="A folder for it instead of the data folder's.")] = None,
    version: Annotated[str, typer.Option(help="Of the npm package.")] = VERSION,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Bring workerd with npm. Servers find it in their data folder at their next start."""
    folder = into if into is not None else data_folder(data).functions
    workerd = install_workerd(folder, version=version)
    if as_json:
        show_json({"workerd": str(workerd.program), "version": workerd.newest.isoformat()})
        return
    show_line(f"workerd {workerd.newest.isoformat()} is in {workerd.program}")
    if into is not None:
        show_line(f"name it to the server: ONEHOP_WORKERD={workerd.program}")
    show_line("a server that is running takes it at its next start")


@app.command()
def status(data: Data = None, as_json: AsJson = False) -> None:
    """Which workerd a server with this data folder would run, and what waits for it."""
    config = load_config({"data": data}, os.environ)
    folder = DataFolder(config.data)
    program = chosen_workerd(config)
    workerd = examine(program) if program is not None else None
    bundles_count = sum(1 for _ in BundleStore(folder.bundles).ids())
    if as_json:
        show_json(
            {
                "workerd": str(workerd.program) if workerd else None,
                "version": workerd.newest.isoformat() if workerd else None,
                "bundles_count": bundles_count,
                "memory_mib": config.functions_memory_mib,
            }
        )
        return
    show_fields(
        [
            ("workerd", str(workerd.program) if workerd else "none; 'onehop functions install' brings it"),
            ("version", workerd.newest.isoformat() if workerd else "none"),
            ("bundles", f"{bundles_count} stored"),
            ("memory", f"a process is replaced past {config.functions_memory_mib} MiB"),
        ]
    )


@app.command()
def logs(
    site: SiteName,
    deployment: Annotated[
        str | None, typer.Argument(metavar="DEPLOYMENT", help="Its id, short id or URL; the live one, unless given.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on showing what comes, until Ctrl-C.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """What a function said: console lines and errors, the last ones first kept. With --json an event a line."""
    with connect(data) as api:
        if deployment is not None:
            found = find_id(api, site, deployment)
        else:
            live = api.project("GET", site)["canonical_deployment"]
            if live is None:
                raise NothingDeployed(
                    f"{site} has no production deployment; name one of 'onehop deployment list {site}'"
                )
            found = live["id"]
        path = f"/deployments/{found}/events"
        answer = api.own_site("GET", site, path)
        after = max(1, answer["next"])
        while True:
            for event in answer["events"]:
                show_line(orjson.dumps(event).decode()) if as_json else show_event(event)
            if not follow:
                return
            time.sleep(POLL_S)
            answer = api.own_site("GET", site, path, query={"after": str(after), "limit": "200"})
            after = max(after, answer["next"])


def show_event(event: dict[str, Any]) -> None:
    """Its request in a line, then each thing that it said."""
    request = (event.get("event") or {}).get("request") or {}
    status = ((event.get("event") or {}).get("response") or {}).get("status", "-")
    at = datetime.fromtimestamp((event.get("eventTimestamp") or 0) / 1000, UTC).isoformat(timespec="milliseconds")
    show_said(f"{at} {request.get('method', '')} {request.get('url', '')} {status} {event.get('outcome', '')}")
    for line in event.get("logs") or []:
        message = line.get("message")
        parts = message if isinstance(message, list) else [message]
        show_said(f"  {line.get('level', 'log')}: {' '.join(shown(part) for part in parts)}")
    for error in event.get("exceptions") or []:
        show_said(f"  {error.get('name', 'Error')}: {error.get('message', '')}")
        for frame in str(error.get("stack") or "").splitlines():
            show_said(f"  {frame}")


def shown(part: object) -> str:
    return part if isinstance(part, str) else orjson.dumps(part).decode()


def show_said(text: str) -> None:
    """What a site says may hold a terminal's commands: they are shown, not obeyed."""
    show_line("".join(each if each.isprintable() else repr(each)[1:-1] for each in text))


def data_folder(data: Path | None) -> DataFolder:
    folder = DataFolder(load_config({"data": data}, os.environ).data)
    folder.create()
    return folder
