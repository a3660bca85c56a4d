"""Seeded sites that both schemes find, and the policy that a load test sets over them."""

import json
import random
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.server import ONEHOP
from router.kv.schema import SITE_NO, Database
from router.kv.store import open_store
from router.legacy_table import parse_table

TURN_STEP: Final = 0.37  # of the way from one host to the next: turns ask different ones


@dataclass(frozen=True, slots=True)
class Site:
    """`hosts` in the order of the site's table."""

    name: str
    hosts: list[str]

    def spread(self, hosts_count: int, turn: int) -> list[str]:
        """That many of its hosts, evenly over the table, others in each turn, in no order."""
        step = max(1.0, len(self.hosts) / hosts_count)
        at = [int((index + turn * TURN_STEP % 1) * step) for index in range(min(hosts_count, len(self.hosts)))]
        picked = [self.hosts[index] for index in at]
        random.Random(turn).shuffle(picked)
        return picked


def seed_sites(data: Path, sizes: Sequence[int]) -> list[Site]:
    """A site of each size, found by either scheme: its deployments have routes, and its routing table has them all."""
    for number, size in enumerate(sizes, start=1):
        run("seed", "--sites", "1", "--deployments", str(size), data=data)
        run("legacy", "dual-write", f"seed-{number}", "on", data=data)
    with open_store(data / "kv") as store, store.read() as snapshot:
        tables = [snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(number + 1)) for number in range(len(sizes))]
    return [
        Site(f"seed-{number}", [each.host for each in parse_table(table or b"")])
        for number, table in enumerate(tables, start=1)
    ]


def set_policy(data: Path, pins: Mapping[str, str]) -> None:
    """The whole policy at once: each of these sites by its scheme, all others hashed."""
    file = data.parent / "policy.json"
    file.write_text(json.dumps({"default": "hashed", "pins": pins}))
    run("policy", "set", "--file", str(file), "--reason", "a load test", data=data)


def run(*arguments: str, data: Path) -> None:
    subprocess.run([*ONEHOP, *arguments, "--data", str(data)], check=True, capture_output=True)
