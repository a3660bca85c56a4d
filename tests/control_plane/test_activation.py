"""Deployments to routes: production, aliases, rollback, promotion, deletion, kept assets."""

import asyncio
from pathlib import Path

import pytest

from control_plane.branch_slug import slug_candidates
from control_plane.catalogue import find_site
from control_plane.deploy import deploy
from control_plane.deploy_form import DeployForm
from control_plane.errors import ProductionBranchChanged
from control_plane.tokens import NOBODY, Access, TokenRecord
from tests.control_plane.client import PAGES_DOMAIN, Api, FakeTime, hashes_of, host_of, open_plane

V1 = {"/index.html": b"1", "/app.1.js": b"1"}
V2 = {"/index.html": b"2", "/app.2.js": b"2"}
V3 = {"/index.html": b"3", "/app.3.js": b"3"}
PRODUCTION = f"example.{PAGES_DOMAIN}"
DAY_S = 24 * 60 * 60


def alias(slug: str) -> str:
    return f"{slug}.{PRODUCTION}"


@pytest.mark.pages("11 row 1", "11 row 6")
async def test_pages_api_6_9_no_branch_or_the_production_branch_is_production(api: Api) -> None:
    await api.create()
    assert (await api.deploy(V1))["environment"] == "production"
    assert api.paths(PRODUCTION) == hashes_of(V1)
    assert (await api.deploy(V2, branch="main"))["environment"] == "production"
    assert api.paths(PRODUCTION) == hashes_of(V2)


@pytest.mark.pages("11 row 3")
async def test_pages_api_6_9_another_branch_is_a_preview_with_its_own_and_its_branchs_host(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(V1, branch="feat/x")
    assert deployment["environment"] == "preview"
    assert deployment["aliases"] == [f"http://{alias('feat-x')}:8787"]
    assert api.paths(alias("feat-x")) == api.paths(host_of(deployment["url"])) == hashes_of(V1)
    assert api.route(PRODUCTION) is None


@pytest.mark.pages("12 row 32")
async def test_hardening_84_only_production_is_no_preview(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(V1)
    await api.deploy(V1, branch="dev")
    routes = [api.route(host) for host in (PRODUCTION, host_of(deployment["url"]), alias("dev"))]
    assert [route is not None and route.is_preview for route in routes] == [False, True, True]


async def test_pages_11_row_2_a_deployments_own_host_never_changes(api: Api) -> None:
    await api.create()
    first = await api.deploy(V1)
    before = api.route(host_of(first["url"]))
    await api.deploy(V2)
    assert api.route(host_of(first["url"])) == before


async def test_rollback_shows_an_older_production_deployment_again(api: Api) -> None:
    await api.create()
    first = await api.deploy(V1)
    await api.deploy(V2)
    await api.call("POST", f"/example/deployments/{first['id']}/rollback")
    assert api.paths(PRODUCTION) == hashes_of(V1)
    assert (await api.call("GET", "/example")).result["canonical_deployment"]["id"] == first["id"]


async def test_rollback_is_refused_to_a_preview(api: Api) -> None:
    await api.create()
    preview = await api.deploy(V1, branch="dev")
    assert (await api.call("POST", f"/example/deployments/{preview['id']}/rollback")).status == 409


async def test_a_deploy_that_began_before_a_rollback_does_not_undo_it(api: Api) -> None:
    await api.create()
    first = await api.deploy(V1)
    await api.deploy(V2)
    slow = await api.upload_token()
    await api.call("POST", f"/example/deployments/{first['id']}/rollback")
    await api.upload(V3, slow)
    late = (await api.post(V3)).result
    assert late["superseded"]
    assert api.paths(PRODUCTION) == hashes_of(V1)
    assert api.paths(host_of(late["url"])) == hashes_of(V3)


@pytest.mark.parametrize("branch", ["main", "dev"])
async def test_hardening_83_an_older_deploy_that_finishes_later_is_superseded(api: Api, branch: str) -> None:
    await api.create()
    older, newer = await api.upload_token(), await api.upload_token()
    await api.upload(V1, older)
    await api.upload(V2, newer)
    assert not (await api.post(V2, branch=branch)).result["superseded"]
    late = (await api.post(V1, branch=branch)).result
    assert late["superseded"]
    assert late["aliases"] == []
    assert api.paths(PRODUCTION if branch == "main" else alias("dev")) == hashes_of(V2)
    log = (await api.call("GET", f"/example/deployments/{late['id']}/history/logs")).result
    assert "Superseded" in log["data"][-1]["line"]


async def test_hardening_83_unless_forced(api: Api) -> None:
    await api.create()
    older, newer = await api.upload_token(), await api.upload_token()
    await api.upload(V1, older)
    await api.upload(V2, newer)
    await api.post(V2)
    assert not (await api.post(V1, onehop_force="true")).result["superseded"]
    assert api.paths(PRODUCTION) == hashes_of(V1)


async def test_hardening_83_a_client_may_say_its_order_itself(api: Api) -> None:
    await api.create()
    await api.upload(V1, await api.upload_token())
    await api.deploy(V2)
    assert (await api.post(V1, onehop_order="1")).result["superseded"]


async def test_an_order_that_was_never_given_out_counts_as_now(api: Api) -> None:
    await api.create()
    await api.upload(V1, await api.upload_token())
    assert not (await api.post(V1, onehop_order="999")).result["superseded"]
    assert not (await api.deploy(V2))["superseded"]


async def test_the_two_tokens_of_one_wrangler_deploy_are_no_conflict(api: Api) -> None:
    await api.create()
    await api.upload_token()
    assert not (await api.deploy(V1))["superseded"]
    assert not (await api.deploy(V1))["superseded"], "the same content again is a newer deploy of its own"


async def test_promotion_makes_a_preview_the_production_deployment(api: Api) -> None:
    await api.create()
    await api.deploy(V1)
    preview = await api.deploy(V2, branch="dev")
    promoted = (await api.call("POST", f"/onehop/v1/sites/example/deployments/{preview['id']}/promote")).result
    assert promoted["environment"] == "production"
    assert api.paths(PRODUCTION) == hashes_of(V2)
    assert api.paths(alias("dev")) == hashes_of(V2)
    assert (await api.call("DELETE", f"/example/deployments/{preview['id']}?force=true")).status == 409


async def test_retry_is_a_new_deployment_of_the_same_content(api: Api) -> None:
    await api.create()
    first = await api.deploy(V1, commit_hash="abc")
    await api.deploy(V2)
    again = (await api.call("POST", f"/example/deployments/{first['id']}/retry")).result
    assert again["id"] != first["id"]
    assert again["deployment_trigger"]["metadata"]["commit_hash"] == "abc"
    assert api.paths(PRODUCTION) == api.paths(host_of(again["url"])) == hashes_of(V1)


async def test_the_live_production_deployment_is_never_deleted(api: Api) -> None:
    await api.create()
    live = await api.deploy(V1)
    for force in ("", "?force=true"):
        answer = await api.call("DELETE", f"/example/deployments/{live['id']}{force}")
        assert answer.status == 409
    assert api.paths(PRODUCTION) == hashes_of(V1)


async def test_users_ask_6_an_aliased_deployment_goes_by_force_with_its_alias(api: Api) -> None:
    await api.create()
    preview = await api.deploy(V1, branch="dev")
    refused = await api.call("DELETE", f"/example/deployments/{preview['id']}")
    assert (refused.status, "force=true" in refused.message) == (409, True)
    assert (await api.call("DELETE", f"/example/deployments/{preview['id']}?force=true")).envelope["success"]
    assert api.hosts() == 0
    assert (await api.call("GET", f"/example/deployments/{preview['id']}")).code == 8000009


async def test_users_ask_6_all_previews_of_a_branch_go_at_once(api: Api) -> None:
    await api.create()
    live = await api.deploy(V1)
    await api.deploy(V1, branch="feat/x")
    await api.deploy(V2, branch="feat/x")
    kept = await api.deploy(V2, branch="feat/y")
    answer = await api.call("DELETE", "/onehop/v1/sites/example/branch?branch=feat/x")
    assert answer.result == {"deleted_count": 2, "alias_deleted": True}
    listed = (await api.call("GET", "/example/deployments")).result
    assert [each["id"] for each in listed] == [kept["id"], live["id"]]
    assert api.route(alias("feat-x")) is None


async def test_difference_15_the_first_of_two_like_branches_keeps_the_plain_slug(api: Api) -> None:
    await api.create()
    first = await api.deploy(V1, branch="feat/x")
    second = await api.deploy(V2, branch="feat.x")
    slug = list(slug_candidates("feat.x"))[1]
    assert first["aliases"] == [f"http://{alias('feat-x')}:8787"]
    assert second["aliases"] == [f"http://{alias(slug)}:8787"]
    assert (await api.deploy(V3, branch="feat.x"))["aliases"] == [f"http://{alias(slug)}:8787"]
    assert api.paths(alias("feat-x")) == hashes_of(V1)


async def test_difference_15_a_branch_keeps_its_slug_when_a_better_one_becomes_free(api: Api) -> None:
    await api.create()
    await api.deploy(V1, branch="feat/x")
    before = await api.deploy(V2, branch="feat.x")
    await api.call("DELETE", "/onehop/v1/sites/example/branch?branch=feat/x")
    assert (await api.deploy(V3, branch="feat.x"))["aliases"] == before["aliases"]
    assert api.route(alias("feat-x")) is None


async def test_users_ask_4_an_alias_is_told_before_its_build_and_comes_out_so(api: Api) -> None:
    await api.create()
    for branch in ("renovate/" + "x" * 60, "deadbeef", "Ünïcödé/Ω", "..."):
        told = (await api.call("GET", f"/onehop/v1/sites/example/alias?branch={branch}")).result
        assert not told["exists"]
        assert (await api.deploy(V1, branch=branch))["aliases"] == [told["url"]]
        assert api.paths(told["hostname"]) == hashes_of(V1)


async def test_deleting_a_site_ends_every_host_of_it_in_one_commit(api: Api) -> None:
    await api.create()
    await api.create("other")
    other = await api.deploy(V1, site="other")
    for branch in ("main", "dev", "feat/y"):
        await api.deploy(V1, branch=branch)
    await api.call("POST", "/example/domains", {"name": "www.example.org"})
    before = api.plane.store.last_txn_id()
    assert (await api.call("DELETE", "/example")).envelope["success"]
    assert api.plane.store.last_txn_id() == before + 1
    assert api.hosts() == 2, "the other site's production host and its deployment's"
    assert api.paths(host_of(other["url"])) == hashes_of(V1)
    assert (await api.call("GET", "/example")).code == 8000007


async def test_a_name_can_be_taken_again_and_nothing_of_its_past_comes_back(api: Api) -> None:
    await api.create()
    old = await api.deploy(V1)
    jwt = await api.upload_token()
    token = api.token_for(Access.ADMIN, site="example")
    await api.call("DELETE", "/example")
    await api.create()
    assert (await api.call("GET", f"/example/deployments/{old['id']}")).code == 8000009
    assert (await api.call("GET", "/example", token=token)).status == 401
    assert (await api.call("POST", "/pages/assets/check-missing", {"hashes": []}, token=jwt)).code == 8000007


async def test_short_ids_are_unique_within_a_site(tmp_path: Path, time: FakeTime) -> None:
    ids = iter(["0" * 32, "a" * 32, "a" * 8 + "b" * 24, "c" * 32])
    with open_plane(tmp_path, time, new_id=lambda: next(ids)) as plane:
        with plane.store.write() as transaction:
            token = plane.tokens.issue(transaction, name="x", access=Access.ADMIN, site_no=None).text
        api = Api(plane, token, time)
        await api.create()
        assert (await api.deploy(V1))["short_id"] == "a" * 8
        assert (await api.deploy(V2))["short_id"] == "c" * 8
        await api.client.aclose()


async def test_hardening_67_parallel_deploys_leave_one_linear_history(api: Api) -> None:
    for number in range(4):
        await api.create(f"site{number}")
    await api.upload(V1, await api.upload_token("site0"))
    answers = await asyncio.gather(*(api.post(V1, site=f"site{number % 4}") for number in range(80)))
    assert {answer.status for answer in answers} == {200}
    for number in range(4):
        listed = (await api.call("GET", f"/site{number}/deployments?per_page=100")).result
        assert len({each["id"] for each in listed}) == len({each["short_id"] for each in listed}) == 20
        live = (await api.call("GET", f"/site{number}")).result
        assert live["canonical_deployment"]["id"] == live["latest_deployment"]["id"] == listed[0]["id"]


async def test_hardening_67_a_deploy_that_loses_against_a_delete_leaves_nothing(api: Api) -> None:
    await api.create()
    await api.upload(V1, await api.upload_token())
    answers = await asyncio.gather(*(api.post(V1) for _ in range(6)), api.call("DELETE", "/example"))
    assert {answer.status for answer in answers} <= {200, 404}
    assert api.hosts() == 0


# -- kept assets (differences 16) --------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", ["main", "dev"])
async def test_difference_16_a_changing_host_keeps_what_the_new_deployment_no_longer_has(api: Api, branch: str) -> None:
    await api.create()
    await api.deploy(V1, branch=branch)
    await api.call("POST", "/example/domains", {"name": "www.example.org"})
    second = await api.deploy(V2, branch=branch)
    host = PRODUCTION if branch == "main" else alias("dev")
    assert api.kept(host) == {"/app.1.js"}
    assert api.kept(host_of(second["url"])) == set(), "a deployment's own host is what was deployed"
    if branch == "main":
        assert api.kept("www.example.org") == {"/app.1.js"}


async def test_difference_16_kept_assets_end_after_the_sites_days(api: Api, time: FakeTime) -> None:
    await api.create()
    assert (await api.call("PATCH", "/onehop/v1/sites/example", {"keep_days": 2})).result["keep_days"] == 2
    await api.deploy(V1)
    await api.deploy(V2)
    time.now_s += DAY_S
    await api.deploy(V3)
    assert api.kept(PRODUCTION) == {"/app.1.js", "/app.2.js"}
    time.now_s += DAY_S
    await api.deploy({"/index.html": b"4"})
    assert api.kept(PRODUCTION) == {"/app.2.js", "/app.3.js"}


async def test_difference_16_a_rollback_keeps_what_the_newer_deployment_had(api: Api) -> None:
    await api.create()
    first = await api.deploy(V1)
    await api.deploy(V2)
    await api.call("POST", f"/example/deployments/{first['id']}/rollback")
    assert api.kept(PRODUCTION) == {"/app.2.js"}


async def test_difference_16_a_purge_ends_it_at_once(api: Api) -> None:
    await api.create()
    await api.call("POST", "/example/domains", {"name": "www.example.org"})
    for files in (V1, V2):
        await api.deploy(files)
        await api.deploy(files, branch="dev")
    assert api.kept(PRODUCTION)
    assert (await api.call("POST", "/onehop/v1/sites/example/purge")).envelope["success"]
    assert [api.kept(host) for host in (PRODUCTION, alias("dev"), "www.example.org")] == [set(), set(), set()]


async def test_difference_16_no_days_keep_nothing(api: Api) -> None:
    await api.create()
    await api.call("PATCH", "/onehop/v1/sites/example", {"keep_days": 0})
    await api.deploy(V1)
    await api.deploy(V2)
    assert api.kept(PRODUCTION) == set()


@pytest.mark.parametrize(
    "body", [{"keep_days": 31}, {"keep_days": -1}, {"keep_days": True}, {"keep_days": "7"}, {}, {"x": 1}]
)
async def test_difference_16_the_days_are_0_to_30(api: Api, body: dict[str, object]) -> None:
    await api.create()
    assert (await api.call("PATCH", "/onehop/v1/sites/example", body)).status == 400


async def test_a_production_branch_that_changes_during_a_deploy_is_a_conflict_and_never_a_mix_up(api: Api) -> None:
    await api.create()
    await api.upload(V1, await api.upload_token())
    with api.plane.store.read() as snapshot:
        site = find_site(snapshot, "example")
    assert site is not None
    await api.call("PATCH", "/example", {"production_branch": "trunk"})
    with pytest.raises(ProductionBranchChanged):
        deploy(
            api.plane,
            site,
            DeployForm(manifest=hashes_of(V1), branch="main"),
            caller=TokenRecord.parse(NOBODY),
            begun_order=None,
        )
    assert api.hosts() == 0
