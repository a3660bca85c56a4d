"""The `onehop workflow` commands that change something, over the API."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from onehop.api_client import OWN_API, quote_segment
from onehop.commands.options import AsJson, Data, connect
from onehop.commands.workflow_options import Instance, Workflow, checked, find_instance
from onehop.errors import CommandFailed
from onehop.output import show_json, show_line, warn
from workflows.rest.queries import LIVE_STATUS_NAMES, parse_status


class StepType(StrEnum):
    DO = "do"
    SLEEP = "sleep"
    WAIT_FOR_EVENT = "waitForEvent"


class DeletionIncomplete(CommandFailed):
    """Some of the instances could not be deleted."""


def trigger(
    workflow: Workflow,
    params: Annotated[str | None, typer.Argument(metavar="[PARAMS]", help="JSON; '-' reads it from stdin.")] = None,
    instance_id: Annotated[str | None, typer.Option("--id", help="The instance's id; a new UUID.")] = None,
    params_file: Annotated[Path | None, typer.Option("--params-file", help="Read the params from this file.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Start an instance. With --id, starting it twice is refused, so that a retry is safe."""
    if params is not None and params_file is not None:
        raise typer.BadParameter("give params or --params-file, not both")
    text = params_file.read_bytes() if params_file is not None else params
    body: dict[str, Any] = {} if text is None else {"params": parse_json(text, "params")}
    if instance_id is not None:
        body["instance_id"] = instance_id
    with connect(data) as api:
        made = api.workflow("POST", workflow, "/instances", body=body)
    show_json(made) if as_json else show_line(made["id"])


def pause(workflow: Workflow, instance: Instance, data: Data = None, as_json: AsJson = False) -> None:
    """Let no new step begin, and stand still once those that run are done."""
    change(workflow, instance, {"status": "pause"}, data=data, as_json=as_json)


def resume(workflow: Workflow, instance: Instance, data: Data = None, as_json: AsJson = False) -> None:
    """Go on where it was paused."""
    change(workflow, instance, {"status": "resume"}, data=data, as_json=as_json)


def restart(
    workflow: Workflow,
    instance: Instance,
    from_step: Annotated[str | None, typer.Option("--from-step", help="Keep what was before this step.")] = None,
    count: Annotated[
        int | None, typer.Option("--from-step-count", help="Which step of that name, from 1.", min=1)
    ] = None,
    kind: Annotated[StepType | None, typer.Option("--from-step-type", help="do, unless given.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Run it again, with the same id and params, from the start or from a step."""
    if from_step is None and (count is not None or kind is not None):
        raise typer.BadParameter("--from-step-count and --from-step-type go with --from-step")
    origin: dict[str, Any] = {"name": from_step}
    origin |= {name: value for name, value in (("count", count), ("type", kind)) if value is not None}
    body = {"status": "restart", **({"from": origin} if from_step is not None else {})}
    change(workflow, instance, body, data=data, as_json=as_json)


def terminate(
    workflow: Workflow,
    instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="Its id, or 'latest'.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Undo its steps first, by their own handlers.")] = False,
    all_of_them: Annotated[bool, typer.Option("--all", help="Every instance that isn't over yet.")] = False,
    status: Annotated[
        str | None,
        typer.Option(
            callback=checked(lambda text: parse_status(text, LIVE_STATUS_NAMES)),
            help="With --all: only those in this state.",
        ),
    ] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """End an instance for good; it can only be restarted. Or all of a workflow's."""
    if (instance is None) != all_of_them or (status is not None and not all_of_them) or (rollback and all_of_them):
        raise typer.BadParameter("name an instance, with or without --rollback; or --all, with or without --status")
    if instance is not None:
        body = {"status": "terminate", **({"rollback": True} if rollback else {})}
        change(workflow, instance, body, data=data, as_json=as_json)
        return
    with connect(data) as api:
        query = {"status": status} if status is not None else None
        done = api.workflow("PUT", workflow, "/instances/terminate", query=query)
    if as_json:
        show_json(done)
    else:
        show_line("terminating them" if done["status"] == "ok" else "they are being terminated already")


def send_event(
    workflow: Workflow,
    instance: Instance,
    event_type: Annotated[str, typer.Option("--type", help="What the instance waits for.")],
    payload: Annotated[str, typer.Option(help="JSON; '-' reads it from stdin.")] = "{}",
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Send an event; it is kept until the instance waits for one of its type."""
    body = orjson.dumps(parse_json(payload, "--payload"))
    with connect(data) as api:
        instance = find_instance(api, workflow, instance)
        sent = api.instance("POST", workflow, instance, f"/events/{quote_segment(event_type)}", body=body)
    show_json(sent) if as_json else show_line(f"sent {event_type} to {instance}")


def delete(
    workflow: Workflow,
    instances: Annotated[list[str] | None, typer.Argument(metavar="[INSTANCE]...", help="Their ids.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete the workflow with all its instances, unasked.")] = False,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Delete instances, whatever they are doing; or, with none named, the workflow and all of them."""
    if not instances:
        if not (yes or typer.confirm(f"Delete {workflow} and all its instances?")):
            raise typer.Abort
        with connect(data) as api:
            gone = api.workflow("DELETE", workflow)
        show_json(gone) if as_json else show_line(f"deleted {workflow}")
        return
    with connect(data) as api:
        ids = [find_instance(api, workflow, each) for each in instances]
        done = api.workflow("POST", workflow, "/instances/batch/delete", body={"instances": ids})
    if as_json:
        show_json(done)
    else:
        show_line(f"deleted {len(done['deleted'])}")
    for error in done["errors"]:
        warn(f"{error['id']}: {error['message']}")
    if done["errors"]:
        raise DeletionIncomplete(f"{len(done['errors'])} of {len(ids)} were not deleted")


def collect(data: Data = None, as_json: AsJson = False) -> None:
    """Remove instances that ended longer ago than they are to be kept."""
    with connect(data) as api:
        done = api.call("POST", f"{OWN_API}/workflow-gc")
    show_json(done) if as_json else show_line(f"removed {done['removed']} instances")


def change(workflow: str, instance: str, body: dict[str, Any], *, data: Path | None, as_json: bool) -> None:
    with connect(data) as api:
        instance = find_instance(api, workflow, instance)
        changed = api.instance("PATCH", workflow, instance, "/status", body=body)
    if as_json:
        show_json({"id": instance, **changed})
        return
    undone_first = ", its steps are undone first" if body.get("rollback") and changed["status"] != "terminated" else ""
    show_line(f"{instance} is {changed['status']}{undone_first}")


def parse_json(text: str | bytes, what: str) -> Any:
    """Raises BadParameter. "-" stands for what comes in on stdin."""
    try:
        return orjson.loads(sys.stdin.buffer.read() if text == "-" else text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"{what} isn't JSON ({error}); text needs its quotes: '\"text\"'") from None
