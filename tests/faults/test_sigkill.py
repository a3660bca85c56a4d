"""The whole server dies at a random moment of a deploy, as in a power cut, and starts again on what lies on disk.

Then the site is the old deployment or the new one, never a mixture; a deploy that was acknowledged is there; the same
deploy, tried again, works; and `onehop check` finds nothing.
"""

import random
import threading
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Final

import pytest

from tests.conftest import LiveServer, serving
from tests.faults.breakable_site import HOST, SITE, assert_check_is_clean, site_files, version_served
from tests.plain_deploy import Acknowledged, Refused, create_site, plain_deploy

ROUNDS_COUNT: Final = 5
KILLS_A_ROUND: Final = 10
KILLS_A_ROUND_MAX: Final = 40
"""Those that come after the deploy's end are counted apart, and made up for."""
LATE_SHRINKS: Final = 0.9
JOIN_TIMEOUT_S: Final = 60


class DeployAttempt(threading.Thread):
    """A deploy in a thread of its own, which the test may cut short by killing the server."""

    def __init__(self, server: LiveServer, version: int) -> None:
        super().__init__()
        self.server, self.version = server, version
        self.acknowledged: Acknowledged | None = None

    def run(self) -> None:
        with suppress(OSError, HTTPException, Refused):
            self.acknowledged = plain_deploy(self.server, SITE, site_files(self.version))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with the first version live."""
    folder = tmp_path / "data"
    with serving(folder) as server:
        create_site(server, SITE)
        plain_deploy(server, SITE, site_files(0))
    return folder


def usual_deploy_s(data: Path, version: int) -> float:
    with serving(data) as server:
        begun_s = monotonic()
        plain_deploy(server, SITE, site_files(version))
        return monotonic() - begun_s


@pytest.mark.parametrize("round_number", range(ROUNDS_COUNT))
def test_57_a_kill_at_any_moment_of_a_deploy_leaves_the_old_site_or_the_new(data: Path, round_number: int) -> None:
    dice = random.Random(round_number)
    live_version = 1
    deploy_s = usual_deploy_s(data, live_version)
    acknowledged: list[tuple[Acknowledged, int]] = []
    hits_count = 0
    for _ in range(KILLS_A_ROUND_MAX):
        if hits_count == KILLS_A_ROUND:
            break
        new_version = live_version + 1
        with serving(data) as server:
            attempt = DeployAttempt(server, new_version)
            attempt.start()
            # Moments spread over the whole deploy; how long that is, is learned from those that were over sooner.
            attempt.join(timeout=deploy_s * (hits_count + dice.random()) / KILLS_A_ROUND)
            is_under_way = attempt.is_alive()
            server.kill()
            attempt.join(timeout=JOIN_TIMEOUT_S)
            if is_under_way and attempt.acknowledged is None:
                hits_count += 1
            else:
                deploy_s *= LATE_SHRINKS
        with serving(data) as server:
            live_version = version_served(server, HOST, (live_version, new_version))
            if attempt.acknowledged is not None:
                assert live_version == new_version
                acknowledged.append((attempt.acknowledged, new_version))
            assert_check_is_clean(server)
            acknowledged.append((plain_deploy(server, SITE, site_files(new_version)), new_version))
            live_version = version_served(server, HOST, (new_version,))
    assert hits_count == KILLS_A_ROUND, "as many kills must fall within a deploy"
    with serving(data) as server:
        for deployment, version in acknowledged:
            assert version_served(server, deployment.host, (version,)) == version
        assert_check_is_clean(server)
