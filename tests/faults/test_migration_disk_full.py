"""The disk is full in the middle of a migration: it ends at once, says where and what to do, and goes on from there."""

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.test_disk_full import DISK_BYTES, leave_room
from tests.migration.legacy_store import legacy_store
from tests.real_parts import small_disk

SITES, DEPLOYMENTS = 4, 20_000
ROOM_KIB = 700
"""Less than the run of the collected hosts takes, more than the workflow's own store."""


def migrate(data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "onehop", "migrate", *arguments, "--data", str(data)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_full_disk_ends_the_process_with_the_place_and_the_cure_and_the_job_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk:
        with legacy_store(disk, sites=SITES, deployments=DEPLOYMENTS):
            pass
        leave_room(disk, ROOM_KIB)
        refused = migrate(disk / "data", "run", "--no-guard")
        assert refused.returncode == 1
        complaint = refused.stderr.splitlines()[-1]
        assert str(disk) in complaint
        assert "free some space, then 'onehop migrate run'" in complaint
        left = json.loads(migrate(disk / "data", "status", "--json").stdout)
        assert "no process works on it" in left["reason"]
        (disk / "filler").unlink()
        done = json.loads(migrate(disk / "data", "run", "--no-guard", "--json").stdout)
        assert (done["job"], done["state"], done["migrated"]) == (left["job"], "complete", DEPLOYMENTS + SITES)
