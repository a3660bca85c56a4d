"""The API on its own: behind one token, or open to this machine's programs, in the dialect of a local session."""

import httpx
import pytest

from tests.workflows.rest.client import Api, client_of
from workflows.rest.app import WorkflowsApi
from workflows.rest.standalone import create_app

LOCAL = ("/cdn-cgi/explorer/api", "/cdn-cgi/local/explorer/api")


async def test_a_token_is_asked_for_on_every_path(workflows_api: WorkflowsApi) -> None:
    async with client_of(create_app(workflows_api, token="s3cret")) as http:
        for path in ("/client/v4/accounts/any/workflows", "/accounts/any/workflows", "/workflows/greet", "/metrics"):
            url = f"http://flows.example{path}"
            for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic s3cret"}):
                assert (await http.get(url, headers=headers)).status_code == 401
            assert (await http.get(url, headers={"authorization": "Bearer s3cret"})).status_code == 200
        for base in LOCAL:
            answer = await http.get(f"http://flows.example{base}/workflows", headers={"authorization": "Bearer s3cret"})
            assert answer.status_code == 404


@pytest.mark.parametrize("host", ["localhost", "localhost:8799", "127.0.0.1:1", "[::1]:8799", "LOCALHOST"])
async def test_without_a_token_this_machine_is_answered(workflows_api: WorkflowsApi, host: str) -> None:
    async with client_of(create_app(workflows_api)) as http:
        assert (await http.get("http://localhost/workflows", headers={"host": host})).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "10.0.0.1"])
async def test_hardening_51_without_a_token_no_other_name_is_answered(workflows_api: WorkflowsApi, host: str) -> None:
    async with client_of(create_app(workflows_api)) as http:
        assert (await http.get("http://localhost/workflows", headers={"host": host})).status_code == 403


async def local(api: Api, method: str, path: str, body: object = None, *, base: str = LOCAL[0]) -> httpx.Response:
    return await api.http.request(method, f"http://localhost{base}/workflows{path}", json=body)


async def test_a_local_session_has_its_own_dialect(api: Api) -> None:
    for base in LOCAL:
        made = (
            await local(api, "POST", "/sleeper/instances", {"id": f"in-{len(base)}", "params": {}}, base=base)
        ).json()
        instance = made["result"]["id"]
        await api.until("sleeper", instance, "running", "waiting", steps=2)
        night = (await local(api, "GET", f"/sleeper/instances/{instance}", base=base)).json()["result"]["steps"][1]
        assert (night["end"], night["finished"]) == (None, False)
        changed = await local(api, "PATCH", f"/sleeper/instances/{instance}/status", {"action": "terminate"}, base=base)
        assert changed.json()["result"]["status"] == "terminated"
    listed = (await local(api, "GET", "/sleeper/instances")).json()
    assert (len(listed["result"]), listed["result_info"]["total_count"]) == (2, 2)
    assert listed["result_info"]["status_counts"]["terminated"] == 2
    filtered = (await local(api, "GET", "/sleeper/instances?status=running&page=1&per_page=5")).json()
    assert (filtered["result"], filtered["result_info"]["total_count"]) == ([], 0)


async def test_a_local_session_deletes_instances_and_keeps_the_workflow(api: Api) -> None:
    await api.until("greet", await api.start("greet", id="a"), "complete")
    assert (await local(api, "DELETE", "/greet")).json()["result"] == {"status": "ok", "success": True}
    assert (await api.call("GET", "/greet")).result["instances"]["complete"] == 0
    await api.start("greet", id="a")
    assert (await local(api, "DELETE", "/greet/instances/a")).json()["result"] == {"success": True}
