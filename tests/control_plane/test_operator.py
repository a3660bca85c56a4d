"""Tokens over the API; settings; what `gc` takes."""

import asyncio
import fcntl
from pathlib import Path

import pytest

from control_plane.tokens import Access
from router.hashing import KeyRing
from tests.control_plane.client import Api, FakeTime, hashes_of, host_of

OWN = "/onehop/v1"
V1 = {"/index.html": b"1", "/app.1.js": b"1"}
V2 = {"/index.html": b"2", "/app.2.js": b"2"}
DAY_S = 24 * 60 * 60


async def test_a_token_is_shown_once_listed_without_its_secret_and_revoked_at_once(api: Api) -> None:
    await api.create()
    made = (await api.call("POST", OWN + "/tokens", {"name": "ci", "access": "deploy", "project": "example"})).result
    assert (await api.call("GET", "/example", token=made["token"])).status == 200
    listed = (await api.call("GET", OWN + "/tokens")).result
    assert made["id"] in {each["id"] for each in listed}
    assert all("token" not in each and "digest" not in each for each in listed)
    assert (await api.call("DELETE", f"{OWN}/tokens/{made['id']}")).envelope["success"]
    assert (await api.call("GET", "/example", token=made["token"])).status == 401
    assert (await api.call("DELETE", f"{OWN}/tokens/{made['id']}")).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": "x"}, {"name": "", "access": "read"}, {"name": "x", "access": "root"},
        {"name": "x", "access": ["read"]}, {"name": "x" * 101, "access": "read"},
        {"name": "x", "access": "read", "project": 7},
    ],
)  # fmt: skip
async def test_a_token_needs_a_name_and_an_access(api: Api, body: dict[str, object]) -> None:
    assert (await api.call("POST", OWN + "/tokens", body)).status == 400


async def test_a_token_for_a_project_that_is_not_there_is_refused(api: Api) -> None:
    body = {"name": "x", "access": "read", "project": "absent"}
    assert (await api.call("POST", OWN + "/tokens", body)).code == 8000007


async def test_settings_are_shown(api: Api) -> None:
    await api.create()
    settings = (await api.call("GET", OWN + "/sites/example", token=api.token_for(Access.READ, site="example"))).result
    assert (settings["keep_days"], settings["url"]) == (7, "http://example.pages.test:8787")


async def collected(api: Api, **body: bool) -> dict[str, int]:
    report: dict[str, int] = (await api.call("POST", OWN + "/gc", body)).result
    return report


async def test_what_a_deployment_needs_is_never_collected(api: Api, time: FakeTime) -> None:
    await api.create()
    first = await api.deploy(V1)
    await api.deploy(V2, branch="dev")
    time.now_s += 365 * DAY_S
    report = await collected(api)
    assert (report["manifests_removed"], report["files_removed"], report["blobs_in_use"]) == (0, 0, 4)
    again = (await api.call("POST", f"/example/deployments/{first['id']}/retry")).result
    assert api.paths(host_of(again["url"])) == hashes_of(V1)


async def test_what_nobody_needs_any_more_is_collected_after_a_day(api: Api, time: FakeTime) -> None:
    await api.create()
    await api.deploy(V1)
    await api.call("DELETE", "/example")
    assert (await collected(api))["files_removed"] == 0
    time.now_s += 3650 * DAY_S
    assert (await collected(api))["files_removed"] == 2


async def test_a_dry_run_removes_nothing(api: Api, time: FakeTime) -> None:
    await api.create()
    await api.deploy(V1)
    await api.call("DELETE", "/example")
    time.now_s += 3650 * DAY_S
    dry = await collected(api, dry_run=True)
    wet = await collected(api)
    for report in (dry, wet):
        assert (report["manifests_removed"], report["files_removed"]) == (1, 2)


async def test_difference_16_kept_assets_are_needed_until_they_are_purged(api: Api, time: FakeTime) -> None:
    await api.create()
    first = await api.deploy(V1)
    await api.deploy(V2)
    await api.call("DELETE", f"/example/deployments/{first['id']}")
    time.now_s += 2 * DAY_S
    assert (await collected(api))["files_removed"] == 1, "the old page; its script is kept"
    await api.call("POST", OWN + "/sites/example/purge")
    assert (await collected(api))["files_removed"] == 1


async def test_difference_16_kept_assets_whose_time_is_over_are_collected_one_by_one(api: Api, time: FakeTime) -> None:
    await api.create()
    await api.deploy(V1)
    time.now_s += 4 * DAY_S
    await api.deploy(V2)
    await api.deploy(V2, branch="dev")
    time.now_s += 4 * DAY_S
    await api.deploy({"/index.html": b"3"})
    await collected(api)
    assert api.kept("example.pages.test") == {"/app.1.js", "/app.2.js"}
    time.now_s += 3 * DAY_S
    await collected(api)
    assert api.kept("example.pages.test") == {"/app.2.js"}
    time.now_s += 4 * DAY_S
    await collected(api)
    assert api.kept("example.pages.test") == set()
    assert api.paths("dev.example.pages.test") == hashes_of(V2)


async def test_function_bundles_are_collected_with_their_last_deployment(api: Api) -> None:
    await api.create()
    await api.deploy(V1, _worker__dot__js="export default {}")
    assert (await collected(api))["bundles_removed"] == 0
    await api.call("DELETE", "/example")
    assert (await collected(api))["bundles_removed"] == 1
    assert list(api.plane.bundles.ids()) == []


async def test_hardening_68_whatever_puts_a_manifest_holds_the_blobs_until_it_has_committed(
    api: Api, tmp_path: Path
) -> None:
    await api.create()
    first, preview = await api.deploy(V1), await api.deploy(V2, branch="dev")
    await api.upload(V2, await api.upload_token())
    held: list[bool] = []
    ring = api.plane.keys()

    def note_in_the_transaction() -> KeyRing:
        with (tmp_path / "blobs.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append(False)
            except BlockingIOError:
                held.append(True)
        return ring

    api.plane.keys = note_in_the_transaction
    await api.post(V2)
    for below in (f"{first['id']}/rollback", f"{first['id']}/retry"):
        await api.call("POST", f"/example/deployments/{below}")
    await api.call("POST", f"{OWN}/sites/example/deployments/{preview['id']}/promote")
    assert held == [True] * 4


async def test_hardening_68_collection_never_takes_what_a_running_deploy_refers_to(api: Api, time: FakeTime) -> None:
    await api.create()
    await api.create("gone")
    await api.deploy(V1, site="gone")
    await api.call("DELETE", "/gone")
    time.now_s += 3650 * DAY_S  # from here on, what no deployment has claimed is old enough to go
    collections = [api.call("POST", OWN + "/gc") for _ in range(3)]
    answers = await asyncio.gather(*(api.post(V1) for _ in range(5)), *collections)
    for answer in answers[:5]:
        assert answer.status in (200, 400), "deployed whole, or told that its bytes are gone"
        if answer.status == 200:
            for key in api.paths(host_of(answer.result["url"])).values():
                assert api.plane.blobs.verify(key) is None
