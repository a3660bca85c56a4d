"""Both wranglers with --local, against a worker that serves this machine without a token."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import LiveServer, exchange, serving
from tests.e2e.workflow_worker import FLOWS, described_until, working
from tests.e2e.wrangler_client import said
from tests.free_ports import free_port
from tests.real_parts import WRANGLER_VERSIONS, Wrangler, find_wrangler

WAITING = ("running", "waiting")


@dataclass(frozen=True, slots=True)
class Local:
    wrangler: Wrangler
    server: LiveServer
    port: int
    home: Path

    def run(self, *arguments: str, code: int = 0) -> str:
        done = self.wrangler.run(
            "workflows", *arguments, "--local", "--port", str(self.port), home=self.home, cwd=self.home, environ={}
        )
        assert done.returncode == code, said(done)
        return said(done)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, int]]:
    port = free_port()
    with (
        serving(tmp_path_factory.mktemp("local") / "data") as running,
        working(running, FLOWS, "--local-port", str(port)),
    ):
        yield running, port


@pytest.fixture(scope="module", params=WRANGLER_VERSIONS)
def local(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, served: tuple[LiveServer, int]
) -> Local:
    return Local(find_wrangler(request.param), served[0], served[1], tmp_path_factory.mktemp("home"))


def test_a_local_session_is_listed_triggered_steered_and_described(local: Local) -> None:
    assert "order" in local.run("list")
    assert "order" in local.run("describe", "order")
    name = f"local-{local.wrangler.version.replace('.', '-')}"
    local.run("trigger", "order", '{"failures": 1}', "--id", name)
    described_until(local.server, "order", name, *WAITING, steps=3)
    assert name in local.run("instances", "list", "order")
    local.run("instances", "pause", "order", name)
    described_until(local.server, "order", name, "paused")
    local.run("instances", "resume", "order", name)
    local.run("instances", "restart", "order", name)
    described_until(local.server, "order", name, *WAITING, steps=3)
    local.run("instances", "send-event", "order", name, "--type", "picked-up", "--payload", '{"by":"a"}')
    described_until(local.server, "order", name, "complete")
    described = local.run("instances", "describe", "order", "latest")
    for text in ("charge-1", "the bank is closed", "mail-1"):
        assert text in described
    assert "cannot_terminate" in local.run("instances", "terminate", "order", name, code=1)
    local.run("delete", "order")
    assert name not in local.run("instances", "list", "order")
    assert "order" in local.run("list"), "a local session keeps the workflow"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost", "Origin": "http://localhost"},
        {"Host": "localhost", "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_hardening_51_a_web_page_reaches_no_local_session(
    served: tuple[LiveServer, int], headers: dict[str, str]
) -> None:
    for path in ("/cdn-cgi/explorer/api/workflows", "/client/v4/accounts/a/workflows", "/metrics"):
        answer = exchange(served[1], "GET", path, headers)
        assert (path, answer.status) == (path, 403)
