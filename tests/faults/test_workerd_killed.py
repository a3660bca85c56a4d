"""workerd is killed while visitors ask: what was under way may fail, with a 502 or 503; nothing else does.

How long the others wait is measured in loadtests/functions.py; here every wait is for a condition.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.function_sites import FunctionServer, function_server

SLOW = """
export default {
  async fetch(request) {
    await scheduler.wait(5);
    return new Response(`answered ${request.method}`);
  },
};
"""
KILLS = 5
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """Times are of the monotonic clock."""

    what: tuple[str, str]
    begun_s: float
    ended_s: float
    status: int


@dataclass
class Load:
    """One thread for each kind of request, each asking again and again."""

    functions: FunctionServer
    asked: list[Asked] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def ask(self, method: str, target: str) -> None:
        while not self.done.is_set():
            begun_s = time.monotonic()
            status = self.functions.get("killed", target, method=method).status
            self.asked.append(Asked((method, target), begun_s, time.monotonic(), status))

    def wait_until_answered(self, what: tuple[str, str], *, begun_after_s: float) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not any(
            each.what == what and each.begun_s > begun_after_s and each.status == 200 for each in self.asked[-200:]
        ):
            assert time.monotonic() < deadline_s, f"{what} wasn't answered again"
            self.done.wait(0.005)


@contextmanager
def loaded(functions: FunctionServer, *kinds: tuple[str, str]) -> Iterator[Load]:
    load = Load(functions)
    threads = [threading.Thread(target=load.ask, args=kind) for kind in kinds for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.done.set()
        for thread in threads:
            thread.join(PATIENCE_S)


def has_ended(pid: int) -> bool:
    """A zombie has closed its sockets already, so that whoever looks after it knows."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionServer]:
    with function_server(tmp_path_factory.mktemp("killed")) as server:
        server.deploy("killed", SLOW, routes='{"version":1,"include":["/api"],"exclude":[]}')
        yield server


def test_hardening_74_a_kill_under_load_fails_only_what_was_under_way(functions: FunctionServer) -> None:
    get, post, asset = ("GET", "/api"), ("POST", "/api"), ("GET", "/")
    kills: list[tuple[float, float]] = []
    with loaded(functions, get, post, asset) as load:
        for _ in range(KILLS):
            load.wait_until_answered(post, begun_after_s=kills[-1][1] if kills else 0.0)
            began_s, pids = time.monotonic(), functions.workerd_pids()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            while not all(has_ended(pid) for pid in pids):
                assert time.monotonic() < began_s + PATIENCE_S, "a killed process stays"
            kills.append((began_s, time.monotonic()))
        for what in (get, post, asset):
            load.wait_until_answered(what, begun_after_s=kills[-1][1])
    failed = [each for each in load.asked if each.status != 200]
    assert [each for each in failed if each.what == asset] == []
    assert {each.status for each in failed} <= {502, 503}
    assert [
        each
        for each in failed
        if not any(each.begun_s < gone_s and each.ended_s > began_s for began_s, gone_s in kills)
    ] == []
