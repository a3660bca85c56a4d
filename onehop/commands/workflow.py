"""`onehop workflow …`: what workflows and their instances are and did, over the API; `worker` runs a module's own.

The commands that change something are in `workflow_changes`.
"""

import time
from itertools import islice
from typing import Annotated, Any

import typer

from envelope.errors import ValueRefused
from onehop.api_client import ApiClient
from onehop.commands import workflow_changes as changes
from onehop.commands.options import AsJson, Data, connect
from onehop.commands.workflow_options import Instance, Workflow, checked, find_instance
from onehop.commands.workflow_worker import run_worker
from onehop.output import show_fields, show_json, show_table
from onehop.workflow_story import STATUS_GLYPHS, show_story
from workflows.rest.queries import STATUS_NAMES, parse_bucket, parse_metrics_query, parse_status, parse_time
from workflows.timeline import read_timeline

app = typer.Typer(
    add_completion=False,
    help="Durable workflows: list, describe, trigger, steer, export; run a module's own with 'worker'.",
)

LIMIT = 25
LOG_ROWS = 1000
STATES_SHOWN = ("running", "waiting", "queued", "paused", "complete", "errored", "terminated")


@app.command("list")
def list_workflows(
    workflow: Annotated[str | None, typer.Argument(metavar="[WORKFLOW]", help="List this one's instances.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            callback=checked(lambda text: parse_status(text, STATUS_NAMES)),
            help="Only instances in this state, such as running.",
        ),
    ] = None,
    search: Annotated[str | None, typer.Option(help="Only instances whose id holds this text.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many instances.", min=1, max=100_000)] = LIMIT,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Every workflow with its instances by state; or, with a workflow's name, its instances, newest first."""
    if workflow is None and (status or search):
        raise typer.BadParameter("--status and --search are of instances: name their workflow")
    with connect(data) as api:
        if workflow is None:
            list_definitions(list(api.workflows()), as_json=as_json)
            return
        query = {name: text for name, text in (("status", status), ("search", search)) if text}
        found = list(islice(api.instances(workflow, query), limit))
    if as_json:
        show_json(found)
        return
    rows = [
        (each["id"], f"{STATUS_GLYPHS.get(each['status'], '')} {each['status']}", each["created_on"], each["ended_on"])
        for each in found
    ]
    empty = f"none{' like that' if query else ''}; 'onehop workflow trigger {workflow}' makes one"
    show_table(("instance", "status", "created", "ended"), rows, empty=empty)


def list_definitions(found: list[Any], *, as_json: bool) -> None:
    if as_json:
        show_json(found)
        return
    rows = [
        (each["name"], each["class_name"], *(each["instances"][state] or "" for state in STATES_SHOWN))
        for each in found
    ]
    empty = "no workflows; 'onehop workflow worker --module M' runs those of a Python module"
    show_table(("workflow", "class", *STATES_SHOWN), rows, empty=empty)


@app.command("describe")
def describe(
    workflow: Workflow,
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Its id, or 'latest'.")] = None,
    without_output: Annotated[bool, typer.Option("--no-step-output", help="Leave out what steps returned.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """A workflow; or, with an instance's id, its timeline: steps, attempts, outputs and errors."""
    with connect(data) as api:
        if instance is None:
            describe_definition(api, workflow, as_json=as_json)
            return
        instance = find_instance(api, workflow, instance)
        found = api.instance("GET", workflow, instance)
    if as_json:
        show_json({"id": instance, **found})
        return
    timeline = read_timeline(found, now=round(time.time() * 1000))
    show_story(f"{workflow} / {instance}", timeline, with_output=not without_output)


def describe_definition(api: ApiClient, workflow: str, *, as_json: bool) -> None:
    found = api.workflow("GET", workflow)
    versions = api.workflow("GET", workflow, "/versions")
    if as_json:
        show_json({**found, "versions": versions})
        return
    counts = ", ".join(f"{count} {state}" for state, count in found["instances"].items() if count)
    show_fields(
        [
            ("workflow", found["name"]),
            ("class", found["class_name"]),
            ("script", found["script_name"]),
            ("version", versions[0]["id"] if versions else "none"),
            ("instances", counts or "none"),
            ("created", found["created_on"]),
            ("modified", found["modified_on"]),
        ]
    )


@app.command("export")
def export(
    workflow: Workflow,
    instance: Instance,
    data: Data = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON: so it does without, too.")] = True,
) -> None:
    """An instance with its whole log, as one JSON object."""
    with connect(data) as api:
        instance = find_instance(api, workflow, instance)
        found = api.instance("GET", workflow, instance)
        log: list[Any] = []
        while rows := read_log(api, workflow, instance, after=log[-1]["eventId"] if log else 0):
            log += rows
    show_json({"workflow": workflow, "id": instance, **found, "log": log})


def read_log(api: ApiClient, workflow: str, instance: str, *, after: int) -> list[Any]:
    query = {"after": str(after), "limit": str(LOG_ROWS)}
    rows: list[Any] = api.instance("GET", workflow, instance, "/log", query=query, tries=3)
    return rows


@app.command("metrics")
def show_metrics(
    workflow: Workflow,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            callback=checked(lambda text: parse_time("from", text)),
            help="From this ISO 8601 time on; a day ago.",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option(
            "--to", callback=checked(lambda text: parse_time("to", text)), help="Up to this ISO 8601 time; now."
        ),
    ] = None,
    bucket: Annotated[str, typer.Option(callback=checked(parse_bucket), help="1m, 5m, 15m, 1h or 1d.")] = "1h",
    by_step: Annotated[bool, typer.Option("--by-step", help="Each step on its own.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """What happened how often, and how long steps took."""
    query = {"bucket": bucket, "group_by": "event,step" if by_step else "event"}
    query |= {name: text for name, text in (("from", start), ("to", end)) if text}
    try:
        parse_metrics_query(query, now=round(time.time() * 1000))
    except ValueRefused as refused:
        raise typer.BadParameter(refused.message, param_hint="'--from'") from None
    with connect(data) as api:
        found = api.workflow("GET", workflow, "/metrics", query=query)
    if as_json:
        show_json(found)
        return
    rows = [
        (
            each["time"],
            each["event"],
            *((each["step"],) if by_step else ()),
            each["count"],
            each["wall_ms"],
            each["cpu_ms"],
        )
        for each in found
    ]
    columns = ("from", "event", *(("step",) if by_step else ()), "count", "wall ms", "CPU ms")
    show_table(columns, rows, empty="nothing happened then")


app.command("trigger")(changes.trigger)
app.command("pause")(changes.pause)
app.command("resume")(changes.resume)
app.command("restart")(changes.restart)
app.command("terminate")(changes.terminate)
app.command("send-event")(changes.send_event)
app.command("delete")(changes.delete)
app.command("gc")(changes.collect)
app.command("worker")(run_worker)
