"""Sites with functions, deployed by an unmodified wrangler, answered as `wrangler pages dev` answers them.

The same wrangler bundles for both, so what is compared is what Onehop adds: `_routes.json`, ASSETS, the environment,
the way through the edge to workerd and back. function_sites/ holds the sites; tests/real_parts.py finds wrangler.
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

import pytest

from tests.conftest import LiveServer, serving
from tests.e2e.wrangler_client import WranglerClient
from tests.free_ports import free_port
from tests.parity.asking import Answer, Ask, Site, ask_server
from tests.parity.differences import compare
from tests.parity.pages_dev import POLL_S, READY_TIMEOUT_S, STOP_TIMEOUT_S
from tests.real_parts import Wrangler, find_workerd, find_wrangler

SITES: Final = Path(__file__).parent / "function_sites"
DATE: Final = "2026-04-01"
JSON: Final = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class FunctionSite:
    """`folder` is what is deployed, below the site's own, where `functions/` lies."""

    name: str
    folder: str
    asks: tuple[Ask, ...]


def gets(*targets: str) -> tuple[Ask, ...]:
    return tuple(Ask(target) for target in targets)


ROUTING: Final = FunctionSite(
    "routing",
    "public",
    (
        *gets("/", "/page", "/page.html", "/text.txt", "/missing", "/static", "/static/", "/STATIC", "/static?q=1&r='"),
        *gets("/api/joe", "/api/joe/", "/api/fixed", "/api/FIXED", "/api/a%20b", "/api/%6aoe", "/api/%2F", "/api/"),
        *gets("/api/a/b", "/api/a/b/", "/api/a/b/c", "/api//b", "/%73tatic", "//static", "/static//"),
        *gets("/all", "/all/", "/all/a", "/all/a/b/c"),
        *gets("/all/a%2Fb/c", "/all/middle", "/all/middle/here", "/all/middle/no"),
        *gets("/throws", "/cookies", "/next/as-string", "/next/with-method", "/next/assets", "/next/redirected"),
        *gets("/next/changed", "/status/200", "/status/204"),
        *gets("/status/201", "/status/304", "/status/404", "/status/503"),
        *gets("/body/stream", "/html", "/body/count", "/static\\x"),
        Ask("/", "POST"), Ask("/page", "POST"), Ask("/missing", "POST"), Ask("/", "HEAD"), Ask("/static", "HEAD"),
        Ask("/api/joe", "HEAD"), Ask("/api/joe", "POST", body=b"some body"), Ask("/api/joe", "DELETE"),
        Ask("/api/joe", "PUT", body=b"x"), Ask("/api/joe", "OPTIONS"), Ask("/static", "PATCH", body=b"x"),
        Ask("/body/count", "POST", body=b"z" * 200_000), Ask("/all/middle/here", "POST"),
        Ask("/cookies", fields=(("Cookie", "a=1"), ("Cookie", "b=2"))),
        Ask("/status/200", fields=(("If-None-Match", '"mine"'),)),
        Ask("/throws", "HEAD"), Ask("/next/as-string", "POST", body=b"gone"), Ask("/html", "HEAD"),
    ),
)  # fmt: skip
ADVANCED: Final = FunctionSite(
    "advanced",
    ".",
    (
        *gets("/", "/page", "/page.html", "/dir", "/dir/", "/missing", "/old", "/old?q=1", "/away", "/rewritten"),
        *gets("/url/a%20b?x=%20y", "/url/../url/x", "/url/%2e%2e/y", "/url//z", "/url/\\b", "/url/a'b?c='d'", "/url/?"),
        *gets("/url/%C3%A9", "/url/[x]|y?[z]|^", "/method", "/fields", "/redirect", "/relative", "/assets/page"),
        *gets("/assets/page.html", "/assets/", "/assets/old"),
        *gets("/followed/page.html", "/followed/old", "/followed/rewritten"),
        *gets("/followed/missing", "/mutable/page", "/env", "/large"),
        *gets("/empty", "/gzip", "/fields-out", "/later", "/teapot"),
        Ask("/method", "POST"), Ask("/method", "PUT"), Ask("/method", "DELETE"), Ask("/method", "HEAD"),
        Ask("/method", "OPTIONS"), Ask("/method", "PATCH"), Ask("/old", "POST"), Ask("/page", "POST"),
        Ask("/page", "HEAD"), Ask("/echo", "POST", JSON, b'{"a": 1}'), Ask("/echo", "PUT", body=b"q" * 70_000),
        Ask("/echo", "POST"), Ask("/large", "HEAD"), Ask("/gzip", fields=(("Accept-Encoding", "gzip"),)),
        Ask("/fields", fields=(("Accept", "a/b"), ("X-Given", "one"), ("X-Given", "two"), ("Cookie", "c=d"))),
        Ask("/fields", fields=(("X-Given", "  spaced  "),)), Ask("/redirect", "POST", body=b"x"),
    ),
)  # fmt: skip
RULES: Final = FunctionSite(
    "rules",
    "public",
    (
        *gets("/", "/page", "/page.html", "/exact", "/exact/", "/exactly", "/prefix", "/pre", "/mid/a/end", "/mid/end"),
        *gets("/fn/hello", "/fn/HELLO", "/FN/hello", "/fn/hello/"),
        *gets("/fn/old", "/fn/rewrite", "/fn/missing", "/fn", "/fn/"),
        *gets("/fn/excluded", "/fn/excluded/", "/fn/%65xcluded", "/fn/static/file.txt", "/fn/static/old", "/fn/static"),
        *gets("/fn/asset.txt", "/static-old", "/elsewhere", "/fn/hello?q=1"),
        Ask("/fn/hello", "POST"), Ask("/fn/hello", "HEAD"), Ask("/fn/asset.txt", "POST"), Ask("/fn/old", "POST"),
        Ask("/static-old", "POST"), Ask("/page", "HEAD"), Ask("/fn/static/file.txt", "PUT"),
    ),
)  # fmt: skip


@contextmanager
def pages_dev(wrangler: Wrangler, site: Path, folder: str, work: Path) -> Iterator[int]:
    """Its port, once it answers."""
    port = free_port()
    log_path = work / "pages-dev.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            wrangler.command(
                "pages", "dev", folder, "--ip", "127.0.0.1", "--port", str(port),
                "--inspector-port", str(free_port()), "--compatibility-date", DATE,
                "--live-reload=false", "--show-interactive-dev-session=false", "--log-level", "warn",
            ),
            cwd=site, env=wrangler.environ(work / "home"), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            deadline_s = time.monotonic() + READY_TIMEOUT_S
            while not answers(port):
                assert time.monotonic() < deadline_s, f"wrangler pages dev was not ready:\n{log_path.read_text()}"
                time.sleep(POLL_S)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=STOP_TIMEOUT_S)


def answers(port: int) -> bool:
    try:
        return ask_server(Ask("/"), port=port, host="127.0.0.1").status == 200
    except (OSError, HTTPException):
        return False


@pytest.fixture(scope="module")
def onehop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    workerd = find_workerd()
    with serving(tmp_path_factory.mktemp("onehop") / "data", "--workerd", str(workerd)) as server:
        yield server


def deployed(wrangler: Wrangler, onehop: LiveServer, site: FunctionSite, work: Path) -> str:
    """The site's production host."""
    client = WranglerClient(wrangler, onehop, work / "home")
    client.run("pages", "project", "create", site.name, "--production-branch", "main", "--compatibility-date", DATE)
    client.run("pages", "deploy", site.folder, "--project-name", site.name, "--branch", "main", cwd=work / site.name)
    return f"{site.name}.pages.localhost:{onehop.edge_port}"


@pytest.mark.pages("9 row 3", "9 row 4")
@pytest.mark.parametrize("site", [ROUTING, ADVANCED, RULES], ids=lambda site: site.name)
def test_a_site_with_functions_is_answered_as_pages_dev_answers_it(
    onehop: LiveServer, tmp_path: Path, site: FunctionSite
) -> None:
    wrangler = find_wrangler("4.164")
    (tmp_path / "home").mkdir()
    shutil.copytree(SITES / site.name, tmp_path / site.name)
    host = deployed(wrangler, onehop, site, tmp_path)
    problems = []
    with pages_dev(wrangler, tmp_path / site.name, site.folder, tmp_path) as port:
        for ask in site.asks:
            theirs = ask_server(ask, port=port, host=host)
            ours = ask_server(ask, port=onehop.edge_port, host=host)
            problems += problems_of(site, ask, theirs, ours)
    if problems:
        pytest.fail(f"{len(problems)} of {len(site.asks)} answers differ\n" + "\n".join(problems), pytrace=False)


def problems_of(site: FunctionSite, ask: Ask, theirs: Answer, ours: Answer) -> list[str]:
    as_static = Site(site.name, (), "", "", ())
    verdict = compare(as_static, ask, theirs, ours)
    return ["\n    ".join([str(ask), *verdict.problems])] if verdict.problems else []
