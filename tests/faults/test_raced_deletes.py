"""Deploys, deletions and collections against each other on a real server, in threads.

Beside them runs a clock, so to say: it sets the age of what nobody has asked for lately back by two days, so that the
collector takes what it would otherwise leave for a day. Whatever the API has acknowledged and still lists must then be
served whole.
"""

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from asset_server.blobs import asset_key
from tests.conftest import LiveServer, exchange, serving
from tests.faults.breakable_site import assert_check_is_clean
from tests.plain_deploy import Acknowledged, Refused, create_site, plain_deploy

SITES: Final = ("kept", "razed")
BRANCHES: Final = ("main", "dev", "feature")
DEPLOYERS_COUNT: Final = 4
DEPLOYS_EACH: Final = 25
CONTENTS_COUNT: Final = 6
DAY_S: Final = 24 * 60 * 60
ADDRESS: Final = "/accounts/any/pages/projects"


def content_of(number: int) -> dict[str, bytes]:
    """Few contents, so that deployments share manifests and blobs, and lose them together."""
    return {"index.html": f"<p>{number}".encode() * 200, "a.js": f"// {number}".encode(), "same.css": b"p{}"}


@dataclass
class Race:
    """What the threads share. `made` is what was acknowledged, by id."""

    server: LiveServer
    made: dict[str, tuple[Acknowledged, int]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    deploys_over: threading.Event = field(default_factory=threading.Event)

    def deploy_many(self, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(DEPLOYS_EACH):
            number, site = dice.randrange(CONTENTS_COUNT), dice.choice(SITES)
            try:
                made = plain_deploy(self.server, site, content_of(number), branch=dice.choice(BRANCHES))
            except Refused as refused:
                # The site or what was uploaded may be gone by then: that is said, and nothing is half done.
                assert refused.status in (400, 404, 401, 409), refused
                self.outcomes["refused"] += 1
            else:
                self.outcomes["deployed"] += 1
                self.made[made.id] = (made, number)

    def delete_some(self) -> None:
        dice = random.Random(1)
        while not self.deploys_over.is_set():
            site = dice.choice(SITES)
            listed = self.server.api("GET", f"{ADDRESS}/{site}/deployments?per_page=100")["result"] or []
            if listed:
                deployment = dice.choice(listed)
                path = f"{ADDRESS}/{site}/deployments/{deployment['id']}?force=true"
                self.outcomes[f"deleted {self.server.api('DELETE', path)['success']}"] += 1

    def raze(self) -> None:
        while not self.deploys_over.is_set():
            self.outcomes[f"razed {self.server.api('DELETE', f'{ADDRESS}/razed')['success']}"] += 1
            with suppress(AssertionError):
                create_site(self.server, "razed")

    def collect(self) -> None:
        while not self.deploys_over.is_set():
            fields = {"Authorization": f"Bearer {self.server.token}", "Content-Type": "application/json"}
            answer = exchange(self.server.api_port, "POST", "/onehop/v1/gc", fields, b"{}")
            assert answer.status == 200, answer.body
            self.outcomes["collected"] += 1

    def age(self) -> None:
        """Only what is older than a second: what a deploy under way has just asked for is as young as ever."""
        while not self.deploys_over.is_set():
            long_ago = time.time() - 2 * DAY_S
            for file in (self.server.data / "blobs").glob("*/*.blob"):
                with suppress(FileNotFoundError):
                    if file.stat().st_mtime < time.time() - 1:
                        os.utime(file, (long_ago, long_ago))


def test_what_is_acknowledged_and_not_deleted_is_served_whole_after_a_race(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--workers", "2") as server:
        for site in SITES:
            create_site(server, site)
        race = Race(server)
        around: list[Callable[[], None]] = [race.delete_some, race.raze, race.collect, race.age]
        with ThreadPoolExecutor(DEPLOYERS_COUNT + len(around)) as threads:
            others = [threads.submit(each) for each in around]
            deployers = [threads.submit(race.deploy_many, seed) for seed in range(DEPLOYERS_COUNT)]
            try:
                for each in deployers:
                    each.result()
            finally:
                race.deploys_over.set()
            for other in others:
                other.result()
        assert {"deployed", "deleted True", "razed True", "collected"} <= race.outcomes.keys(), race.outcomes
        listed = {
            each["id"]
            for site in SITES
            for each in server.api("GET", f"{ADDRESS}/{site}/deployments?per_page=100")["result"] or []
        }
        assert listed <= race.made.keys(), "nothing is there that was never acknowledged"
        for deployment_id, (made, number) in race.made.items():
            assert_is_served(server, made, number if deployment_id in listed else None)
        assert_check_is_clean(server)


def assert_is_served(server: LiveServer, made: Acknowledged, number: int | None) -> None:
    """None: it was deleted."""
    for path, content in content_of(number or 0).items():
        answer = server.get(made.host, "/" if path == "index.html" else f"/{path}")
        assert (answer.status, answer.body == content) == ((200, True) if number is not None else (404, False)), (
            made, path, asset_key(content, path.rpartition(".")[2]),
        )  # fmt: skip
