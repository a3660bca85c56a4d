"""Functions that misbehave, and a workerd that dies: the site in question suffers, the others are answered.

With one edge worker, so that all sites share one workerd. Everything here is bounded by a count of requests or by the
server's own limits; nothing waits for a fixed time.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path

import orjson
import pytest

from functions.supervisor import FROM_FUNCTIONS_MAX
from router.metrics.catalogue import (
    FUNCTION_LOADS,
    FUNCTION_REQUESTS,
    FUNCTION_SECONDS,
    WORKERD_EVENTS,
    FunctionOutcome,
)
from router.metrics.reading import read_metrics
from tests.conftest import serving
from tests.function_sites import FunctionServer, function_server

GOOD = "export default { fetch: (request, env) => new Response(`fine ${env.CF_PAGES}`) };"
BAD = """
const kept = [];
export default {
  async fetch(request, env, context) {
    switch (new URL(request.url).pathname) {
      case "/loop":
        for (;;);
      case "/loop-later":
        context.waitUntil(scheduler.wait(50).then(() => { for (;;); }));
        return new Response("answered first");
      case "/heap":
        for (;;) kept.push(new Array(1000).fill({}));
      case "/bytes":
        for (;;) {
          kept.push(new Uint8Array(1 << 24).fill(1));
          await scheduler.wait(1);
        }
      case "/gigabyte":
        kept.push(new Uint8Array(2 ** 30).fill(1));
        return new Response(`${kept[0].length}`);
      case "/recursion": {
        kept.push(0);
        const assets = await (await env.ASSETS.fetch(request)).text();
        return new Response(`${kept.length} ${assets}`);
      }
      case "/endless":
        return new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65536)) }));
      case "/half":
        return new Response(
          new ReadableStream({
            async pull(controller) {
              controller.enqueue(new Uint8Array(9));
              await scheduler.wait(20);
              if ((kept.push(0) & 3) === 0) throw new Error("midway");
            },
          }),
        );
      case "/at-once":
        return new Response(new ReadableStream({ pull() { throw new Error("a secret at once"); } }));
      case "/throw":
        throw new Error("a secret that no visitor may see");
      case "/never":
        await new Promise(() => {});
      case "/loud":
        for (let line = 0; line < 10_000; line++) console.log("x".repeat(1_000));
        return new Response("said");
      case "/many":
        for (let count = 0; count < 900; count++) await (await env.ASSETS.fetch("http://a/")).text();
        return new Response("asked");
      case "/too-many": {
        const counts = {};
        const waves = Number(new URL(request.url).searchParams.get("waves"));
        for (let wave = 0; wave < waves; wave++) {
          const asked = Array.from({ length: 100 }, async () => (await env.ASSETS.fetch("http://a/")).text());
          for (const { status, reason } of await Promise.allSettled(asked)) {
            const said = reason?.message ?? status;
            counts[said] = (counts[said] ?? 0) + 1;
          }
        }
        return Response.json(counts);
      }
      default:
        return new Response("well");
    }
  },
};
"""
PATIENCE_S = 60


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with function_server(tmp_path_factory.mktemp("faults")) as server:
        server.deploy("good", GOOD)
        yield server


@contextmanager
def others_are_answered(functions: FunctionServer) -> Iterator[None]:
    """While the block runs, every request of the good site must be a 200."""
    done = threading.Event()
    failed: list[object] = []
    asked_count = 0

    def ask() -> None:
        nonlocal asked_count
        while not done.is_set():
            answer = functions.get("good")
            asked_count += 1
            if answer.body != b"fine 1":
                failed.append((answer.status, answer.body[:300]))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(PATIENCE_S)
    assert asked_count > 0
    assert failed == []


def until_well(functions: FunctionServer, site: str, target: str = "/") -> None:
    """Until its rest is over."""
    deadline_s = time.monotonic() + PATIENCE_S
    while functions.get(site, target).status != 200:
        assert time.monotonic() < deadline_s, f"{site} did not recover"


@pytest.mark.parametrize("fault", ["loop", "heap", "bytes"])
def test_hardening_74_a_function_that_takes_everything_harms_its_own_site_only(
    functions: FunctionServer, fault: str
) -> None:
    functions.deploy(fault, BAD)
    assert functions.get(fault).body == b"well"
    with others_are_answered(functions):
        answer = functions.get(fault, f"/{fault}")
        assert answer.status in (502, 503, 504)
        assert b"kept" not in answer.body
        resting = functions.get(fault)
        assert (resting.status, int(resting.field("retry-after") or 0) > 0) == (503, True)
        until_well(functions, fault)
    said = functions.server.cli("functions", "logs", fault, "--json").stdout
    events = [orjson.loads(line) for line in said.splitlines()]
    told = next(each for each in events if each["event"]["request"]["url"].endswith(f"/{fault}"))
    assert told["event"]["response"]["status"] == answer.status
    assert told["exceptions"][0]["message"]


def test_hardening_74_a_gigabyte_at_once_is_given_back(functions: FunctionServer) -> None:
    functions.deploy("gigabyte", BAD)
    with others_are_answered(functions):
        assert functions.get("gigabyte", "/gigabyte").status in (200, 500, 502, 503)
        deadline_s = time.monotonic() + PATIENCE_S
        while any(resident_bytes(pid) > 768 * 2**20 for pid in functions.workerd_pids()):
            assert time.monotonic() < deadline_s, "the process that grew was not replaced"
        until_well(functions, "gigabyte")


def test_a_function_that_asks_its_assets_for_its_own_path_is_not_asked_again(functions: FunctionServer) -> None:
    functions.deploy("recursion", BAD, files={"recursion.html": "an asset"})
    for count in (1, 2):
        assert functions.get("recursion", "/recursion").body == b"%d an asset" % count


def test_hardening_74_a_loop_after_the_answer_ends_with_its_process(functions: FunctionServer) -> None:
    functions.deploy("later", BAD)
    before = functions.workerd_pids()
    with others_are_answered(functions):
        assert functions.get("later", "/loop-later").body == b"answered first"
        deadline_s = time.monotonic() + PATIENCE_S
        while set(before) <= set(functions.workerd_pids()):
            assert time.monotonic() < deadline_s, "the process with the loop was not replaced"


def test_errors_show_a_visitor_nothing_of_the_code(functions: FunctionServer) -> None:
    functions.deploy("throws", BAD)
    for target in ("/throw", "/never", "/at-once"):
        answer = functions.get("throws", target)
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert b"Error" not in answer.body


def test_a_stream_that_never_ends_costs_no_memory_and_ends_with_its_client(functions: FunctionServer) -> None:
    functions.deploy("endless", BAD)
    with others_are_answered(functions):
        for _ in range(3):
            connection = open_connection(functions)
            connection.sendall(b"GET /endless HTTP/1.1\r\nHost: endless.pages.localhost\r\n\r\n")
            received = 0
            while received < 20_000_000:
                received += len(connection.recv(1 << 20))
            connection.close()


def test_an_answer_that_breaks_off_is_not_taken_for_whole(functions: FunctionServer) -> None:
    functions.deploy("half", BAD)
    with pytest.raises((HTTPException, ConnectionError)):
        functions.get("half", "/half")


def test_ten_megabytes_of_log_and_many_subrequests_are_borne(functions: FunctionServer) -> None:
    functions.deploy("loud", BAD)
    with others_are_answered(functions):
        assert functions.get("loud", "/loud").body == b"said"
        assert functions.get("loud", "/many").body == b"asked"


def test_subrequests_are_cut_at_a_thousand_and_ten_thousand_harm_nobody_else(functions: FunctionServer) -> None:
    functions.deploy("greedy", BAD)
    with others_are_answered(functions):
        said = orjson.loads(functions.get("greedy", "/too-many?waves=15").body)
        assert said == {"fulfilled": 1_000, "Too many subrequests.": 500}
        assert functions.get("greedy", "/many").body == b"asked", "the next request may ask again"
        # So many refusals take workerd a second or two: on a busy machine, as long as what counts as hung.
        assert functions.get("greedy", "/too-many?waves=100").status in (200, 503, 504)


def test_what_functions_do_and_what_befalls_workerd_is_counted(functions: FunctionServer) -> None:
    folder = functions.server.data / "metrics"
    functions.deploy("counted", BAD)
    before = read_metrics(folder)
    for target in ("/", "/throw", "/never"):
        functions.get("counted", target)
    functions.get("counted", headers={"CDN-Loop": ", ".join(["onehop"] * 9)})
    functions.get("counted", "/loop")
    passed = read_metrics(folder).since(before)
    assert passed.count(FUNCTION_LOADS) >= 1
    counted = {each: passed.count(FUNCTION_REQUESTS, outcome=each) for each in FunctionOutcome}
    assert {each: count for each, count in counted.items() if count} == {
        "answered": 1, "failed": 2, "function too slow": 1, "loop": 1,
    }  # fmt: skip
    assert passed.histogram(FUNCTION_SECONDS).count == 1
    assert passed.count(WORKERD_EVENTS, event="hung") >= 1


def test_a_request_that_has_left_our_functions_too_often_is_a_loop(functions: FunctionServer) -> None:
    for count, status in ((8, 200), (9, 508)):
        assert functions.get("good", headers={"CDN-Loop": ", ".join(["onehop"] * count)}).status == status


def test_what_functions_ask_of_a_function_is_bounded_apart_from_what_visitors_ask(functions: FunctionServer) -> None:
    functions.deploy("asked", BAD)
    from_function = {"CDN-Loop": "onehop"}
    with ExitStack() as held:
        for _ in range(FROM_FUNCTIONS_MAX):
            connection = held.enter_context(open_connection(functions))
            connection.sendall(b"GET /endless HTTP/1.1\r\nHost: asked.pages.localhost\r\nCDN-Loop: onehop\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        refused = functions.get("asked", headers=from_function)
        assert (refused.status, refused.field("retry-after")) == (503, "1")
        assert functions.get("asked").body == b"well"
    deadline_s = time.monotonic() + PATIENCE_S
    while functions.get("asked", headers=from_function).status != 200:
        assert time.monotonic() < deadline_s, "what has ended still counts"


def test_a_killed_workerd_is_back_and_assets_are_served_on(functions: FunctionServer) -> None:
    functions.deploy("mixed", GOOD, routes='{"version":1,"include":["/api"],"exclude":[]}')
    for _ in range(5):
        assert functions.get("mixed", "/api").status == 200
        for pid in functions.workerd_pids():
            os.kill(pid, signal.SIGKILL)
        assert functions.get("mixed").body == b"<h1>mixed</h1>"
        # A GET whose process dies under it is sent once more; what can't be is a 502.
        assert functions.get("mixed", "/api").status in (200, 502)
        until_well(functions, "mixed", "/api")


def test_a_workerd_that_grows_is_replaced_and_no_request_fails(tmp_path: Path) -> None:
    keeps = """
    const kept = [];
    export default { fetch() { kept.push(new Uint8Array(1 << 18).fill(1)); return new Response("kept"); } };
    """
    with function_server(tmp_path, "--functions-memory-mib", "200") as functions:
        functions.deploy("keeps", keeps)
        assert functions.get("keeps").body == b"kept"
        (first,) = functions.workerd_pids()
        deadline_s = time.monotonic() + PATIENCE_S
        while first in functions.workerd_pids():
            assert functions.get("keeps").body == b"kept"
            assert time.monotonic() < deadline_s, "the process was not replaced"


def test_without_workerd_a_functions_path_says_so_and_assets_are_served(tmp_path: Path) -> None:
    with serving(tmp_path / "data", environ={"ONEHOP_WORKERD": ""}) as server:
        functions = FunctionServer(server, tmp_path / "sites")
        functions.deploy("plain", GOOD, routes='{"version":1,"include":["/api"],"exclude":[]}')
        answer = functions.get("plain", "/api")
        assert answer.status == 503
        assert b"onehop functions install" in answer.body
        assert functions.get("plain").body == b"<h1>plain</h1>"


def test_a_workerd_that_is_none_is_told_at_the_start_and_harms_no_asset(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workerd", "/bin/true") as server:
        functions = FunctionServer(server, tmp_path / "sites")
        functions.deploy("plain", GOOD, routes='{"version":1,"include":["/api"],"exclude":[]}')
        assert functions.get("plain", "/api").status == 503
        assert functions.get("plain").status == 200


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        ("throw new Error('at the top');\n" + GOOD, "Uncaught Error: at the top"),
        ("export default {{", "Uncaught SyntaxError"),
        ("import './absent.js';\n" + GOOD, "absent.js"),
        ("for (;;);\n" + GOOD, "computes for more than"),
        ("const kept = []; for (;;) kept.push(new Uint8Array(1 << 26).fill(1));\n" + GOOD, "more than 768 MiB"),
        ("export default { scheduled() {} };", "has no handler"),
    ],
    ids=["throw", "syntax", "import", "loop", "memory", "no handler"],
)
def test_a_function_that_doesnt_start_fails_at_its_deploy_and_the_old_one_stays(
    functions: FunctionServer, worker: str, said: str
) -> None:
    before = functions.workerd_pids()
    with pytest.raises(AssertionError, match="Failed to publish your Function") as failed:
        functions.deploy("good", worker)
    assert said in str(failed.value)
    assert functions.get("good").body == b"fine 1"
    assert set(before) <= set(functions.workerd_pids()), "it was tried apart from those that serve"


def test_a_site_that_fails_open_shows_its_assets_where_its_function_cant_run(functions: FunctionServer) -> None:
    functions.deploy("open", BAD)
    account = functions.server.api("GET", "/accounts")["result"][0]["id"]
    config = {"deployment_configs": {"production": {"fail_open": True}}}
    functions.server.api("PATCH", f"/accounts/{account}/pages/projects/open", config)
    functions.deploy("open", BAD)
    assert functions.get("open", "/heap").status in (200, 404)
    resting = functions.get("open")
    assert (resting.status, resting.body) == (200, b"<h1>open</h1>")


def resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def open_connection(functions: FunctionServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", functions.server.edge_port), timeout=PATIENCE_S)
