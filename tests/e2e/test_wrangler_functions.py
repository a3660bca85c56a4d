"""An unmodified wrangler deploys functions, keeps keys and values, and tails what a function says."""

import json
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LiveServer, serving
from tests.e2e.wrangler_client import WranglerClient, write_tree
from tests.real_parts import find_workerd, find_wrangler

PATIENCE_S = 60
COUNTER = b"""
export const onRequest = async ({ env }) => {
  const count = Number((await env.COUNTS.get("n")) ?? 0) + 1;
  await env.COUNTS.put("n", String(count), { metadata: { by: "function" } });
  await env.COUNTS.put("bytes", new Uint8Array([0, 255]), { expirationTtl: 60 });
  console.log("counted", count, { deep: [1] });
  const listed = await env.COUNTS.list({ prefix: "n" });
  return Response.json({
    count,
    greeting: env.GREETING,
    secret: env.SECRET,
    json: env.OBJECT,
    bytes: [...new Uint8Array(await env.COUNTS.get("bytes", "arrayBuffer"))],
    stream: await new Response(await env.COUNTS.get("n", "stream")).text(),
    entry: await env.COUNTS.getWithMetadata("n"),
    several: [...(await env.COUNTS.get(["n", "absent"]))],
    names: listed.keys.map((key) => key.name),
  });
};
"""
CONFIG = """
name = "counter"
pages_build_output_dir = "public"
compatibility_date = "2026-01-01"
[vars]
GREETING = "hello"
OBJECT = {{ a = 1 }}
[[kv_namespaces]]
binding = "COUNTS"
id = "{namespace}"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("functions") / "data", "--workerd", str(find_workerd())) as running:
        yield running


@pytest.fixture(scope="module")
def wrangler(tmp_path_factory: pytest.TempPathFactory, server: LiveServer) -> WranglerClient:
    return WranglerClient(find_wrangler("4.164"), server, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def namespace(wrangler: WranglerClient) -> str:
    wrangler.run("kv", "namespace", "create", "counts")
    (created,) = json.loads(wrangler.try_to("kv", "namespace", "list").stdout)
    return str(created["id"])


@pytest.fixture(scope="module")
def counter(wrangler: WranglerClient, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder, deployed."""
    folder = write_tree(
        tmp_path_factory.mktemp("counter"),
        {
            "functions/count.js": COUNTER,
            "functions/throws.js": b"export const onRequest = () => { throw new Error('on purpose'); };",
            "public/index.html": b"front",
            "wrangler.toml": CONFIG.format(namespace=namespace).encode(),
        },
    )
    wrangler.create("counter")
    wrangler.run("pages", "secret", "put", "SECRET", "--project-name", "counter", stdin="sealed and opened")
    wrangler.run("pages", "deploy", "--branch", "main", cwd=folder)
    return folder


def test_a_function_gets_its_variables_secrets_and_namespaces(
    wrangler: WranglerClient, counter: Path, namespace: str
) -> None:
    first, second = (json.loads(wrangler.server.get("counter.pages.localhost", "/count").body) for _ in range(2))
    assert second["count"] == first["count"] + 1
    assert second == {
        "count": second["count"],
        "greeting": "hello",
        "secret": "sealed and opened",
        "json": {"a": 1},
        "bytes": [0, 255],
        "stream": str(second["count"]),
        "entry": {"value": str(second["count"]), "metadata": {"by": "function"}, "cacheStatus": None},
        "several": [["n", str(second["count"])], ["absent", None]],
        "names": ["n"],
    }
    read = wrangler.run("kv", "key", "get", "n", "--namespace-id", namespace, "--remote", "--text")
    assert str(second["count"]) in read


def test_kv_commands_write_and_read_what_functions_do(wrangler: WranglerClient, namespace: str, tmp_path: Path) -> None:
    where = ("--namespace-id", namespace, "--remote")
    wrangler.run("kv", "key", "put", "a/b c", "value", *where, "--ttl", "300", "--metadata", '{"x":"é"}')
    listed = json.loads(wrangler.try_to("kv", "key", "list", *where, "--prefix", "a/").stdout)
    assert (listed[0]["name"], listed[0]["metadata"]) == ("a/b c", {"x": "é"})
    wrangler.run("kv", "key", "delete", "a/b c", *where)
    assert wrangler.try_to("kv", "key", "get", "a/b c", *where).returncode != 0
    bulk = tmp_path / "bulk.json"
    bulk.write_text(json.dumps([{"key": f"bulk-{number}", "value": "v"} for number in range(50)]))
    wrangler.run("kv", "bulk", "put", str(bulk), *where)
    assert len(json.loads(wrangler.try_to("kv", "key", "list", *where, "--prefix", "bulk-").stdout)) == 50


def test_what_we_have_not_is_refused_with_the_bindings_name(
    wrangler: WranglerClient, counter: Path, tmp_path: Path
) -> None:
    for extra, said in (
        ('[[d1_databases]]\nbinding = "DB"\ndatabase_name = "x"\ndatabase_id = "1"\n', "'DB' is a D1 database"),
        ('[[r2_buckets]]\nbinding = "FILES"\nbucket_name = "files"\n', "'FILES' is an R2 bucket"),
        ('[[kv_namespaces]]\nbinding = "NONE"\nid = "0123"\n', "which doesn't exist"),
    ):
        folder = write_tree(
            tmp_path / said[1:4],
            {
                "functions/count.js": COUNTER,
                "public/index.html": b"front",
                "wrangler.toml": b'name = "counter"\npages_build_output_dir = "public"\n' + extra.encode(),
            },
        )
        done = wrangler.try_to("pages", "deploy", "--branch", "main", cwd=folder)
        assert done.returncode == 1
        assert said in done.stdout + done.stderr
    assert wrangler.server.get("counter.pages.localhost", "/count").status == 200, "the old deployment is live"


def test_a_function_that_doesnt_start_fails_at_its_deploy_with_its_error(
    wrangler: WranglerClient, counter: Path, tmp_path: Path
) -> None:
    folder = write_tree(
        tmp_path / "broken",
        {
            "functions/count.js": b"const made = absent.thing();\nexport const onRequest = () => new Response(made);",
            "public/index.html": b"front",
        },
    )
    done = wrangler.try_to("pages", "deploy", "public", "--project-name", "counter", "--branch", "main", cwd=folder)
    assert done.returncode == 1
    assert "Failed to publish your Function. Got error: Uncaught ReferenceError: absent is not" in " ".join(
        (done.stdout + done.stderr).split()
    )
    assert wrangler.server.get("counter.pages.localhost", "/count").status == 200, "the old deployment is live"


def test_a_tail_shows_requests_lines_and_errors(wrangler: WranglerClient, counter: Path) -> None:
    account = wrangler.account_path
    deployment = wrangler.server.api("GET", f"{account}/pages/projects/counter/deployments")["result"][0]["id"]
    environ = {
        "CLOUDFLARE_API_BASE_URL": f"http://127.0.0.1:{wrangler.server.api_port}/client/v4",
        "CLOUDFLARE_API_TOKEN": wrangler.server.token,
    }
    command = wrangler.wrangler.command(
        "pages", "deployment", "tail", deployment, "--project-name", "counter", "--format", "json"
    )
    process = subprocess.Popen(
        command, cwd=wrangler.home, env=wrangler.wrangler.environ(wrangler.home, environ),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        events = read_events(process, asking=lambda: [ask(wrangler, each) for each in ("/count", "/throws", "/")])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        assert process.stdout is not None
        process.stdout.close()
    by_path = {event["event"]["request"]["url"].rpartition("/")[2]: event for event in events}
    assert by_path["count"]["logs"][0]["message"][0] == "counted"
    assert by_path["throws"]["exceptions"][0]["message"] == "on purpose"
    assert by_path["throws"]["outcome"] == "exception"


def ask(wrangler: WranglerClient, target: str) -> None:
    wrangler.server.get("counter.pages.localhost", target)


def read_events(process: "subprocess.Popen[str]", *, asking: Callable[[], object]) -> list[dict[str, Any]]:
    """The first events, asking again until the tail is on."""
    assert process.stdout is not None
    decoder, text, events = json.JSONDecoder(), "", []
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    deadline_s = time.monotonic() + PATIENCE_S
    seen: set[str] = set()
    while not {"count", "throws"} <= seen:
        assert time.monotonic() < deadline_s, f"the tail showed {text!r}"
        asking()
        if selector.select(timeout=1):
            text += process.stdout.readline()
        while text.strip():
            try:
                event, end = decoder.raw_decode(text.lstrip())
            except json.JSONDecodeError:
                break
            text = text.lstrip()[end:]
            events.append(event)
            seen.add(event["event"]["request"]["url"].rpartition("/")[2])
    return events
