"""A damaged record disables itself and nothing else: lists, deploys, deletions and collection go on beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from control_plane.plane import ControlPlane
from router.kv.schema import SITE_NO, Database, deployment_key
from router.kv.store import Transaction
from tests.control_plane.client import Api, FakeTime, hashes_of, host_of, open_plane

V1 = {"/index.html": b"1", "/app.1.js": b"1"}
V2 = {"/index.html": b"2", "/app.2.js": b"2"}
V3 = {"/index.html": b"3", "/app.3.js": b"3"}
OTHER = {"/index.html": b"another site's"}
GC = "/onehop/v1/gc"
TOKENS = "/onehop/v1/tokens"
DAY_S = 24 * 60 * 60


@dataclass
class Sites:
    """`example` has a production deployment, one before it and a preview; `other` is somebody else's."""

    api: Api
    before: dict[str, Any]
    live: dict[str, Any]
    preview: dict[str, Any]

    def damage(self, action: Callable[[Transaction], object]) -> None:
        with self.api.plane.store.write() as transaction:
            action(transaction)

    def damage_deployment(self, seq: int) -> None:
        self.damage(lambda transaction: transaction.put(Database.DEPLOYMENTS, deployment_key(1, seq), b'{"site_no'))

    async def gc(self) -> dict[str, int]:
        self.api.time.now_s += 2 * DAY_S
        report: dict[str, int] = (await self.api.call("POST", GC)).result
        return report

    def has_blobs_of(self, *versions: dict[str, bytes]) -> bool:
        return all(key in set(self.api.plane.blobs.keys()) for each in versions for key in hashes_of(each).values())


@pytest.fixture
def plane(tmp_path: Path, time: FakeTime) -> Iterator[ControlPlane]:
    """Not compared in both schemes at the end: what is damaged here has no say in either."""
    with open_plane(tmp_path, time) as opened:
        yield opened


@pytest.fixture
async def sites(api: Api) -> Sites:
    await api.create()
    before, live = await api.deploy(V1), await api.deploy(V2)
    preview = await api.deploy(V3, branch="dev")
    await api.create("other")
    await api.deploy(OTHER, site="other")
    return Sites(api, before, live, preview)


@pytest.mark.parametrize("seq", [1, 2, 3])
async def test_lists_show_the_others_and_say_how_many_they_dont(sites: Sites, seq: int) -> None:
    sites.damage_deployment(seq)
    answer = await sites.api.call("GET", "/example/deployments")
    assert len(answer.result) == 2
    assert "1 of the deployments" in answer.envelope["messages"][0]["message"]
    assert len((await sites.api.call("GET", "/example/deployments?env=preview")).result) == (seq != 3)
    assert {each["name"] for each in (await sites.api.call("GET", "")).result} == {"example", "other"}
    assert (await sites.api.call("GET", "/example")).status == 200


@pytest.mark.parametrize("seq", [1, 2, 3])
async def test_deploys_go_on(sites: Sites, seq: int) -> None:
    sites.damage_deployment(seq)
    await sites.api.deploy(OTHER)
    assert sites.api.paths("example.pages.test") == hashes_of(OTHER)
    assert sites.api.kept("example.pages.test") >= {"/app.2.js"}
    await sites.api.deploy(OTHER, branch="dev")
    assert sites.api.paths("dev.example.pages.test") == hashes_of(OTHER)


async def test_it_can_be_deleted_by_its_id(sites: Sites) -> None:
    sites.damage_deployment(1)
    sites.damage_deployment(3)
    assert (await sites.api.call("DELETE", f"/example/deployments/{sites.before['id']}")).status == 200
    assert sites.api.route(host_of(sites.before["url"])) is None
    refused = await sites.api.call("DELETE", f"/example/deployments/{sites.preview['id']}")
    assert (refused.status, "dev.example.pages.test" in refused.message) == (409, True)
    assert (await sites.api.call("DELETE", f"/example/deployments/{sites.preview['id']}?force=true")).status == 200
    assert sites.api.route("dev.example.pages.test") is None
    assert len((await sites.api.call("GET", "/example/deployments")).result) == 1
    assert (await sites.gc())["records_unreadable"] == 0


async def test_the_one_that_production_shows_is_not_deleted(sites: Sites) -> None:
    sites.damage_deployment(2)
    assert (await sites.api.call("DELETE", f"/example/deployments/{sites.live['id']}?force=true")).status == 409


async def test_its_site_can_be_deleted_whole(sites: Sites) -> None:
    sites.damage_deployment(1)
    sites.damage(lambda transaction: transaction.put(Database.ALIASES, SITE_NO.pack(1) + b"dev", b"["))
    assert (await sites.api.call("DELETE", "/example")).status == 200
    with sites.api.plane.store.read() as snapshot:
        for database in (Database.SITES, Database.SITE_NAMES, Database.DEPLOYMENTS, Database.DEPLOYMENT_IDS):
            assert snapshot.count(database) == 1, database
        assert snapshot.count(Database.ALIASES) == 0
    assert sites.api.hosts() == 2


async def test_collection_goes_on_and_keeps_what_may_be_the_damaged_records(sites: Sites) -> None:
    sites.damage_deployment(1)
    sites.damage(lambda transaction: transaction.delete(Database.ROUTES, first_key(transaction, Database.ROUTES)))
    await sites.api.upload({"/never.txt": b"deployed"}, await sites.api.upload_token())
    report = await sites.gc()
    assert report["records_unreadable"] == 1
    assert (report["manifests_removed"], report["bundles_removed"]) == (0, 0)
    assert report["files_removed"] > 0
    assert sites.has_blobs_of(V1, V2, V3, OTHER)
    assert (await sites.gc())["records_unreadable"] == 1


async def test_collection_keeps_every_blob_while_a_manifest_is_damaged(sites: Sites) -> None:
    def flip(transaction: Transaction) -> None:
        for key, value in list(transaction.scan(Database.MANIFESTS)):
            transaction.put(Database.MANIFESTS, key, value[:-1] + bytes([value[-1] ^ 1]))

    sites.damage(flip)
    report = await sites.gc()
    assert report["manifests_unreadable"] > 0
    assert sites.has_blobs_of(V1, V2, V3, OTHER)
    # Deploying the same files again is the cure that 'onehop check' names.
    for files, parts in ((V1, {}), (V2, {}), (V3, {"branch": "dev"})):
        await sites.api.deploy(files, **parts)
    await sites.api.deploy(OTHER, site="other")
    await sites.api.call("POST", "/onehop/v1/sites/example/purge")
    assert (await sites.gc())["manifests_unreadable"] == 0


async def test_a_damaged_route_or_site_record_does_not_stop_collection(sites: Sites) -> None:
    sites.damage(lambda transaction: transaction.put(Database.ROUTES, first_key(transaction, Database.ROUTES), b"{"))
    sites.damage(lambda transaction: transaction.put(Database.SITES, SITE_NO.pack(1), b"{"))
    assert (await sites.gc())["records_unreadable"] == 1
    answer = await sites.api.call("GET", "")
    assert [each["name"] for each in answer.result] == ["other"]
    assert "1 of the projects" in answer.envelope["messages"][0]["message"]


async def test_a_damaged_route_is_replaced_by_the_next_deploy(sites: Sites) -> None:
    def spoil_all(transaction: Transaction) -> None:
        for key, _ in list(transaction.scan(Database.ROUTES)):
            transaction.put(Database.ROUTES, key, b"{")

    sites.damage(spoil_all)
    await sites.api.deploy(V1)
    assert sites.api.paths("example.pages.test") == hashes_of(V1)


async def test_a_damaged_token_is_no_token_and_stops_no_list(sites: Sites, time: FakeTime) -> None:
    made = (await sites.api.call("POST", TOKENS, {"name": "ci", "access": "read", "project": "example"})).result
    sites.damage(lambda transaction: transaction.put(Database.TOKENS, made["id"].encode(), b"{"))
    assert (await sites.api.call("GET", "/example", token=made["token"])).status == 401
    assert made["id"] not in {each["id"] for each in (await sites.api.call("GET", TOKENS)).result}
    assert (await sites.api.call("DELETE", f"{TOKENS}/{made['id']}")).status == 200
    assert (await sites.api.call("DELETE", "/example")).status == 200


def first_key(transaction: Transaction, database: Database) -> bytes:
    return next(iter(transaction.scan(database)))[0]
