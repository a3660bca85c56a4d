"""GET /metrics: for tokens that may read the whole account, and nobody else."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from control_plane.tokens import Access
from router.kv.schema import Database
from tests.control_plane.client import Api


async def ask(api: Api, token: str | None, **headers: str) -> tuple[int, str, str]:
    """Status, content type, text."""
    authorization = {"authorization": f"Bearer {token}"} if token is not None else {}
    response = await api.client.get("/metrics", headers={**authorization, **headers})
    return response.status_code, response.headers["content-type"], response.text


@pytest.mark.parametrize("access", [Access.READ, Access.ADMIN])
async def test_an_accounts_token_is_told(api: Api, access: Access) -> None:
    status, content_type, text = await ask(api, api.token_for(access))
    assert (status, content_type.partition(";")[0]) == (200, "text/plain")
    assert any(family.name == "onehop_requests" for family in text_string_to_metric_families(text))


@pytest.mark.parametrize("token", [None, "", "wrong", "onehop_aaaaaaaaaaaa_" + "b" * 43])
async def test_without_a_token_nothing_is_told(api: Api, token: str | None) -> None:
    status, content_type, text = await ask(api, token)
    assert (status, content_type) == (401, "application/json")
    assert "onehop_requests" not in text


async def test_a_sites_token_is_not_told_of_the_account(api: Api) -> None:
    await api.create("example")
    status, _, text = await ask(api, api.token_for(Access.ADMIN, site="example"))
    assert status == 403
    assert "onehop_requests" not in text


async def test_what_the_store_holds_is_told(api: Api) -> None:
    await api.create("example")
    await api.deploy({"/index.html": b"a"})
    _, _, text = await ask(api, api.token)
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    rows = {sample.labels["database"]: sample.value for sample in samples if sample.name == "onehop_store_rows"}
    assert (rows["sites"], rows["deployments"], rows["routes"]) == (1, 1, 2)
    assert rows.keys() == set(Database)


async def test_openmetrics_is_told_where_it_is_asked_for(api: Api) -> None:
    _, content_type, text = await ask(api, api.token, accept="application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")
