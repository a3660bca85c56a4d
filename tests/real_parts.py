"""The real things that tests drive: both wranglers, Chromium, a documentation site of Debian's, a disk that gets full.

A test asks for its part here. Where the part is missing, the test is skipped, saying what would bring it; with
ONEHOP_REQUIRE=all (CI) it fails instead, so that a broken installation can never look like a pass.
`.ci/install-real-parts` installs them all.
"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

E2E: Final = Path(__file__).parent / "e2e"
INSTALL: Final = "run .ci/install-real-parts"
WRANGLER_VERSIONS: Final = ("4.86", "4.164")
COMMAND_TIMEOUT_S: Final = 120
NODE_ARCHITECTURES: Final = {"x86_64": "x64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Wrangler:
    """One unmodified wrangler with the Node.js that its lockfile names. Nothing of the machine's own is used."""

    version: str
    node: Path
    script: Path

    def command(self, *arguments: str) -> list[str]:
        return [str(self.node), str(self.script), *arguments]

    def environ(self, home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Quiet, telemetry off, settings and caches under `home`, no account of the person who runs the tests."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDFLARE_", "CF_"))}
        return {
            **kept,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "WRANGLER_LOG_PATH": str(home / "wrangler-logs"),
            "WRANGLER_SEND_METRICS": "false",
            "CI": "true",
            "NO_COLOR": "1",
            **(more or {}),
        }

    def run(
        self, *arguments: str, home: Path, cwd: Path, environ: Mapping[str, str], stdin: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments), cwd=cwd, env=self.environ(home, environ), input=stdin or "",
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip


def refuse_to_run_without(part: str, how: str = INSTALL) -> None:
    """Ends the test: a visible skip for a person, a failure where every part was promised."""
    message = f"{part} is not installed here; {how}"
    if os.environ.get("ONEHOP_REQUIRE") == "all":
        pytest.fail(f"ONEHOP_REQUIRE=all, but {message}", pytrace=False)
    pytest.skip(message)


def find_wrangler(version: str) -> Wrangler:
    modules = E2E / f"wrangler-{version}" / "node_modules"
    architecture = NODE_ARCHITECTURES.get(platform.machine(), "unknown")
    wrangler = Wrangler(
        version=version,
        node=modules / f"node-linux-{architecture}" / "bin" / "node",
        script=modules / "wrangler" / "bin" / "wrangler.js",
    )
    if not (wrangler.node.is_file() and wrangler.script.is_file()):
        refuse_to_run_without(f"wrangler {version}")
    return wrangler


def find_workerd() -> Path:
    """The one that the newer wrangler brings along."""
    architecture = {"x64": "64", "arm64": "arm64"}.get(NODE_ARCHITECTURES.get(platform.machine(), ""), "unknown")
    modules = E2E / f"wrangler-{WRANGLER_VERSIONS[-1]}" / "node_modules"
    workerd = modules / "@cloudflare" / f"workerd-linux-{architecture}" / "bin" / "workerd"
    if not workerd.is_file():
        refuse_to_run_without("workerd")
    return workerd


def find_program(*names: str, debian_package: str) -> Path:
    for name in names:
        if (found := shutil.which(name)) is not None:
            return Path(found)
    refuse_to_run_without(f"{names[0]} (Debian's {debian_package})")
    raise AssertionError("unreachable: refuse_to_run_without never returns")


def find_documentation_site() -> Path:
    """Debian's python3-doc: a real site of more than 500 files, with symlinks that leave it."""
    for folder in sorted(Path("/usr/share/doc").glob("python3*/html")):
        if (folder / "library" / "index.html").is_file() and (folder / "searchindex.js").is_file():
            return folder.resolve()
    refuse_to_run_without("a documentation site (Debian's python3-doc)")
    raise AssertionError("unreachable: refuse_to_run_without never returns")


@contextmanager
def small_disk(mount_point: Path, *, size_bytes: int) -> Iterator[Path]:
    """A file system of its own, of a size that a test can fill."""
    mount_point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(mount_point)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        refuse_to_run_without("a file system of a few MiB", "mounting a tmpfs takes root")
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "--lazy", str(mount_point)], check=True)
