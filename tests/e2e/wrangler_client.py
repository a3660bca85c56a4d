"""An unmodified wrangler, pointed at one running Onehop by the variables that its documentation names."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.conftest import LiveServer
from tests.real_parts import Wrangler

SHORT_ID_HOST = r"[0-9a-f]{8}\.[a-z0-9-]+\.pages\.localhost"


@dataclass(frozen=True, slots=True)
class WranglerClient:
    wrangler: Wrangler
    server: LiveServer
    home: Path
    """Its settings, caches and logs; also where it runs, so that no git work tree tells it a branch or commit."""

    @property
    def account_path(self) -> str:
        (account,) = self.server.api("GET", "/accounts")["result"]
        return f"/accounts/{account['id']}"

    def try_to(
        self, *arguments: str, stdin: str | None = None, token: str | None = None, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        environ = {
            "CLOUDFLARE_API_BASE_URL": f"http://127.0.0.1:{self.server.api_port}/client/v4",
            "CLOUDFLARE_API_TOKEN": self.server.token if token is None else token,
        }
        return self.wrangler.run(*arguments, home=self.home, cwd=cwd or self.home, environ=environ, stdin=stdin)

    def run(self, *arguments: str, stdin: str | None = None, cwd: Path | None = None) -> str:
        """What it printed, after exit code 0."""
        done = self.try_to(*arguments, stdin=stdin, cwd=cwd)
        assert done.returncode == 0, f"wrangler {' '.join(arguments)}: exit {done.returncode}\n{said(done)}"
        return said(done)

    def create(self, project: str) -> str:
        return self.run("pages", "project", "create", project, "--production-branch", "main")

    def deploy(self, folder: Path, project: str, branch: str = "main") -> str:
        """The host of the deployment, as printed."""
        printed = self.run("pages", "deploy", str(folder), "--project-name", project, "--branch", branch)
        return host_printed(printed)


def said(done: "subprocess.CompletedProcess[str]") -> str:
    return done.stdout + done.stderr


def host_printed(printed: str) -> str:
    match = re.search(rf"Take a peek over at https?://({SHORT_ID_HOST})(?::\d+)?\b", printed)
    assert match is not None, f"no deployment URL in:\n{printed}"
    return match[1]


def write_tree(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def target_of(path: str) -> str:
    return "/" + quote(path)
