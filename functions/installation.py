"""Where workerd is, and how new it is: named by the operator, or installed into the data folder with npm."""

import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from functions.errors import WorkerdUnusable

PACKAGES: Final = {"x86_64": "@cloudflare/workerd-linux-64", "aarch64": "@cloudflare/workerd-linux-arm64"}
VERSION: Final = re.compile(r"workerd (\d{4}-\d{2}-\d{2})")
ASK_S_MAX: Final = 20.0
SAID_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Workerd:
    """`newest` is the last compatibility date that it knows: the day on which it was made."""

    program: Path
    newest: date


def package_name() -> str | None:
    """None where workerd isn't made for this processor."""
    return PACKAGES.get(platform.machine())


def installed_program(root: Path) -> Path | None:
    """Below `root`, where npm put it."""
    package = package_name()
    if package is None:
        return None
    program = root / "node_modules" / package / "bin" / "workerd"
    return program if program.is_file() else None


def examine(program: Path) -> Workerd:
    """Raises WorkerdUnusable unless it runs and says what it is."""
    try:
        done = subprocess.run(  # noqa: S603  # the operator named it, or npm brought it
            [program, "--version"], capture_output=True, text=True, timeout=ASK_S_MAX, check=False, env={}
        )
    except OSError as error:
        raise WorkerdUnusable(f"{program} can't be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise WorkerdUnusable(f"{program} didn't say its version within {ASK_S_MAX:.0f} s") from None
    match = VERSION.search(done.stdout)
    if match is None:
        said = (done.stdout + done.stderr).strip().partition("\n")[0][:SAID_MAX]
        raise WorkerdUnusable(f"{program} doesn't say that it is workerd: {said!r}")
    return Workerd(program, date.fromisoformat(match[1]))
