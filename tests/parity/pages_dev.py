"""`wrangler pages dev` as the other side of a comparison: one process that serves one site after the other.

Starting it takes seconds, so it's started once, and its folder is made to hold the next site. It reads its files at
each request, but its rules only when it notices a change; each site's rules therefore begin with a rule that names the
site, and a site counts as served once both rule files answer with that name.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final

from tests.free_ports import free_port
from tests.parity.asking import Answer, Ask, Site, ask_server
from tests.real_parts import Wrangler

READY_TIMEOUT_S: Final = 60
SERVED_TIMEOUT_S: Final = 20
POLL_S: Final = 0.05
POLLS_A_WRITE: Final = 6  # its watcher drops a change that follows another too closely: write again until it is seen
STOP_TIMEOUT_S: Final = 10
COMPATIBILITY_DATE: Final = "2026-04-01"


def sentinel_path(site: Site) -> str:
    return f"/_is_served_{site.name}"


def redirects_file(site: Site) -> str:
    return f"{sentinel_path(site)} /{site.name} 301\n{site.redirects}"


def headers_file(site: Site) -> str:
    return f"{sentinel_path(site)}\n  x-served: {site.name}\n{site.headers}"


def write_site(site: Site, folder: Path) -> None:
    """The folder as both servers get it, rule files last."""
    for path, content in site.files:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    write_rules(site, folder)


def write_rules(site: Site, folder: Path) -> None:
    (folder / "_redirects").write_bytes(redirects_file(site).encode())
    (folder / "_headers").write_bytes(headers_file(site).encode())


@dataclass(frozen=True, slots=True)
class PagesDev:
    folder: Path
    port: int
    process: "subprocess.Popen[bytes]"

    def serve(self, site: Site) -> None:
        """Returns once it answers with this site's files and rules."""
        for entry in self.folder.iterdir():
            if entry.name not in ("_redirects", "_headers"):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        write_site(site, self.folder)
        deadline_s = time.monotonic() + SERVED_TIMEOUT_S
        polls_count = 0
        while time.monotonic() < deadline_s:
            answer = self.ask(Ask(sentinel_path(site)))
            if answer.field("location") == f"/{site.name}" and answer.field("x-served") == site.name:
                return
            time.sleep(POLL_S)
            polls_count += 1
            if polls_count % POLLS_A_WRITE == 0:
                write_rules(site, self.folder)
        raise TimeoutError(f"wrangler pages dev did not take up site {site.name} within {SERVED_TIMEOUT_S} s")

    def ask(self, ask: Ask, *, host: str = "") -> Answer:
        return ask_server(ask, port=self.port, host=host or f"127.0.0.1:{self.port}")


@contextmanager
def running_pages_dev(wrangler: Wrangler, work: Path) -> Iterator[PagesDev]:
    folder = work / "site"
    folder.mkdir(parents=True)
    (folder / "_redirects").write_text("/_is_ready / 301\n")
    (folder / "_headers").write_text("/_is_ready\n  x-served: ready\n")
    port = free_port()
    log_path = work / "pages-dev.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            wrangler.command(
                "pages", "dev", str(folder), "--ip", "127.0.0.1", "--port", str(port),
                "--inspector-port", str(free_port()), "--compatibility-date", COMPATIBILITY_DATE,
                "--live-reload=false", "--show-interactive-dev-session=false", "--log-level", "warn",
            ),
            cwd=work, env=wrangler.environ(work / "home"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        dev = PagesDev(folder, port, process)
        try:
            wait_until_ready(dev, log_path)
            yield dev
        finally:
            # The group, since node's child workerd would outlive it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=STOP_TIMEOUT_S)


def wait_until_ready(dev: PagesDev, log_path: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s and dev.process.poll() is None:
        try:
            if dev.ask(Ask("/_is_ready")).status == 301:
                return
        except (OSError, HTTPException):
            pass
        time.sleep(POLL_S)
    raise RuntimeError(f"wrangler pages dev was not ready within {READY_TIMEOUT_S} s:\n{log_path.read_text()}")
