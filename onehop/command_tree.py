"""Every command, found by its name and read by typer.

Commands live in `onehop.commands`, a module each, which is imported when its command is run: `onehop site` doesn't pay
for the deploy client, and `onehop --help` pays for nothing.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer
from typer._click.core import Command, Context  # typer exports a Context of its own, which its groups don't take
from typer._click.exceptions import ClickException, UsageError  # and of these only the root, without exit code
from typer.core import TyperGroup

from onehop.errors import CommandFailed, WrongUsage

COMMANDS: Final = {
    "serve": "Serve sites and the API that deploys them.",
    "demo": "Serve with two demo sites deployed, and say how to deploy your own.",
    "deploy": "Deploy a folder.",
    "site": "List, create, show, change and delete sites; their domains and branch addresses.",
    "deployment": "List, show, roll back, promote and delete deployments.",
    "functions": "Install workerd, which runs functions; read what they say.",
    "route": "Show how a host finds its deployment, step by step.",
    "migrate": "Move what only routing tables have into the hashed scheme, while it is served.",
    "policy": "Show and set which scheme finds a site's deployments; its log, and undo.",
    "legacy": "The legacy scheme's routing tables: show, export, import; dual write on or off.",
    "workflow": "Durable workflows: list, describe, trigger, steer and export them; run your own.",
    "token": "Create, list and revoke API tokens.",
    "keys": "List and rotate the keys that hostnames are hashed with.",
    "gc": "Remove what no deployment needs any more.",
    "check": "Walk everything that is stored and name each fault and its cure.",
    "backup": "Copy a data folder, while it serves.",
    "restore": "Bring a backup back, into an empty folder.",
    "seed": "Make synthetic deployments, for tests at scale.",
}
"""Every command with the line that `onehop --help` shows; `onehop.commands.<name>.app` is its typer app."""


TYPER_INTERRUPTED: Final = 130
"""What typer makes of a Ctrl-C."""


class LazyCommands(TyperGroup):
    """The root: lists commands by the table above, imports the one that is run."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """A stand-in that has just the name and the line of help."""
        return TyperGroup(name=cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        if args[0] not in COMMANDS:
            return super().resolve_command(ctx, args)
        module = import_module(f"onehop.commands.{args[0].replace('-', '_')}")
        return args[0], typer.main.get_command(module.app), args[1:]


app = typer.Typer(
    cls=LazyCommands,
    add_completion=False,
    help="Onehop: a self-hosted edge for deployed sites.",
    context_settings={"help_option_names": ["--help", "-h"]},
)


def show_version(value: bool) -> None:
    if value:
        typer.echo(f"onehop {import_module('importlib.metadata').version('onehop')}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=show_version, is_eager=True, help="Print the version."),
) -> None:
    """Onehop: a self-hosted edge for deployed sites."""


def run(given: Sequence[str]) -> int:
    """Runs the command that is named; its exit code. Raises what the command raises, and WrongUsage."""
    try:
        outcome = typer.main.get_command(app).main(given or ["--help"], prog_name="onehop", standalone_mode=False)
    except UsageError as error:
        raise WrongUsage(describe_usage(error)) from None
    except ClickException as error:
        raise CommandFailed(error.format_message()) from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    if outcome == TYPER_INTERRUPTED:
        raise KeyboardInterrupt
    return outcome if isinstance(outcome, int) else 0


def describe_usage(error: UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else "onehop"
    return f"{error.format_message().rstrip('.')}; see '{command} --help'"
