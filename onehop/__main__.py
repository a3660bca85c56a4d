"""`onehop`: finds the command, runs it, and turns what went wrong into one line that says what to do.

Commands live in `onehop.commands`, a module each, which is imported when its command is run: a start of
`onehop serve` doesn't pay for the deploy client, and `onehop --help` pays for nothing. For the same reason errors
are known here by name: whichever was raised has been imported by whoever raised it.
"""

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer
from typer._click.core import Command, Context  # typer exports a Context of its own, which its groups don't take
from typer._click.exceptions import ClickException, UsageError  # and of these only the root, without exit code
from typer.core import TyperGroup

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
DEBUG_VARIABLE: Final = "ONEHOP_DEBUG"

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

FAILURES: Final = {
    "onehop.errors.CommandFailed": EXIT_FAILED,
    "workflows.errors.WorkflowError": EXIT_FAILED,
    "onehop.config.ConfigRefused": EXIT_USAGE,
    "onehop.data_folder.DataFolderRefused": EXIT_FAILED,
    "control_plane.secret_files.SecretUnusable": EXIT_FAILED,
    "control_plane.errors.ApiError": EXIT_FAILED,
    "functions.errors.WorkerdUnusable": EXIT_FAILED,
    "asset_server.durable.StoreFull": EXIT_FAILED,
    "router.key_files.KeysRefused": EXIT_FAILED,
    "router.rotation.RotationBlocked": EXIT_FAILED,
    "migration.pacing.Stopped": EXIT_FAILED,
    "migration.move.KeysChanged": EXIT_FAILED,
    "migration.rollout.RolloutRefused": EXIT_FAILED,
    "router.policy_record.PolicyRefused": EXIT_FAILED,
    "router.policy_record.PolicyUnreadable": EXIT_FAILED,
    "router.kv.errors.StoreError": EXIT_FAILED,
}
"""Errors, by qualified name, whose message is written for whoever typed the command; and the exit code of each."""


AFTER_INTERRUPT: Final = {
    "serve": "stopped",
    "demo": "stopped",
    "deploy": "run it again, what was uploaded isn't sent twice; 'onehop deployment list SITE' shows what is live",
    "keys": "run 'onehop keys rotate' again to finish a rotation; every host is served meanwhile",
    "migrate": "what was done stays; 'onehop migrate run' goes on with a job that was cut short",
    "seed": "the sites made so far stay; 'onehop site list' shows them",
}
"""By command: what an interruption leaves, and what to do."""


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


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        outcome = typer.main.get_command(app).main(given or ["--help"], prog_name="onehop", standalone_mode=False)
    except ClickException as error:
        complain(describe_usage(error) if isinstance(error, UsageError) else error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        complain_of_interrupt(given)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; closing it again at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001  # the process's root: known failures become a line, others a report
        return report(error)
    if outcome == EXIT_INTERRUPTED:  # what typer makes of a Ctrl-C
        complain_of_interrupt(given)
    return outcome if isinstance(outcome, int) else 0


def complain_of_interrupt(given: Sequence[str]) -> None:
    complain(f"interrupted; {AFTER_INTERRUPT.get(given[0] if given else '', 'run it again')}")


def report(error: Exception) -> int:
    """One line on stderr; the traceback too with ONEHOP_DEBUG=1."""
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    exit_code = known_failure(error)
    if exit_code is not None:
        complain(str(error))
        return exit_code
    if isinstance(error, OSError) and error.strerror:
        complain(f"{f'{error.filename}: ' if error.filename else ''}{error.strerror}")
    else:
        complain(f"{type(error).__name__}: {error}; this is a defect, {DEBUG_VARIABLE}=1 shows where")
    return EXIT_FAILED


def known_failure(error: Exception) -> int | None:
    for kind in type(error).__mro__:
        exit_code = FAILURES.get(f"{kind.__module__}.{kind.__qualname__}")
        if exit_code is not None:
            return exit_code
    return None


def describe_usage(error: UsageError) -> str:
    command = error.ctx.command_path if error.ctx is not None else "onehop"
    return f"{error.format_message().rstrip('.')}; see '{command} --help'"


def complain(message: str) -> None:
    one_line = " ".join(message.split())
    sys.stderr.write(f"onehop: {one_line}\n")


if __name__ == "__main__":
    sys.exit(main())
