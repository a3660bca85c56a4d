"""A migration and a rollout beside visitors who fare worse from a moment on: each takes itself back and says why.

The visitors are counts in a slot of the data folder's metrics, as an edge worker counts its answers: how slow they are
is then ours to say, on any machine.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from onehop.data_folder import DataFolder
from router.metrics.meter import EdgeMeter
from router.metrics.slot import held_slot
from router.policy import RuleName, Scheme
from tests.conftest import LiveServer, Serve

WELL_NS: Final = 3_000_000
DOUBLED_NS: Final = 2 * WELL_NS
FAR_WORSE_NS: Final = 10 * WELL_NS
ANSWERS_A_BEAT: Final = 20
BEAT_S: Final = 0.02


class Visitors:
    """Answers as they are counted, `elapsed_ns` each, until `gone`."""

    def __init__(self) -> None:
        self.elapsed_ns = WELL_NS
        self.gone = threading.Event()

    def count(self, folder: Path) -> None:
        with held_slot(folder, "edge") as cells:
            meter = EdgeMeter(cells)
            while not self.gone.wait(BEAT_S):
                for _ in range(ANSWERS_A_BEAT):
                    meter.answered((Scheme.LEGACY, RuleName.DEFAULT), 200, self.elapsed_ns)


@contextmanager
def visitors_of(server: LiveServer) -> Iterator[Visitors]:
    visitors = Visitors()
    thread = threading.Thread(target=visitors.count, args=(DataFolder(server.data).metrics,))
    thread.start()
    try:
        yield visitors
    finally:
        visitors.gone.set()
        thread.join()


@pytest.fixture
def server(serve: Serve) -> LiveServer:
    """Sites that only their tables know, served by the legacy scheme."""
    server = serve()
    server.cli("seed", "--sites", "20", "--deployments", "2000", "--legacy-only")
    server.cli("policy", "set", "--scheme", "legacy", "--reason", "the old way first")
    return server


def fails_after(server: LiveServer, visitors: Visitors, sign: str, elapsed_ns: int, *command: str) -> str:
    """What `onehop migrate …` says at its end, when the visitors fare worse once it has logged `sign`."""
    said = ""
    with server.start_cli("migrate", *command) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said += line
            if sign in line:
                visitors.elapsed_ns = elapsed_ns
    assert process.returncode == 1
    return said


def test_a_doubled_p99_takes_the_rollout_back_within_its_hold(server: LiveServer, tmp_path: Path) -> None:
    server.cli("migrate", "run", "--no-guard")
    with visitors_of(server) as visitors:
        said = fails_after(server, visitors, "rollout.raised", DOUBLED_NS, "rollout", "--step", "50", "--hold", "4s")
    assert "taken back at 50 %" in said.splitlines()[-1]
    assert "p99" in said.splitlines()[-1]
    assert "rollout taken back at 50 %" in server.cli("policy", "log").stdout
    page = tmp_path / "report.html"
    server.cli("migrate", "report", "--out", str(page))
    assert "taken back" in page.read_text()


def test_a_guard_that_has_stopped_a_job_says_so_in_one_line_and_what_to_do(server: LiveServer) -> None:
    with visitors_of(server) as visitors:
        said = fails_after(server, visitors, "migration.serving_before", FAR_WORSE_NS, "run", "--rate", "200")
    last = said.splitlines()[-1]
    assert "p99 has risen" in last
    assert "onehop migrate run" in last
    assert "defect" not in last
    status = server.cli("migrate", "status", "--json").stdout
    assert '"failed"' in status
    server.cli("migrate", "run", "--no-guard")
