"""What a function can reach: its own environment and assets, and public addresses. Nothing of the machine or of others.

Case 49 of the hardening list, and what a hostile author would try next.
"""

import os
import pwd
import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.function_sites import FunctionServer, function_server

PROBE = """
import * as workers from "cloudflare:workers";
const probes = {
  out: async (env, url) => (await fetch(url.searchParams.get("u"))).status,
  connect: async (env, url) => {
    const { connect } = await import("cloudflare:sockets");
    await connect(url.searchParams.get("u")).opened;
    return "open";
  },
  env: async (env) => JSON.stringify({ ...env, ...workers.env }),
  assets: async (env, url) => (await env.ASSETS.fetch(url.searchParams.get("u"), { cf: { code: "x" } })).text(),
  control: async (env) =>
    (await env.ASSETS.fetch("http://a/", { headers: { "onehop-control": JSON.stringify({ code: "x" }) } })).text(),
  props: async (env) => JSON.stringify(await env.ASSETS.ctx.props),
  inner: async (env) => JSON.stringify(await env.ASSETS.env),
  count: async () => (globalThis.count = (globalThis.count ?? 0) + 1),
  cache: async (env, url) => {
    const key = "http://cache.example/shared";
    const mine = new Response("mine", { headers: { "cache-control": "max-age=60" } });
    if (url.searchParams.has("put")) await caches.default.put(key, mine);
    return (await caches.default.match(key))?.text() ?? "miss";
  },
  file: async () => (await import("node:fs")).readFileSync("/etc/passwd", "utf8"),
  address: async (env, url, request) => request.headers.get("cf-connecting-ip"),
};
export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const probe = probes[url.pathname.slice(1)];
    if (probe === undefined) return env.ASSETS.fetch(request);
    try {
      return new Response(String(await probe(env, url, request)));
    } catch (error) {
      return new Response(`refused: ${error.message}`);
    }
  },
};
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with function_server(tmp_path_factory.mktemp("isolation")) as server:
        server.deploy("mine", PROBE)
        server.deploy("theirs", PROBE)
        yield server


def said(functions: FunctionServer, target: str, site: str = "mine", **headers: str) -> str:
    return functions.get(site, target, headers=headers).body.decode()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "0x7f.1", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::]",
        "0.0.0.0",
        "169.254.169.254", "[fe80::1]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fc00::1]", "[fd00::1]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::1]", "192.0.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "[ff02::1]",
    ],
)  # fmt: skip
def test_hardening_49_no_address_but_public_ones_is_asked(functions: FunctionServer, host: str) -> None:
    for port in (80, functions.server.api_port):
        assert said(functions, f"/out?u=http://{host}:{port}/").startswith("refused")


def test_hardening_49_a_listener_beside_us_hears_nothing(functions: FunctionServer) -> None:
    port = functions.server.api_port
    assert said(functions, f"/connect?u=127.0.0.1:{port}").startswith("refused")
    assert said(functions, f"/out?u=http://mine.pages.localhost:{functions.server.edge_port}/").startswith("refused")


def test_assets_are_its_own_by_any_host_and_no_field_changes_that(functions: FunctionServer) -> None:
    for host in ("theirs.pages.localhost", "edge.onehop.invalid", "127.0.0.1"):
        assert said(functions, f"/assets?u=http://{host}/") == "<h1>mine</h1>"
    assert said(functions, "/control") == "<h1>mine</h1>"


@pytest.mark.parametrize("probe", ["props", "inner"])
def test_the_dispatchers_insides_cant_be_reached_through_a_binding(functions: FunctionServer, probe: str) -> None:
    assert said(functions, f"/{probe}").startswith("refused")


def test_two_sites_share_neither_environment_nor_globals_nor_caches(functions: FunctionServer) -> None:
    assert '"CF_PAGES_URL":"http://' in said(functions, "/env")
    assert ".theirs." not in said(functions, "/env")
    assert said(functions, "/count") == "1"
    assert said(functions, "/count", site="theirs") == "1"
    assert said(functions, "/cache?put") == "mine"
    assert said(functions, "/cache") == "mine"
    assert said(functions, "/cache", site="theirs") == "miss"


def test_no_file_of_the_machine_can_be_read(functions: FunctionServer) -> None:
    assert said(functions, "/file").startswith("refused")


def test_the_address_is_the_peers_whatever_the_client_says(functions: FunctionServer) -> None:
    assert (
        said(functions, "/address", **{"CF-Connecting-IP": "203.0.113.9", "X-Forwarded-For": "203.0.113.9"})
        == "127.0.0.1"
    )


def test_workerd_runs_with_no_more_rights_than_it_needs(functions: FunctionServer) -> None:
    (pid,) = functions.workerd_pids()
    status = Path(f"/proc/{pid}/status").read_text()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert "NoNewPrivs:\t1" in status
    assert re.search(r"Max file size +0 +0 ", limits)
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    if os.geteuid() == 0:
        assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in status


def test_secrets_are_in_no_argument_log_or_answer(functions: FunctionServer) -> None:
    account = functions.server.api("GET", "/accounts")["result"][0]["id"]
    secret = "a-secret-value-0451"
    config = {"deployment_configs": {"production": {"env_vars": {"KEY": {"type": "secret_text", "value": secret}}}}}
    functions.server.api("PATCH", f"/accounts/{account}/pages/projects/mine", config)
    functions.deploy("mine", PROBE)
    assert secret in said(functions, "/env"), "the function itself gets it"
    assert secret not in said(functions, "/env", site="theirs")
    for pid in functions.workerd_pids():
        assert secret.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    for file in functions.server.data.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file


def test_only_our_own_workerd_is_let_in_at_the_door(functions: FunctionServer) -> None:
    (worker,) = {
        int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in functions.workerd_pids()
    }
    (folder,) = Path(tempfile.gettempdir()).glob(f"onehop-functions-{worker}-*")
    door = folder / "edge"
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(door))
        try:
            caller.sendall(b'GET / HTTP/1.1\r\nHost: a\r\nonehop-control: {"assets":"x"}\r\n\r\n')
            assert caller.recv(100) == b""
        except ConnectionError:
            pass
