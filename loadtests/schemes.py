"""Seeded sites of both schemes, and the policy that a load test sets over them."""

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

PAGES_DOMAIN: Final = "pages.localhost"
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


def seed(data: Path, size: int, *, legacy: bool) -> None:
    more = ["--legacy-only"] if legacy else []
    arguments = [*ONEHOP, "seed", "--sites", "1", "--deployments", str(size), "--data", str(data), *more]
    subprocess.run(arguments, check=True, capture_output=True)


def seed_sites(data: Path, sizes: Sequence[int]) -> dict[tuple[int, bool], Site]:
    """By size and whether it is the legacy one."""
    keys = [(size, legacy) for size in sizes for legacy in (False, True)]
    for size, legacy in keys:
        seed(data, size, legacy=legacy)
    sites = {}
    with open_store(data / "kv") as store, store.read() as snapshot:
        for number, key in enumerate(keys, start=1):
            rows = snapshot.scan(Database.DEPLOYMENTS, prefix=SITE_NO.pack(number))
            ids = [json.loads(record)["id"][:8] for _, record in rows]
            sites[key] = Site(f"seed-{number}", [f"{each}.seed-{number}.{PAGES_DOMAIN}" for each in ids])
    return sites


def set_policy(data: Path, pins: Mapping[str, str]) -> None:
    """The whole policy at once: each of these sites by its scheme, all others hashed."""
    file = data.parent / "policy.json"
    file.write_text(json.dumps({"default": "hashed", "pins": pins}))
    command = [*ONEHOP, "policy", "set", "--file", str(file), "--reason", "a load test", "--data", str(data)]
    subprocess.run(command, check=True, capture_output=True)
