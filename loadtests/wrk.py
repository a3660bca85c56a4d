"""wrk, on one processor of its own, and what it tells of a run."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

CONNECTIONS: Final = 16
LISTED: Final = """
local requests = {{}}
for line in io.lines("{path}") do
  local host, target = line:match("^(%S+) (%S+)$")
  wrk.headers["Host"] = host
  requests[#requests + 1] = wrk.format("GET", target)
end
local number = 0
request = function()
  number = number % #requests + 1
  return requests[number]
end
"""
"""Asks for what a file lists, a host and a target each line, again and again."""
UNITS_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True, slots=True)
class WrkRun:
    """`bad_count`: answers that were neither 2xx nor 3xx."""

    requests_per_s: float
    requests_count: int
    bad_count: int
    p99_s: float


def require_wrk() -> None:
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk, from Debian's package of that name")


def run_wrk(
    url: str,
    *,
    cpu: int,
    seconds: int,
    fields: Mapping[str, str] | None = None,
    script: Path | None = None,
    connections: int = CONNECTIONS,
) -> WrkRun:
    options = [option for name, value in (fields or {}).items() for option in ("-H", f"{name}: {value}")]
    if script is not None:
        options += ["-s", str(script)]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", *options, url]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, preexec_fn=lambda: os.sched_setaffinity(0, {cpu})
    ).stdout
    count = re.search(r"(\d+) requests in", told)
    per_s = re.search(r"Requests/sec: *([\d.]+)", told)
    p99 = re.search(r"99% +([\d.]+)(us|ms|s)", told)
    if count is None or per_s is None or p99 is None:
        raise SystemExit(f"wrk said nothing of its requests: {told}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    return WrkRun(
        float(per_s[1]), int(count[1]), int(bad[1]) if bad is not None else 0, float(p99[1]) * UNITS_S[p99[2]]
    )


def write_listed(folder: Path, hosts: Sequence[str], targets: Sequence[str], *, count: int, seed: int) -> Path:
    """A script that asks `hosts` for `targets`, the hosts by Zipf's law: the first most often. All are equally likely
    to be asked for each target."""
    dice = Random(seed)
    weights = [1 / rank for rank in range(1, len(hosts) + 1)]
    asked = dice.choices(hosts, weights=weights, k=count)
    listed = folder / f"requests-{len(hosts)}-{seed}"
    listed.write_text("".join(f"{host} {dice.choice(targets)}\n" for host in asked))
    script = listed.with_suffix(".lua")
    script.write_text(LISTED.format(path=listed))
    return script
