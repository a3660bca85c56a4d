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
ANSWERS: Final = (
    "json", "redirect", "cookies", "bytes", "form", "blob", "length", "nocontent", "reset", "unchanged",
    "empty", "type", "untyped", "vary", "unusual", "robots", "none",
)  # fmt: skip
RUNTIME: Final = (
    "digest", "uuid", "url", "pattern", "clock", "globals", "agent", "evaluated", "gzip", "base64", "clone", "abort",
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

HANDLERS: Final = FunctionSite(
    "handlers",
    "public",
    (
        *gets("/methods", "/methods/", "/methods?a=%20b&c=+", "/methods-get", "/both", "/both-next"),
        *(Ask("/methods", method) for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")),
        *(Ask("/methods-get", method) for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")),
        *(Ask("/both", method) for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD")),
        Ask("/both-next", "POST"), Ask("/both-next", "HEAD"), Ask("/only-head", "HEAD"), Ask("/only-head", "POST"),
        *gets("/only-head", "/only-head.html", "/list", "/list-end", "/dotted.name", "/dotted.name/"),
        *gets("/typed?name=%C3%A9"),
        *gets("/user/me", "/user/Me", "/user/me/", "/user/joe", "/user/joe/", "/user/", "/user"),
        *gets("/user/a%2Fb", "/user/a+b"),
        *gets("/user/%E2%82%AC", "/user/a%2", "/user/%", "/user/a;b=c", "/user/a:b@c", "/user/a,b"),
        *gets("/user/~x", "/user/%7Ex"),
        *gets("/user/joe/posts/1", "/user/joe/posts/1/", "/user/joe/posts", "/user/joe/posts/1/2", "/user/joe/x/y/z"),
        *gets("/user/a%20b/posts/c%2Fd", "/user/me/posts/9", "/user/me/rest", "/user/joe//x", "/user/../user/joe"),
        *gets("/user/[id]", "/user/:id", "/user/*", "/user/(x)", "/user/joe/%2e%2e/x", "/user/a.b.c", "/user/-_."),
        *gets("/files", "/files/", "/files/a", "/files/a/", "/files/a//b", "/files/fixed", "/files/fixed/"),
        *gets("/files/FIXED"),
        *gets("/files/fixed/more", "/files/a%20b/c%3Fd", "/files/%2F/%2f", "/files/..%2fx", "/files/a/b/c/d/e/f"),
        Ask("/files/a", "POST"), Ask("/files/a", "HEAD"), Ask("/files", "OPTIONS"), Ask("/user/me", "POST"),
        Ask("/user/me", "HEAD"), Ask("/user/joe/posts/1", "POST"), Ask("/user/joe/posts/1", "HEAD"),
        *gets("/chain/deep/leaf", "/chain/deep/leaf?stop", "/chain/deep/leaf?throw", "/chain/deep/leaf?leaf"),
        *gets("/chain/asset.txt", "/chain/asset.txt?stop", "/chain/none", "/chain/deep/none", "/chain", "/chain/deep/"),
        Ask("/chain/deep/leaf", "POST"), Ask("/chain/deep/leaf", "HEAD"), Ask("/chain/read", "POST", body=b"body"),
        Ask("/chain/read", "POST", body=b""), Ask("/chain/json", "POST", JSON, b'{"k": [1, null]}'),
        Ask("/chain/json", "POST", JSON, b"{broken"), Ask("/chain/asset.txt", "POST"),
        Ask("/chain/read", "PUT", body=b"x"),
        *gets("/pass", "/pass/lost", "/pass?q=1", "/pass/"), Ask("/pass", "POST", body=b"x"), Ask("/pass", "HEAD"),
        Ask("/pass/lost", "POST", body=b"some"),
        *gets("/to/new-request", "/to/with-init", "/to/post-asset", "/to/twice", "/to/missing", "/to/assets-x"),
        *gets("/to/assets-[what]", "/keys", "/data.json", "/none", "/dir", "/dir/", "/dir/index.html", "/dir/none"),
        Ask("/to/new-request", "POST", body=b"old"), Ask("/to/with-init", "POST", body=b"old"),
        Ask("/to/twice", "POST"),
        *gets("/assets/data.json", "/assets/dir", "/assets/dir/", "/assets/dir/index.html", "/assets/none", "/assets"),
        *gets("/assets/only-head", "/assets/index.html", "/assets/index", "/assets/pass.html", "/assets/dir/none"),
        Ask("/assets/data.json", "HEAD"), Ask("/assets/data.json", "POST"), Ask("/dir/", "POST"), Ask("/dir/", "HEAD"),
        *(Ask(f"/answers/{kind}") for kind in ANSWERS), *(Ask(f"/answers/{kind}", "HEAD") for kind in ANSWERS[:6]),
        Ask("/answers/type", fields=(("Accept-Encoding", "gzip, br"),)),
        Ask("/answers/json", "POST", body=b"x"),
        *gets("/wrong/throws", "/wrong/rejects", "/wrong/nothing", "/wrong/text", "/wrong/data", "/wrong/spent"),
        Ask("/wrong/rejects", "POST", body=b"x"),
    ),
)  # fmt: skip
COMBINED: Final = FunctionSite(
    "combined",
    "public",
    (
        *gets("/", "/index.html", "/index", "/page", "/page.html", "/page/", "/dir", "/dir/", "/dir/index", "/none"),
        *gets("/old", "/old?keep=1", "/old/", "/old-query", "/old-query?y=2", "/away", "/away?z", "/blog/2026/a-b"),
        *gets("/blog/2026/a%20b", "/blog/2026", "/blog/2026/a/b", "/splat/x/y", "/splat/", "/splat", "/splat/%2e%2e/x"),
        *gets("/rewritten", "/rewritten?q=1", "/rewritten/file.css", "/rewritten/none", "/loop", "/fragment"),
        *gets("/default"),
        *gets("/api/here", "/api/here?plain", "/api/redirected", "/api/none", "/deep/er/file.css"),
        *gets("/deep/er", "/deep/"),
        *gets("/page?plain", "/old?plain", "/?plain", "/none?plain", "/OLD", "/Page", "//page", "/%70age"),
        *gets("/p%61ge.html"),
        *gets("/follow/old", "/follow/page", "/follow/page.html", "/follow/splat/x", "/follow/rewritten"),
        *gets("/follow/none"),
        *gets("/follow/manual", "/follow", "/follow/dir", "/follow/blog/1/2", "/follow/old?x=1", "/follow/fragment"),
        *(Ask(target, method) for target in ("/page", "/old", "/api/here", "/none", "/rewritten", "/api/redirected")
          for method in ("POST", "HEAD", "OPTIONS", "DELETE")),
        Ask("/page", fields=(("If-None-Match", '"nothing"'),)),
        Ask("/page", fields=(("Accept-Encoding", "gzip"),)),
        Ask("/deep/er/file.css", fields=(("Accept-Encoding", "br"),)),
        Ask("/deep/er/file.css", fields=(("Origin", "https://a.example"),)),
    ),
)  # fmt: skip
MODULES: Final = FunctionSite(
    "modules",
    ".",
    (
        *gets("/", "/about", "/about.html", "/about/", "/nested", "/nested/", "/nested/index.html"),
        *gets("/any/route", "/moved"),
        *gets("/chain", "/gone/x", "/as-about", "/inner/x", "/lazy", "/asset/", "/asset/about", "/asset/about.html"),
        *gets("/asset/nested", "/asset/nested/", "/asset/none", "/asset/moved", "/asset/chain", "/asset/gone/y"),
        *gets("/asset/as-about", "/manual/about.html", "/manual/moved", "/manual/chain", "/manual/nested"),
        *gets("/manual/none"),
        *gets("/elsewhere/about", "/elsewhere/moved", "/elsewhere/nested/", "/relative/about", "/posted/about"),
        *gets("/posted/none", "/posted/moved", "/length/about", "/length/nested/", "/length/moved", "/length/none"),
        *gets("/clone/about", "/header/x-none", "/header/user-agent", "/header/accept", "/host"),
        *gets("/_worker.js", "/_headers"),
        *gets("/_redirects", "/_routes.json", "/asset/_worker.js", "/asset/_headers"),
        Ask("/conditional/about", fields=(("If-None-Match", '"no"'),)), Ask("/conditional/about"),
        Ask("/conditional/none", fields=(("Accept", "text/html"),)),
        Ask("/header/x-long", fields=(("X-Long", "l" * 6_000),)),
        Ask("/host", "POST", body=b"x"), Ask("/host", "HEAD"), Ask("/about", "HEAD"), Ask("/about", "POST"),
        Ask("/none", "POST"), Ask("/asset/about", "HEAD"), Ask("/moved", "POST"),
    ),
)  # fmt: skip
CONFIGURED: Final = FunctionSite(
    "configured",
    "public",
    (
        *gets("/", "/env", "/env/GREETING", "/env/EMPTY", "/env/NUMBER", "/env/ABSENT", "/imports"),
        *(Ask(f"/runtime/{what}") for what in RUNTIME),
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
@pytest.mark.parametrize(
    "site", [ROUTING, ADVANCED, RULES, HANDLERS, COMBINED, MODULES, CONFIGURED], ids=lambda site: site.name
)
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
    if theirs.status == ours.status == 500 and b"Error" in theirs.body:
        # The dev server shows its author the trace; ours is for visitors, and says nothing of it.
        return [f"{ask}: a visitor was shown {ours.body[:200]!r}"] if b"secret" in ours.body else []
    as_static = Site(site.name, (), "", "", ())
    verdict = compare(as_static, ask, theirs, ours)
    return ["\n    ".join([str(ask), *verdict.problems])] if verdict.problems else []
