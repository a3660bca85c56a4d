"""Fixtures: a control plane on a fresh data folder, and an administrator's client of it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from control_plane.dual_write import hosts_of
from control_plane.plane import ControlPlane
from control_plane.tokens import Access
from router.kv.schema import Database
from router.legacy_table import Filter, render_table, script_hash_of
from router.pipeline import Pipeline
from router.records import Site, decode_record
from tests.control_plane.client import Api, FakeTime, open_plane


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def plane(tmp_path: Path, time: FakeTime) -> Iterator[ControlPlane]:
    with open_plane(tmp_path, time) as opened:
        yield opened
        assert_schemes_agree(opened)


def assert_schemes_agree(plane: ControlPlane) -> None:
    """Whatever a test did: each site's table is to the byte what its records and routes make, and no pipeline is left
    over."""
    with plane.store.read() as snapshot:
        named = set()
        for key, value in snapshot.scan(Database.SITES):
            hosts = dict(hosts_of(snapshot, plane.keys(), plane.names, decode_record(Site, value)))
            filters = [Filter(hostname.name, script_hash_of(pipeline)) for hostname, pipeline in hosts.items()]
            stored = snapshot.get(Database.LEGACY_TABLES, key)
            assert stored == render_table(filters) if stored is not None else not filters
            named |= {script_hash_of(pipeline): pipeline for pipeline in hosts.values()}.items()
        stored_pipelines = {(key.decode(), Pipeline.parse(value)) for key, value in snapshot.scan(Database.PIPELINES)}
        assert stored_pipelines == named
        assert snapshot.count(Database.LEGACY_TABLES) <= snapshot.count(Database.SITES)


@pytest.fixture
async def api(plane: ControlPlane, time: FakeTime) -> AsyncIterator[Api]:
    with plane.store.write() as transaction:
        token = plane.tokens.issue(transaction, name="admin", access=Access.ADMIN, site_no=None).text
    opened = Api(plane, token, time)
    yield opened
    await opened.client.aclose()
