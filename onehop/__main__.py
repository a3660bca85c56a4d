"""`onehop`: runs what the command line asks for, and turns what went wrong into one line that says what to do.

`command_tree` knows every command. Errors are known here by name: whichever was raised has been imported by whoever
raised it, and a start pays for no other.
"""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from onehop.errors import WrongUsage

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 128 + signal.SIGINT
DEBUG_VARIABLE: Final = "ONEHOP_DEBUG"

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return run(given)
    except WrongUsage as error:
        complain(str(error))
        return EXIT_USAGE
    except KeyboardInterrupt:
        complain(f"interrupted; {AFTER_INTERRUPT.get(given[0] if given else '', 'run it again')}")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough; closing it again at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001  # the process's root: known failures become a line, others a report
        return report(error)


def run(given: list[str]) -> int:
    """Imports what this command line needs, and no more."""
    if given[:1] == ["serve"]:
        gc.disable()  # what imports make stays; each process collects from when it serves on (worker_server)
        from onehop.plain_serve import parse_plain_serve, run_plain_serve

        plain = parse_plain_serve(given[1:])
        if plain is not None:
            return run_plain_serve(plain)
        gc.enable()
    from onehop import command_tree

    return command_tree.run(given)


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


def complain(message: str) -> None:
    """As one line without control characters: what a message quotes of a file must not steer the terminal."""
    one_line = " ".join(message.split())
    sys.stderr.write(f"onehop: {''.join(each if each.isprintable() else '·' for each in one_line)}\n")


if __name__ == "__main__":
    sys.exit(main())
