"""`onehop demo`: both sites, their branch and every page of them, as a visitor finds them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from onehop.data_folder import DataFolder
from onehop.demo import DEMO_SITES, LEGACY_DEPLOYMENTS, SITES_FOLDER
from router.kv.schema import Database
from router.kv.store import open_store
from tests.conftest import Answer, exchange
from tests.free_ports import free_port
from tests.real_parts import find_workerd

STOP_TIMEOUT_S = 30


@dataclass
class RunningDemo:
    told: str
    port: int
    process: "subprocess.Popen[str]"

    def get(self, host: str, target: str = "/", **headers: str) -> Answer:
        return exchange(self.port, "GET", target, {"Host": f"{host}.pages.localhost:{self.port}", **headers})


def start(data: Path, port: int, **more: str) -> "subprocess.Popen[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONEHOP_")}
    return subprocess.Popen(
        [sys.executable, "-m", "onehop", "demo", "--data", str(data), "--port", str(port), "--api-port", "0",
         "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**kept, **more},
    )  # fmt: skip


def read_to_the_end(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(lines)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    port = free_port()
    with start(tmp_path_factory.mktemp("demo") / "data", port) as process:
        yield RunningDemo(read_to_the_end(process), port, process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=STOP_TIMEOUT_S)


def test_it_prints_the_urls_and_both_ways_to_a_first_deploy(demo: RunningDemo) -> None:
    for host in ("welcome", "tour", "preview.tour"):
        assert f"http://{host}.pages.localhost:{demo.port}" in demo.told
    assert "deploy ./public --project my-site" in demo.told
    for name in (
        "CLOUDFLARE_API_BASE_URL=",
        "CLOUDFLARE_ACCOUNT_ID=",
        "CLOUDFLARE_API_TOKEN=",
        "npx wrangler pages deploy",
    ):
        assert name in demo.told


def test_it_has_an_old_site_to_migrate_and_says_how(demo: RunningDemo) -> None:
    host = re.search(r"^(seed-[0-9]+)\.pages\.localhost has", demo.told, re.MULTILINE)
    assert host is not None
    assert demo.get(host[1]).status == 200
    lines = re.findall(r"migrate (?:plan|run|verify) --data (\S+)", demo.told)
    assert len(lines) == 3
    told = {}
    for command in ("plan", "run", "verify"):
        done = subprocess.run(
            [sys.executable, "-m", "onehop", "migrate", command, "--json", "--data", lines[0]],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        told[command] = json.loads(done.stdout)
    assert told["plan"]["to_migrate"] == told["run"]["migrated"] == LEGACY_DEPLOYMENTS + 1
    assert told["verify"]["differences_count"] == 0
    assert demo.get(host[1]).status == 200


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src", "data-ask") and value]


@pytest.mark.parametrize("host", ["welcome", "tour", "preview.tour"])
def test_every_link_is_answered_and_none_leaves_the_host(demo: RunningDemo, host: str) -> None:
    seen, waiting, lost = set(), ["/"], set()
    while waiting:
        target = waiting.pop()
        if target in seen:
            continue
        seen.add(target)
        answer = demo.get(host, target)
        if answer.status in (301, 302, 307, 308):
            location = urlsplit(answer.field("location") or "")
            assert location.hostname in (None, f"{host}.pages.localhost")
            waiting.append(location.path)
            continue
        if answer.status == 404:
            lost.add(target)
        assert answer.status in (200, 404), target
        if (answer.field("content-type") or "").startswith("text/html"):
            links = Links()
            links.feed(answer.body.decode())
            for link in links.found:
                parts = urlsplit(link)
                assert not parts.netloc, link
                if parts.path:
                    assert parts.path.startswith("/"), link
                    waiting.append(parts.path)
    assert lost == (set() if host == "welcome" else {"/no-such-page", "/places/atlantis"})


def test_nearest_not_found_page_answers(demo: RunningDemo) -> None:
    assert b"Lost at sea" in demo.get("tour", "/places/atlantis").body
    assert b"Not on the chart" in demo.get("tour", "/no-such-page").body


def test_branch_shows_another_chart_and_is_not_indexed(demo: RunningDemo) -> None:
    assert demo.get("tour", "/chart.svg").body != demo.get("preview.tour", "/chart.svg").body
    assert demo.get("preview.tour").field("x-robots-tag") == "noindex"
    assert demo.get("tour").field("x-robots-tag") is None


def test_what_the_tour_promises_is_true(demo: RunningDemo) -> None:
    chart = demo.get("tour", "/chart.svg", **{"Accept-Encoding": "br"})
    assert chart.field("content-encoding") == "br"
    assert chart.field("cache-control") == "public, max-age=3600"
    again = {"Accept-Encoding": "br", "If-None-Match": chart.field("etag") or ""}
    assert demo.get("tour", "/chart.svg", **again).status == 304
    assert demo.get("tour", "/chart.svg", Range="bytes=0-99").status == 206
    assert "/site.css" in (demo.get("tour").field("link") or "")
    assert demo.get("tour", "/today").status == 200


def test_browsers_find_an_icon_under_the_name_they_guess(demo: RunningDemo) -> None:
    for host in ("welcome", "tour"):
        assert demo.get(host, "/favicon.ico").field("location") == "/favicon.svg"


def test_second_start_deploys_nothing_again_and_stops_on_sigterm(tmp_path: Path) -> None:
    data, counts = tmp_path / "data", []
    for _ in range(2):
        with start(data, free_port()) as process:
            read_to_the_end(process)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=STOP_TIMEOUT_S)
            assert process.returncode == 0
        with open_store(DataFolder(data).kv) as store, store.read() as snapshot:
            counts.append(snapshot.count(Database.DEPLOYMENTS))
    assert counts == [len(DEMO_SITES) + LEGACY_DEPLOYMENTS] * 2


def test_where_workerd_is_a_third_site_answers_back(tmp_path: Path) -> None:
    port, workerd = free_port(), str(find_workerd())
    with start(tmp_path / "data", port, ONEHOP_WORKERD=workerd) as process:
        demo = RunningDemo(read_to_the_end(process), port, process)
        assert f"http://functions.pages.localhost:{port}" in demo.told
        assert b"_worker.js" in demo.get("functions").body
        assert demo.get("functions", "/api/hello?name=Ann").body.startswith(b'{"hello":"Ann","from":"127.0.0.1"')
        counts = [
            exchange(port, "POST", "/api/count", {"Host": f"functions.pages.localhost:{port}"}, b"").body
            for _ in range(2)
        ]
        assert counts == [b'{"count":1}', b'{"count":2}']
        assert demo.get("functions", "/api/clock").body.decode() == "5 … 4 … 3 … 2 … 1 … hop!"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=STOP_TIMEOUT_S)


def test_taken_port_is_one_line_that_names_the_option(tmp_path: Path, demo: RunningDemo) -> None:
    with start(tmp_path / "data", demo.port) as process:
        out, err = process.communicate(timeout=STOP_TIMEOUT_S)
    assert process.returncode == 1
    assert out == ""
    assert err.count("\n") == 1
    assert "--port" in err


def test_sites_ask_nothing_of_other_hosts() -> None:
    for file in SITES_FOLDER.glob("**/*"):
        if file.is_file():
            urls = re.findall(r"https?://[^\s\"'`<)]+", file.read_text("utf-8"))
            named = [url for url in urls if not url.startswith(("http://www.w3.org/", "http://127.0.0.1:"))]
            assert named == [], file
