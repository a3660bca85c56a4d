"""Workflows under the control plane's tokens: each action with its access, and nothing for a stranger."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from control_plane.late_workflows import LateWorkflows
from control_plane.plane import ControlPlane
from control_plane.tokens import Access, revoke_token
from control_plane.workflow_routes import needed_for
from tests.control_plane.dashboard_client import Browser, open_browser
from workflows.desk import Desk
from workflows.rest.app import WorkflowsApi
from workflows.rest.paths import Action

DEADLINE_S = 20.0
ASKED = [
    ("GET", "", Access.READ),
    ("GET", "/nasty", Access.READ),
    ("GET", "/nasty/versions", Access.READ),
    ("GET", "/nasty/metrics", Access.READ),
    ("GET", "/nasty/instances", Access.READ),
    ("GET", "/nasty/instances/a", Access.READ),
    ("GET", "/nasty/instances/a/log", Access.READ),
    ("POST", "/nasty/instances", Access.DEPLOY),
    ("POST", "/nasty/instances/batch", Access.DEPLOY),
    ("PATCH", "/nasty/instances/a/status", Access.DEPLOY),
    ("POST", "/nasty/instances/a/events/e", Access.DEPLOY),
    ("PUT", "/nasty/instances/terminate", Access.DEPLOY),
    ("PUT", "/other", Access.DEPLOY),
    ("DELETE", "/nasty", Access.ADMIN),
]


@pytest.fixture
async def browser(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Browser]:
    async with open_browser(plane, tmp_path) as opened:
        yield opened


async def ask(
    browser: Browser, method: str, path: str, token: str | None, *, account: str | None = None
) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"} if token is not None else {}
    account = account if account is not None else browser.plane.account_id
    return await browser.http.request(method, f"/client/v4/accounts/{account}/workflows{path}", headers=headers)


@pytest.mark.parametrize(("method", "path", "needed"), ASKED)
async def test_each_action_takes_its_access_and_no_less(
    browser: Browser, method: str, path: str, needed: Access
) -> None:
    for access in Access:
        answer = await ask(browser, method, path, browser.token(access))
        assert (access, answer.status_code == 403) == (access, access < needed)


@pytest.mark.parametrize(("method", "path", "needed"), ASKED)
async def test_hardening_55_a_stranger_sees_nothing_whether_it_is_there_or_not(
    browser: Browser, method: str, path: str, needed: Access
) -> None:
    told = [
        (await ask(browser, method, each, token, account=account)).text
        for each in (path, path.replace("nasty", "nothing"))
        for token, account in (
            (browser.token(site_no=3), None),
            (browser.token(), "0" * 32),
        )
    ]
    assert told[:2] == told[2:]
    assert all('"code":10000' in each for each in told)
    for token in (None, "onehop_wrong"):
        assert (await ask(browser, method, path, token)).status_code == 401


async def test_a_live_feed_ends_once_its_token_is_revoked(browser: Browser) -> None:
    token = browser.token(Access.READ)
    handle = await browser.engine.create("nasty")
    following = asyncio.create_task(ask(browser, "GET", f"/nasty/instances/{handle.id}/subscribe", token))
    async with asyncio.timeout(DEADLINE_S):
        while browser.api.watch.subscribers_count == 0:
            await asyncio.sleep(0.01)
        with browser.plane.store.write() as transaction:
            revoke_token(transaction, token.split("_")[1])
        await handle.send_event("anything")
        told = (await following).text
    assert "event: workflow_queued" in told
    assert "event: end" not in told


def test_every_action_is_thought_of() -> None:
    assert {action for action in Action if needed_for(action) is Access.READ} == {
        Action.LIST_WORKFLOWS, Action.SHOW_WORKFLOW, Action.LIST_VERSIONS, Action.SHOW_VERSION, Action.SHOW_METRICS,
        Action.LIST_INSTANCES, Action.SHOW_INSTANCE, Action.SHOW_LOG, Action.SUBSCRIBE,
    }  # fmt: skip


async def test_the_api_is_at_the_root_as_well_for_clients_with_a_bare_address(browser: Browser) -> None:
    path = f"/accounts/{browser.plane.account_id}/workflows"
    answer = await browser.get(path, authorization=f"Bearer {browser.token()}")
    assert [each["name"] for each in answer.json()["result"]] == ["nasty"]


async def test_an_account_whose_name_cuts_the_path_elsewhere_is_unknown(browser: Browser) -> None:
    for account in ("a%2Fworkflows", "workflows", "..%2F.."):
        answer = await ask(browser, "GET", "/nasty", browser.token(), account=account)
        assert answer.status_code in (403, 404)


async def test_metrics_and_collection_take_a_token_of_the_account(browser: Browser) -> None:
    for method, path, needed in (
        ("GET", "/onehop/v1/workflow-metrics", Access.READ),
        ("POST", "/onehop/v1/workflow-gc", Access.ADMIN),
    ):
        for access in Access:
            headers = {"authorization": f"Bearer {browser.token(access)}"}
            answer = await browser.http.request(method, path, headers=headers)
            assert (path, access, answer.status_code) == (path, access, 200 if access >= needed else 403)
        assert (await browser.http.request(method, path)).status_code == 401


async def test_one_scrape_tells_of_the_edges_and_of_workflows(browser: Browser) -> None:
    headers = {"authorization": f"Bearer {browser.token(Access.READ)}"}
    await browser.engine.create("nasty")
    told = (await browser.http.get("/metrics", headers=headers)).text
    alone = (await browser.http.get("/onehop/v1/workflow-metrics", headers=headers)).text
    assert "onehop_requests" in told
    assert 'wf_step_seconds_bucket{le="+Inf",workflow="nasty"}' in told
    assert [line for line in alone.splitlines() if line.startswith("# ") and line not in told] == []


async def test_a_scrape_tells_the_rest_where_the_store_of_workflows_is_damaged(
    plane: ControlPlane, tmp_path: Path
) -> None:
    store = tmp_path / "damaged.db"
    store.write_bytes(b"no database" * 1000)
    api = WorkflowsApi(Desk(store))
    for has_store in (True, False):
        workflows = LateWorkflows(plane, lambda: api, lambda has_store=has_store: has_store)  # type: ignore[misc]
        assert await workflows.metric_families() == []
    await api.close()
