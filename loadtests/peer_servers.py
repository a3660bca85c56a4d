"""The servers that Onehop is held against, each serving one folder on one core as it would best: nginx with and without
open_file_cache, h2o and Caddy from Debian, starlette's StaticFiles under uvicorn, and `wrangler pages dev`, which
`.ci/install-real-parts` brings. One that isn't installed is left out and said to be. Compressed forms lie beside the
files, for those that look there.

Each sends the header fields that Onehop sends, as far as it can be told to, and none writes an access log.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.free_ports import free_port

START_S_MAX: Final = 60.0
WRANGLER: Final = Path(__file__).parents[1] / "tests/e2e/wrangler-4.164/node_modules/.bin/wrangler"
FIELDS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=0, must-revalidate",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs. `pid` leads all its processes."""

    name: str
    port: int
    pid: int

    def pids(self) -> list[int]:
        return tree_of(self.pid)

    def cpu_s(self) -> float:
        """Of all its processes until now."""
        return sum(map(cpu_s_of, self.pids()))

    def own_memory_bytes(self) -> int:
        return sum(map(own_memory_of, self.pids()))


def tree_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in tree_of(int(child)))]


def cpu_s_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_memory_of(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def nginx_config(site: Path, scratch: Path, port: int, *, caches_files: bool) -> str:
    server = f"""
  server {{
    listen 127.0.0.1:{port};
    root {site};
    error_page 404 /404.html;
    location = /old {{ return 301 /new; }}
  }}"""
    return nginx_with(server, scratch, caches_files=caches_files)


def nginx_with(servers: str, scratch: Path, *, caches_files: bool) -> str:
    """`servers` are the blocks of what it serves, and what they need beside them."""
    fields = "\n".join(f'  add_header {name} "{value}" always;' for name, value in FIELDS.items())
    cache = "open_file_cache max=10000 inactive=60s; open_file_cache_valid 60s;" if caches_files else ""
    folders = "\n".join(f"  {kind}_temp_path {scratch}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""
worker_processes 1;
daemon off;
user root;
pid {scratch}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  include /etc/nginx/mime.types;
  client_body_temp_path {scratch}/body;
{folders}
  sendfile on;
  tcp_nopush on;
  gzip_static on;
  keepalive_requests 10000000;
  index index.html;
  {cache}
{fields}
{servers}
}}
"""


def h2o_config(site: Path, scratch: Path, port: int) -> str:
    fields = "\n".join(f'header.set: "{name}: {value}"' for name, value in FIELDS.items())  # a list is refused
    return f"""
num-threads: 1
user: root
pid-file: {scratch}/h2o.pid
error-log: {scratch}/h2o.log
listen: {{host: 127.0.0.1, port: {port}}}
{fields}
hosts:
  default:
    paths:
      "/old": {{redirect: {{status: 301, url: "/new"}}}}
      "/": {{file.dir: {site}, file.index: [index.html], file.send-compressed: ON}}
"""


def caddy_config(site: Path, scratch: Path, port: int) -> str:
    fields = "\n".join(f'    {name} "{value}"' for name, value in FIELDS.items())
    return f"""
{{
  admin off
  auto_https off
  storage file_system {scratch}/caddy
}}
http://:{port} {{
  bind 127.0.0.1
  root * {site}
  header {{
{fields}
  }}
  redir /old /new 301
  file_server {{
    precompressed br gzip
  }}
}}
"""


def starlette_script(site: Path, scratch: Path, port: int) -> str:
    return f"""
import uvicorn
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

FIELDS = {[(name.lower().encode(), value.encode()) for name, value in FIELDS.items()]!r}
app = Starlette(routes=[
    Route("/old", lambda request: RedirectResponse("/new", 301)),
    Mount("/", StaticFiles(directory={str(site)!r}, html=True)),
])


async def with_fields(scope, receive, send):
    async def send_more(message):
        if message["type"] == "http.response.start":
            message = {{**message, "headers": [*message["headers"], *FIELDS]}}
        await send(message)
    await app(scope, receive, send_more)


uvicorn.run(with_fields, host="127.0.0.1", port={port}, access_log=False, log_level="error", lifespan="off")
"""


def wrangler_arguments(site: Path, scratch: Path, port: int) -> str:
    return f"pages dev {site} --ip 127.0.0.1 --port {port} --log-level error"


@dataclass(frozen=True, slots=True)
class Kind:
    """How a server is started: `command` gets the path of its configuration."""

    name: str
    program: str
    config: Callable[[Path, Path, int], str]
    command: Callable[[Path], list[str]]
    environ: Mapping[str, str]


KINDS: Final = (
    Kind(
        "nginx",
        "nginx",
        lambda site, scratch, port: nginx_config(site, scratch, port, caches_files=False),
        lambda config: ["nginx", "-c", str(config)],
        {},
    ),
    Kind(
        "nginx-cache",
        "nginx",
        lambda site, scratch, port: nginx_config(site, scratch, port, caches_files=True),
        lambda config: ["nginx", "-c", str(config)],
        {},
    ),
    Kind("h2o", "h2o", h2o_config, lambda config: ["h2o", "-m", "worker", "-c", str(config)], {}),
    Kind(
        "caddy",
        "caddy",
        caddy_config,
        lambda config: ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)],
        {"GOMAXPROCS": "1"},
    ),
    Kind("starlette", sys.executable, starlette_script, lambda config: [sys.executable, str(config)], {}),
    Kind(
        "wrangler",
        str(WRANGLER),
        wrangler_arguments,
        lambda config: [str(WRANGLER.with_name("node")), str(WRANGLER), *config.read_text().split()],
        {"WRANGLER_SEND_METRICS": "false", "CI": "1"},
    ),
)


@contextmanager
def peers_running(site: Path, scratch: Path, names: frozenset[str]) -> Iterator[list[Peer]]:
    """Those of `names` that are installed, in the order of KINDS."""
    with ExitStack() as running:
        yield [
            running.enter_context(peer_running(kind, site, scratch / kind.name))
            for kind in KINDS
            if kind.name in names and shutil.which(kind.program, path=f"{os.environ['PATH']}:/usr/sbin")
        ]


@contextmanager
def peer_running(kind: Kind, site: Path, scratch: Path) -> Iterator[Peer]:
    scratch.mkdir(parents=True)
    port = free_port()
    config = scratch / "config"
    config.write_text(kind.config(site, scratch, port))
    environ = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin", "HOME": str(scratch), **kind.environ}
    with (scratch / "said").open("wb") as said:
        process = subprocess.Popen(
            kind.command(config), stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=environ, cwd=scratch
        )
    try:
        wait_for(kind.name, port, process, scratch / "said")
        yield Peer(kind.name, port, process.pid)
    finally:
        pids = tree_of(process.pid) if process.poll() is None else []
        process.terminate()
        process.wait(timeout=30)
        for pid in pids:  # those that their leader has left behind
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_for(name: str, port: int, process: "subprocess.Popen[bytes]", said: Path) -> None:
    until_s = time.monotonic() + START_S_MAX
    while time.monotonic() < until_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    process.kill()
    raise SystemExit(f"{name} did not start: {said.read_text()[-500:]}")
