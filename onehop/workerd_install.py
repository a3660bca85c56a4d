"""Brings workerd with npm: one package, its version ours, no script of anybody's run."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from functions.installation import Workerd, examine, installed_program, package_name
from onehop.errors import CommandFailed

VERSION: Final = "1.20261117.1"
"""The one that the tests run; 'onehop functions install --version' takes another."""
INSTALL_S_MAX: Final = 600.0


class InstallFailed(CommandFailed):
    """npm isn't there, or didn't bring workerd."""


def install_workerd(into: Path, *, version: str = VERSION) -> Workerd:
    """Raises InstallFailed, WorkerdUnusable. `into` gets a node_modules folder."""
    package = package_name()
    if package is None:
        raise InstallFailed("workerd isn't made for this processor: it runs on x86-64 and ARM64 Linux")
    npm = shutil.which("npm")
    if npm is None:
        raise InstallFailed("npm isn't installed here; install Node.js with it, or name a workerd with ONEHOP_WORKERD")
    into.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(into), "--no-save", "--ignore-scripts", "--no-audit", "--no-fund",
               "--loglevel=error", f"{package}@{version}"]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603  # npm, with a package's name that is ours
            command, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False, env=dict(os.environ)
        )
    except subprocess.TimeoutExpired:
        raise InstallFailed(f"npm hadn't brought {package} after {INSTALL_S_MAX:.0f} s") from None
    program = installed_program(into)
    if done.returncode != 0 or program is None:
        complaint = " ".join((done.stderr or done.stdout).split())[:400]
        raise InstallFailed(f"npm didn't bring {package}@{version}: {complaint or f'exit code {done.returncode}'}")
    return examine(program)
