"""Fixtures: a control plane on a fresh data folder, and an administrator's client of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from control_plane.plane import ControlPlane
from control_plane.tokens import Access
from tests.control_plane.client import Api, FakeTime, open_plane


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def plane(tmp_path: Path, time: FakeTime) -> Iterator[ControlPlane]:
    with open_plane(tmp_path, time) as opened:
        yield opened


@pytest.fixture
async def api(plane: ControlPlane, time: FakeTime) -> AsyncIterator[Api]:
    with plane.store.write() as transaction:
        token = plane.tokens.issue(transaction, name="admin", access=Access.ADMIN, site_no=None).text
    opened = Api(plane, token, time)
    yield opened
    await opened.client.aclose()
