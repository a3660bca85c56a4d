"""People deploy, delete and move domains on a real server while a job migrates it, and its processes are killed.

What the API has acknowledged stays so, by both schemes; what was deleted is gone; and no visitor gets a wrong answer.
"""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.conftest import LiveServer, Serve
from tests.plain_deploy import Refused, plain_deploy

SITES: Final = 4
DEPLOYMENTS: Final = 2_500
RATE: Final = 700
"""A job of some three seconds."""
KILLS_EVERY_S: Final = 1.0
DOMAINS: Final = ("one.example.test", "two.example.test")
ADDRESS: Final = "/accounts/any/pages/projects"
BROKEN: Final = (OSError, json.JSONDecodeError)
"""What a client sees of a process that is killed."""


def content_of(number: int) -> dict[str, bytes]:
    return {"index.html": f"<p>raced {number}".encode()}


@dataclass
class Race:
    """`made` is the content of each acknowledged host; `deleted` are hosts whose deletion was acknowledged. `unsure` is
    what was asked for when a process died: it may have happened."""

    server: LiveServer
    is_over: threading.Event = field(default_factory=threading.Event)
    made: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    wrong: list[object] = field(default_factory=list)
    asked: int = 0
    kills: int = 0

    def deploy(self) -> None:
        dice = random.Random(1)
        while not self.is_over.is_set():
            number, site = dice.randrange(5), f"seed-{dice.randint(1, SITES)}"
            with suppress(*BROKEN, Refused):
                branch = dice.choice(("main", "topic"))
                made = plain_deploy(self.server, site, content_of(number), branch=branch)
                self.made[made.host] = number

    def delete(self) -> None:
        """Old ones and new ones."""
        dice = random.Random(2)
        while not self.is_over.is_set():
            site = f"seed-{dice.randint(1, SITES)}"
            path = f"{ADDRESS}/{site}/deployments"
            with suppress(*BROKEN):
                listed = self.server.api("GET", f"{path}?per_page=25&page={dice.randint(1, 3)}")["result"] or []
                for each in dice.sample(listed, min(3, len(listed))):
                    host = f"{each['short_id']}.{site}.pages.localhost"
                    self.unsure.add(host)
                    if self.server.api("DELETE", f"{path}/{each['id']}?force=true")["success"]:
                        self.deleted.add(host)
                    self.unsure.discard(host)

    def move_domains(self) -> None:
        dice = random.Random(3)
        while not self.is_over.is_set():
            site, domain = f"seed-{dice.randint(1, SITES)}", dice.choice(DOMAINS)
            with suppress(*BROKEN):
                self.server.api("POST", f"{ADDRESS}/{site}/domains", {"name": domain})
                self.server.api("DELETE", f"{ADDRESS}/{site}/domains/{domain}")

    def visit(self) -> None:
        """Production hosts are there at every moment."""
        dice = random.Random(4)
        while not self.is_over.is_set():
            host = f"seed-{dice.randint(1, SITES)}.pages.localhost"
            with suppress(OSError):
                answer = self.server.get(host)
                self.asked += 1
                if answer.status != 200:
                    self.wrong.append((host, answer.status, answer.body[:200]))

    def kill(self) -> None:
        """The control plane and the edge by turns; the server starts each anew."""
        dice = random.Random(5)
        while not self.is_over.wait(KILLS_EVERY_S):
            children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
            if children:  # or all of them are being started anew
                os.kill(int(dice.choice(children)), signal.SIGKILL)
                self.kills += 1


def test_a_job_beside_deploys_deletes_domains_and_kills_loses_and_revives_nothing(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    server.cli("seed", "--sites", str(SITES), "--deployments", str(DEPLOYMENTS), "--legacy-only")
    server.cli("policy", "set", "--scheme", "legacy", "--reason", "the old way first")
    race = Race(server)
    around: list[Callable[[], None]] = [race.deploy, race.delete, race.move_domains, race.visit, race.kill]
    with ThreadPoolExecutor(len(around)) as threads:
        others = [threads.submit(each) for each in around]
        try:
            done = json.loads(server.cli("migrate", "run", "--no-guard", "--rate", str(RATE), "--json").stdout)
        finally:
            race.is_over.set()
        for other in others:
            other.result()
    assert race.wrong == []
    assert min(race.asked, len(race.made), len(race.deleted), race.kills) > 0
    assert (done["state"], done["failed"]) == ("complete", 0)
    assert done["migrated"] + done["skipped"] == done["total"]
    verified = json.loads(server.cli("migrate", "verify", "--json", check=False).stdout)
    assert verified["differences"] == []
    assert verified["sites_sound"] == SITES
    for scheme in ("legacy", "hashed"):
        server.cli("policy", "set", "--scheme", scheme, "--reason", "look at both")
        assert_shown(race, scheme)
    assert server.cli("check", "--quick", check=False).returncode == 0


def assert_shown(race: Race, scheme: str) -> None:
    for host in race.deleted:
        assert answer_of(race.server, host).status == 404, (scheme, host)
    for host, number in race.made.items():
        if host not in race.deleted | race.unsure:
            answer = answer_of(race.server, host)
            assert (answer.status, answer.body) == (200, content_of(number)["index.html"]), (scheme, host)


def answer_of(server: LiveServer, host: str) -> Any:
    """Asked again where the connection was one of a process that had been killed."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return server.get(host)
        except OSError:
            assert time.monotonic() < deadline
