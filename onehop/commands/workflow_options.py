"""Arguments that the `workflow` commands share, spelled once."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated

import typer

from envelope.errors import ValueRefused
from onehop.api_client import ApiClient
from onehop.errors import CommandFailed

LATEST = "latest"

Workflow = Annotated[str, typer.Argument(metavar="WORKFLOW", help="The workflow's name.")]
Instance = Annotated[str, typer.Argument(metavar="INSTANCE", help="The instance's id, or 'latest'.")]


class NoInstances(CommandFailed):
    """There is no latest instance."""


def checked(parse: Callable[[str], object]) -> Callable[[str | None], str | None]:
    """An option's callback that refuses, under the option's name, what the API would refuse of a query. Raises
    BadParameter, also for an empty text: a shell's variable that isn't set must not widen what a command is about."""

    def check(text: str | None) -> str | None:
        if text == "":
            raise typer.BadParameter("it is empty")
        try:
            if text is not None:
                parse(text)
        except ValueRefused as refused:
            raise typer.BadParameter(refused.message) from None
        return text

    return check


def find_instance(api: ApiClient, workflow: str, named: str) -> str:
    """The id of the instance that was meant. Raises NoInstances."""
    if named != LATEST:
        return named
    newest = next(islice(api.instances(workflow, {}), 1), None)
    if newest is None:
        raise NoInstances(f"{workflow} has no instances; 'onehop workflow trigger {workflow}' makes one")
    return str(newest["id"])
