"""A migration's process killed at fifty moments, and the edge at others: what is done stays done, and nothing twice."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from migration.progress import read_progress
from onehop.data_folder import DataFolder
from onehop.opened_store import opened
from tests.conftest import LiveServer, Serve

KILLS = 50
SITES, DEPLOYMENTS = 20, 40_000
RATE = 300
"""So slow that each life is well within the job, and the kills fall all over it."""
LIFE_S = (0.6, 1.4)
SEED = 20_261_124


def start_job(data: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "onehop", "migrate", "run", "--no-guard", "--rate", str(RATE), "--data", str(data)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def done_so_far(data: Path) -> int:
    with opened(DataFolder(data)) as it, it.store.read() as snapshot:
        progress = read_progress(snapshot)
        return progress.done + progress.collected if progress is not None else 0


def kill_a_worker(server: LiveServer) -> None:
    """An edge, at whatever it is just doing beside the job."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)


def test_killed_at_fifty_moments_it_ends_with_every_host_counted_once(serve: Serve, tmp_path: Path) -> None:
    data, dice = tmp_path / "data", random.Random(SEED)
    server = serve(data=data)
    server.cli("seed", "--sites", str(SITES), "--deployments", str(DEPLOYMENTS), "--legacy-only")
    server.cli("policy", "set", "--scheme", "legacy", "--reason", "the old way first")
    killed = before = 0
    while killed < KILLS:
        job = start_job(data)
        ended = threading.Event()
        try:
            life_s = dice.uniform(*LIFE_S)
            if killed % 10 == 5:
                before_s = dice.uniform(0, life_s)
                with suppress(subprocess.TimeoutExpired):
                    job.wait(timeout=before_s)
                kill_a_worker(server)
                life_s -= before_s
            job.wait(timeout=life_s)
            ended.set()
        except subprocess.TimeoutExpired:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
        if ended.is_set():
            break
        killed += 1
        if killed % 10 == 6:
            assert server.get(f"seed-{dice.randint(1, SITES)}.pages.localhost").status == 200, "an edge died for good"
        after = done_so_far(data)
        assert after >= before, "what was committed is gone"
        before = after
    assert killed == KILLS, f"the job was done after {killed} kills; make it slower"
    told = json.loads(server.cli("migrate", "run", "--no-guard", "--json").stdout)
    assert told["migrated"] + told["failed"] + told["skipped"] == told["total"] == DEPLOYMENTS + SITES
    assert (told["failed"], told["skipped"], told["state"]) == (0, 0, "complete")
    verified = json.loads(server.cli("migrate", "verify", "--json").stdout)
    assert (verified["sites_sound"], verified["hosts_same"]) == (SITES, DEPLOYMENTS + SITES)
    assert server.cli("check", "--quick").returncode == 0
