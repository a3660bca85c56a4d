"""KV namespaces over the API, as wrangler and the public API's clients call it."""

import json
from typing import Any

import httpx
import pytest

from control_plane.tokens import Access
from tests.control_plane.client import Api

KV = "/client/v4/accounts/acct/storage/kv/namespaces"


async def raw(api: Api, method: str, path: str, content: bytes = b"", **headers: str) -> httpx.Response:
    return await api.client.request(
        method, KV + path, content=content, headers={"authorization": f"Bearer {api.token}", **headers}
    )


@pytest.fixture
async def namespace(api: Api) -> str:
    created: dict[str, Any] = (await api.call("POST", KV, {"title": "counters"})).result
    return str(created["id"])


async def test_namespaces_are_made_listed_renamed_and_deleted(api: Api, namespace: str) -> None:
    assert (await api.call("POST", KV, {"title": "counters"})).status == 400
    listed = await api.call("GET", f"{KV}?page=1&per_page=1000")
    assert [each["title"] for each in listed.result] == ["counters"]
    assert (await api.call("PUT", f"{KV}/{namespace}", {"title": "others"})).result["title"] == "others"
    assert (await api.call("GET", f"{KV}/{namespace}")).result["title"] == "others"
    assert (await api.call("DELETE", f"{KV}/{namespace}")).result is None
    assert (await api.call("DELETE", f"{KV}/{namespace}")).code == 10013


async def test_a_value_is_put_read_and_deleted_under_a_key_of_any_characters(api: Api, namespace: str) -> None:
    path = f"/{namespace}/values/a%2Fb%20c%C3%A9"
    assert (await raw(api, "PUT", path, b"\x00value")).json()["success"]
    answer = await raw(api, "GET", path)
    assert (answer.content, answer.headers["x-content-type-options"]) == (b"\x00value", "nosniff")
    assert [each["name"] for each in (await api.call("GET", f"{KV}/{namespace}/keys")).result] == ["a/b c\u00e9"]
    assert (await raw(api, "DELETE", path)).json()["success"]
    assert (await raw(api, "GET", path)).status_code == 404


async def test_a_form_brings_metadata_and_the_query_an_end(api: Api, namespace: str) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="value"\r\n\r\nv\r\n'
    form += b'--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"x": 1}\r\n--b--\r\n'
    kind = {"content-type": "multipart/form-data; boundary=b"}
    await raw(api, "PUT", f"/{namespace}/values/k?expiration_ttl=300", form, **kind)
    (key,) = (await api.call("GET", f"{KV}/{namespace}/keys?prefix=k")).result
    assert key == {"name": "k", "expiration": int(api.time.now_s) + 300, "metadata": {"x": 1}}
    assert (await api.call("GET", f"{KV}/{namespace}/metadata/k")).result == {"x": 1}
    api.time.now_s += 301
    assert (await raw(api, "GET", f"/{namespace}/values/k")).status_code == 404


async def test_many_at_once(api: Api, namespace: str) -> None:
    items = [{"key": "a", "value": "1"}, {"key": "b", "value": "AP8=", "base64": True}]
    written = await api.call("PUT", f"{KV}/{namespace}/bulk", content=json.dumps(items).encode())
    assert written.result["successful_key_count"] == 2
    assert (await raw(api, "GET", f"/{namespace}/values/b")).content == b"\x00\xff"
    got = await api.call("POST", f"{KV}/{namespace}/bulk/get", {"keys": ["a", "absent"]})
    assert got.result == {"values": {"a": "1", "absent": None}}
    await api.call("POST", f"{KV}/{namespace}/bulk/delete", content=b'["a", "b"]')
    assert (await api.call("GET", f"{KV}/{namespace}/keys")).result == []


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("PUT", "/values/" + "k" * 513, b"v"),
        ("PUT", "/values/k?expiration_ttl=5", b"v"),
        ("PUT", "/values/k?expiration=soon", b"v"),
        ("GET", "/keys?limit=0", b""),
        ("GET", "/keys?cursor=%FF", b""),
        ("PUT", "/bulk", b"{}"),
        ("PUT", "/bulk", b'[{"key": 1}]'),
        ("POST", "/bulk/get", b'{"keys": [1]}'),
    ],
)
async def test_bad_input_is_a_400(api: Api, namespace: str, method: str, path: str, content: bytes) -> None:
    assert (await raw(api, method, f"/{namespace}{path}", content)).status_code == 400


def worker_with(namespace: str) -> bytes:
    metadata = {"main_module": "m.js", "bindings": [{"name": "KV", "type": "kv_namespace", "namespace_id": namespace}]}
    module = b'\r\n--b\r\nContent-Disposition: form-data; name="m.js"\r\nContent-Type: application/javascript+module'
    head = b'--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n' + json.dumps(metadata).encode()
    return head + module + b"\r\n\r\nexport default {}\r\n--b--\r\n"


@pytest.fixture
async def foreign(api: Api) -> str:
    return str((await api.call("POST", KV, {"title": "another site's"})).result["id"])


async def test_a_sites_token_reaches_the_namespaces_of_its_site_and_no_other(
    api: Api, namespace: str, foreign: str
) -> None:
    for site, bound in (("mine", namespace), ("theirs", foreign)):
        await api.create(site)
        await api.deploy({"/index.html": b""}, site=site, _worker__dot__bundle=worker_with(bound))
    token = api.token_for(Access.DEPLOY, site="mine")
    assert [each["id"] for each in (await api.call("GET", KV, token=token)).result] == [namespace]
    written = await api.call("PUT", f"{KV}/{namespace}/bulk", [{"key": "k", "value": "v"}], token=token)
    assert written.status == 200
    nowhere = await api.call("GET", f"{KV}/{'0' * 32}/keys", token=token)
    for method, path in (
        ("GET", "/keys"),
        ("GET", ""),
        ("GET", "/values/k"),
        ("PUT", "/values/k"),
        ("DELETE", "/bulk"),
    ):
        refused = await api.call(method, f"{KV}/{foreign}{path}", [] if path == "/bulk" else None, token=token)
        assert (refused.status, refused.code) == (nowhere.status, nowhere.code) == (404, 10013)
    assert (await api.call("POST", KV, {"title": "more"}, token=token)).status == 403
    assert (await api.call("DELETE", f"{KV}/{namespace}", token=token)).status == 403
    reader = api.token_for(Access.READ, site="mine")
    assert (await api.call("GET", f"{KV}/{namespace}/keys", token=reader)).status == 200
    assert (await api.call("PUT", f"{KV}/{namespace}/bulk", [], token=reader)).status == 403


async def test_a_sites_token_cant_bind_what_its_site_hasnt_got(api: Api, namespace: str, foreign: str) -> None:
    await api.create("mine")
    await api.deploy({"/index.html": b""}, site="mine", _worker__dot__bundle=worker_with(namespace))
    api.token = api.token_for(Access.ADMIN, site="mine")
    again = await api.post({}, site="mine", _worker__dot__bundle=worker_with(namespace))
    assert again.status == 200
    hosts_count = api.hosts()
    stolen = await api.post({}, site="mine", _worker__dot__bundle=worker_with(foreign))
    assert (stolen.status, api.hosts()) == (403, hosts_count)
    config = {"deployment_configs": {"production": {"kv_namespaces": {"KV": {"namespace_id": foreign}}}}}
    assert (await api.call("PATCH", "/mine", config)).status == 403


async def test_a_namespace_that_the_projects_settings_name_is_its_sites(api: Api, namespace: str) -> None:
    await api.create("mine")
    config = {"deployment_configs": {"preview": {"kv_namespaces": {"KV": {"namespace_id": namespace}}}}}
    assert (await api.call("PATCH", "/mine", config)).status == 200
    token = api.token_for(Access.READ, site="mine")
    assert (await api.call("GET", f"{KV}/{namespace}/keys", token=token)).status == 200
