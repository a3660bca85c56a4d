"""A store that only routing tables fill, and a job that migrates it: what the load tests of a migration share."""

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.server import ONEHOP

SITE_DEPLOYMENTS: Final = 100
SAMPLE_S: Final = 0.5
"""Adding up the memory of a process that maps gigabytes takes tens of milliseconds."""


def onehop(data: Path, *arguments: str) -> str:
    done = subprocess.run([*ONEHOP, *arguments, "--data", str(data)], check=True, capture_output=True, text=True)
    return done.stdout


def seed(data: Path, deployments: int) -> None:
    sites = max(1, deployments // SITE_DEPLOYMENTS)
    onehop(data, "seed", "--sites", str(sites), "--deployments", str(deployments), "--legacy-only")


def anonymous_mib(pid: int) -> float:
    """Memory that no file backs, of a process and all below it."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0.0
    own = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Anonymous:")), 0)
    return own / 1024 + sum(anonymous_mib(int(child)) for child in children)


@dataclass(slots=True)
class Job:
    """One run of `onehop migrate run`, with the most memory that it was seen to have."""

    told: dict[str, float]
    memory_mib: float


def begin_migration(data: Path, *options: str, cpu: int | None = None) -> subprocess.Popen[str]:
    pinned = ["taskset", "-c", str(cpu)] if cpu is not None else []
    command = [*pinned, *ONEHOP, "migrate", "run", "--json", "--data", str(data), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def told_at_end(process: subprocess.Popen[str]) -> dict[str, float]:
    """What the job says once it has come to its end."""
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the migration ended with {process.returncode}: {output}")
    told: dict[str, float] = json.loads(output)
    return told


def migrate(data: Path, *options: str, cpu: int | None = None) -> Job:
    process = begin_migration(data, *options, cpu=cpu)
    highest = 0.0
    while process.poll() is None:
        highest = max(highest, anonymous_mib(process.pid))
        time.sleep(SAMPLE_S)
    return Job(told_at_end(process), highest)
