"""What a function said, over the API: the last events, those after one, and who may end a tail."""

from typing import Any

import orjson
import pytest

from tests.control_plane.client import Api

FILES = {"/index.html": b"1"}


async def deployed(api: Api, site: str) -> tuple[str, str]:
    """The deployment's id and its bundle's."""
    await api.create(site)
    before = set(api.plane.bundles.ids())
    deployment = await api.deploy(FILES, site=site, _worker__dot__js="export default {}")
    (bundle,) = set(api.plane.bundles.ids()) - before
    return deployment["id"], bundle


async def note(api: Api, bundle: str, *events: dict[str, Any]) -> None:
    api.plane.events.note(bundle, orjson.dumps(events))
    async with api.plane.events.writing():
        pass


async def test_events_are_read_by_deployment_and_from_one_on(api: Api) -> None:
    mine, bundle = await deployed(api, "mine")
    theirs, _ = await deployed(api, "theirs")
    await note(api, bundle, {"n": 1}, {"n": 2})
    path = f"/onehop/v1/sites/mine/deployments/{mine}/events"
    first = (await api.call("GET", path)).result
    assert [each["n"] for each in first["events"]] == [1, 2]
    await note(api, bundle, {"n": 3})
    second = (await api.call("GET", f"{path}?after={first['next']}")).result
    assert [each["n"] for each in second["events"]] == [3]
    assert (await api.call("GET", f"/onehop/v1/sites/theirs/deployments/{theirs}/events")).result["events"] == []


async def test_a_tail_is_begun_and_ended_by_its_own_deployment_alone(api: Api) -> None:
    mine, bundle = await deployed(api, "mine")
    theirs, _ = await deployed(api, "theirs")
    tail = (await api.call("POST", f"/mine/deployments/{mine}/tails", {"filters": []})).result
    assert tail["url"] == f"ws://api.test/tails/{tail['id']}"
    assert api.plane.events.watched(tail["id"]) is not None
    await api.call("DELETE", f"/theirs/deployments/{theirs}/tails/{tail['id']}")
    assert api.plane.events.watched(tail["id"]) is not None
    for _ in range(2):
        assert (await api.call("DELETE", f"/mine/deployments/{mine}/tails/{tail['id']}")).result is None
    assert api.plane.events.watched(tail["id"]) is None
    assert bundle


async def test_a_deployment_without_a_function_has_nothing_to_tail(api: Api) -> None:
    await api.create("static")
    deployment = await api.deploy(FILES, site="static")
    assert (await api.call("POST", f"/static/deployments/{deployment['id']}/tails", {})).code == 8000023


@pytest.mark.parametrize("target", ["/tails/absent", "/tails/" + "0" * 32])
async def test_a_tails_address_without_a_tail_is_a_404(api: Api, target: str) -> None:
    answer = await api.client.get(target, headers={"upgrade": "websocket"})
    assert answer.status_code == 404


async def test_each_deployment_gets_a_bundle_of_its_own_that_knows_its_url(api: Api) -> None:
    deployment, bundle = await deployed(api, "mine")
    told = api.plane.bundles.read(bundle).settings["deployment"]
    assert told["url"] == f"http://{deployment[:8]}.mine.pages.test:8787"
    assert told["branch"] == "main"
