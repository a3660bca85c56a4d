"""Arguments that the `workflow` commands share, spelled once."""

from itertools import islice
from typing import Annotated

import typer

from onehop.api_client import ApiClient
from onehop.errors import CommandFailed

LATEST = "latest"

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow's name.")]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's id, or 'latest'.")]


class NoInstances(CommandFailed):
    """There is no latest instance."""


def find_instance(api: ApiClient, workflow: str, named: str) -> str:
    """The id of the instance that was meant. Raises NoInstances."""
    if named != LATEST:
        return named
    newest = next(islice(api.instances(workflow, {}), 1), None)
    if newest is None:
        raise NoInstances(f"{workflow} has no instances; 'onehop workflow trigger {workflow}' makes one")
    return str(newest["id"])
