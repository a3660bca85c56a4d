"""Every route at once: who may what, what nobody may, and what no body of any shape can do."""

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane import app, late_endpoints
from control_plane.tokens import Access
from tests.control_plane.client import BOUNDARY, Answer, Api, form_of

CF = "/client/v4"
OWN = "/onehop/v1"
SITE_ROUTES = [
    (method, CF + path, needs) for method, path, needs, _ in [*app.SITE_ROUTES, *late_endpoints.SITE_ROUTES]
] + [(method, OWN + path, needs) for method, path, needs, _ in late_endpoints.OWN_SITE_ROUTES]
ACCOUNT_ROUTES = [
    (method, CF + path, needs) for method, path, needs, _ in [*app.ACCOUNT_ROUTES, *late_endpoints.ACCOUNT_ROUTES]
] + [(method, OWN + path, needs) for method, path, needs, _ in late_endpoints.OWN_ACCOUNT_ROUTES]
ANY_TOKEN_ROUTES = [(method, CF + path, Access.READ) for method, path, _ in app.ANY_TOKEN_ROUTES] + [
    (method, CF + path, needs) for method, path, needs, _ in late_endpoints.ANY_TOKEN_ROUTES
]
TOKEN_ROUTES = SITE_ROUTES + ACCOUNT_ROUTES + ANY_TOKEN_ROUTES
UPLOAD_ROUTES = [(method, CF + path) for method, path, _ in late_endpoints.UPLOAD_ROUTES]
FILES = {"/index.html": b"1"}


def filled(path: str, *, project: str = "example", deployment: str = "0" * 32) -> str:
    values = {
        "account": "acct",
        "project": project,
        "deployment": deployment,
        "domain": "www.example.org",
        "token": "x",
        "tail": "x",
        "namespace": "0" * 32,
        "key": "k",
    }
    return re.sub(r"\{(\w+)(?::path)?\}", lambda match: values[match[1]], path)


def identity(route: tuple[str, str, Access]) -> str:
    return f"{route[0]} {route[1]}"


@pytest.mark.parametrize("route", TOKEN_ROUTES, ids=identity)
async def test_without_a_token_every_route_says_401_10000(api: Api, route: tuple[str, str, Access]) -> None:
    for headers in ({"authorization": ""}, {"authorization": "Basic eDp4"}, {"authorization": "Bearer nonsense"}):
        answer = await api.call(route[0], filled(route[1]), headers=headers)
        assert (answer.status, answer.code) == (401, 10000)


@pytest.mark.parametrize(("method", "path"), UPLOAD_ROUTES)
async def test_asset_calls_take_no_api_token(api: Api, method: str, path: str) -> None:
    answer = await api.call(method, path, {"hashes": []})
    assert (answer.status, answer.code) == (401, 8000013)


@pytest.mark.parametrize("route", SITE_ROUTES, ids=identity)
async def test_hardening_55_a_token_of_one_site_learns_nothing_of_another(
    api: Api, route: tuple[str, str, Access]
) -> None:
    await api.create("mine")
    await api.create("theirs")
    theirs = await api.deploy(FILES, site="theirs")
    await api.call("POST", "/theirs/domains", {"name": "www.example.org"})
    token = api.token_for(Access.ADMIN, site="mine")

    async def ask(project: str) -> Answer:
        return await api.call(route[0], filled(route[1], project=project, deployment=theirs["id"]), token=token)

    existing, absent = await ask("theirs"), await ask("absent")
    assert existing.code == 8000007
    assert (existing.status, existing.envelope) == (absent.status, absent.envelope)
    assert sorted(existing.headers.items()) == sorted(absent.headers.items())
    assert api.paths("theirs.pages.test"), "it is still there"


@pytest.mark.parametrize("route", [route for route in SITE_ROUTES if "{deployment}" in route[1]], ids=identity)
async def test_hardening_55_another_sites_deployment_is_unknown(api: Api, route: tuple[str, str, Access]) -> None:
    await api.create("mine")
    await api.create("theirs")
    theirs = await api.deploy(FILES, site="theirs")
    answer = await api.call(route[0], filled(route[1], project="mine", deployment=theirs["id"]))
    assert (answer.status, answer.code) == (404, 8000009)


@pytest.mark.parametrize("route", [route for route in SITE_ROUTES if route[2] > Access.READ], ids=identity)
async def test_a_token_below_what_a_route_needs_gets_403(api: Api, route: tuple[str, str, Access]) -> None:
    await api.create()
    token = api.token_for(Access(route[2] - 1), site="example")
    answer = await api.call(route[0], filled(route[1]), token=token)
    assert (answer.status, answer.code) == (403, 10000)


@pytest.mark.parametrize("route", ACCOUNT_ROUTES, ids=identity)
async def test_a_sites_token_does_nothing_to_the_account(api: Api, route: tuple[str, str, Access]) -> None:
    await api.create()
    token = api.token_for(Access.ADMIN, site="example")
    assert (await api.call(route[0], filled(route[1]), token=token)).status == 403


async def test_a_sites_token_lists_its_own_site_alone(api: Api) -> None:
    await api.create("mine")
    await api.create("theirs")
    token = api.token_for(Access.READ, site="mine")
    assert [each["name"] for each in (await api.call("GET", "", token=token)).result] == ["mine"]
    assert (await api.call("GET", "?page=2", token=token)).result == []


async def test_pages_api_6_2_an_unknown_project_is_8000007_on_every_sub_path(api: Api) -> None:
    for method, path, _ in SITE_ROUTES:
        answer = await api.call(method, filled(path, project="absent"))
        assert (answer.status, answer.code) == (404, 8000007), path


@pytest.mark.parametrize("name", ["Example", "ex%61mple%2F", "%00", "%C3%A9", "..", "a" * 300])
async def test_a_name_that_no_project_can_have_is_an_unknown_one(api: Api, name: str) -> None:
    await api.create()
    assert (await api.call("GET", f"/{name}")).status == 404


async def test_the_global_key_header_carries_a_token_too(api: Api) -> None:
    await api.create()
    headers = {"authorization": "", "x-auth-key": api.token, "x-auth-email": "someone@example.org"}
    assert (await api.call("GET", "/example", headers=headers)).status == 200


async def test_pages_api_6_15_browser_like_headers_are_passed_over_and_origin_is_not_needed(api: Api) -> None:
    headers = {"sec-fetch-mode": "cors", "accept-language": "*", "accept-encoding": "gzip, deflate"}
    assert (await api.call("GET", "", headers=headers)).status == 200


async def test_unknown_routes_and_methods_have_the_envelope(api: Api) -> None:
    unknown = await api.call("GET", CF + "/zones")
    assert (unknown.status, unknown.code) == (404, 7003)
    refused = await api.call("PUT", "/example")
    assert (refused.status, refused.code) == (405, 7001)
    assert set(refused.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH", "DELETE"}


async def test_no_answer_redirects(api: Api) -> None:
    assert (await api.call("GET", "/")).status == 404


async def test_the_api_is_at_the_root_as_well(api: Api) -> None:
    answer = await api.client.get("/user/tokens/verify", headers={"authorization": f"Bearer {api.token}"})
    assert answer.json()["result"]["status"] == "active"


async def test_hardening_50_no_answer_can_be_taken_for_a_page(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES, commit_message="<script>alert(1)</script>", branch="<img src=x>")
    for path in (f"/example/deployments/{deployment['id']}", "/<script>"):
        answer = await api.call("GET", path)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_no_cookie_is_ever_set_and_no_other_origin_let_in(api: Api) -> None:
    answer = await api.call("GET", "", headers={"origin": "https://evil.example", "cookie": "session=1"})
    assert not [name for name in answer.headers if name == "set-cookie" or name.startswith("access-control-")]


async def test_the_whoami_flow(api: Api) -> None:
    memberships = await api.call("GET", CF + "/memberships?page=1")
    account = memberships.result[0]["account"]
    assert memberships.envelope["result_info"]["total_count"] == 1
    assert (await api.call("GET", CF + "/accounts?page=1")).result[0]["id"] == account["id"]
    assert (await api.call("GET", CF + "/accounts?page=2")).result == []
    assert (await api.call("GET", CF + "/user/tokens/verify")).result["status"] == "active"
    assert "@" in (await api.call("GET", CF + "/user")).result["email"]


# -- bodies of any shape (hardening 56) --------------------------------------------------------------------------

BODY_ROUTES = [
    ("POST", CF + "/accounts/acct/pages/projects"),
    ("PATCH", CF + "/accounts/acct/pages/projects/example"),
    ("POST", CF + "/accounts/acct/pages/projects/example/domains"),
    ("PATCH", OWN + "/sites/example"),
    ("POST", OWN + "/tokens"),
    ("POST", OWN + "/gc"),
]
MEMBERS = ["name", "production_branch", "deployment_configs", "production", "env_vars", "build_config", "source",
           "type", "value", "access", "project", "keep_days", "dry_run", "hashes", "key", "metadata"]  # fmt: skip
VALUES = st.sampled_from(
    ["example", "www.example.org", "read", "admin", "secret_text", "\u0000", "é", "x" * 300, "10.0.0.1"]
)


def values() -> st.SearchStrategy[object]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | VALUES
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
        max_leaves=10,
    )


def asset_like() -> st.SearchStrategy[object]:
    members = {name: values() for name in ("key", "value", "metadata", "base64")}
    return st.fixed_dictionaries({}, optional=members)


FUZZED = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(("method", "path"), BODY_ROUTES)
@FUZZED
@given(body=values())
async def test_hardening_56_any_json_is_answered_and_never_with_5xx(
    api: Api, method: str, path: str, body: object
) -> None:
    if "example" not in {each["name"] for each in (await api.call("GET", "?per_page=100")).result}:
        await api.create()
    answer = await api.call(method, path, body)
    assert answer.status < 500
    assert answer.envelope["success"] is (answer.status == 200)


@pytest.mark.parametrize(("method", "path"), UPLOAD_ROUTES)
@FUZZED
@given(body=values() | st.fixed_dictionaries({"hashes": values()}) | st.lists(asset_like(), max_size=3))
async def test_hardening_56_any_asset_call_is_answered_and_never_with_5xx(
    api: Api, method: str, path: str, body: object
) -> None:
    if not (await api.call("GET", "")).result:
        await api.create()
    answer = await api.call(method, path, body, token=await api.upload_token())
    assert answer.status < 500


@FUZZED
@given(
    manifest=values() | st.dictionaries(st.text(max_size=5), VALUES, max_size=3),
    parts=st.dictionaries(
        st.sampled_from(["branch", "commit_hash", "commit_message", "_headers", "_redirects", "_worker.bundle",
                         "_worker.js", "_routes.json", "onehop_order", "onehop_force", "pages_build_output_dir"]),
        st.binary(max_size=20),
    ),
)  # fmt: skip
async def test_hardening_56_any_form_is_answered_and_never_with_5xx(
    api: Api, manifest: object, parts: dict[str, bytes]
) -> None:
    if not (await api.call("GET", "")).result:
        await api.create()
    answer = await api.call(
        "POST",
        "/example/deployments",
        content=form_of({"manifest": json.dumps(manifest), **parts}),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    assert answer.status < 500


@pytest.mark.parametrize("query", ["page=0", "page=-1", "page=x", "page=1e9", "per_page=0", "per_page=101", "page=٣"])
async def test_paging_out_of_range_is_refused(api: Api, query: str) -> None:
    await api.create()
    for path in ("", "/example/deployments"):
        assert (await api.call("GET", f"{path}?{query}")).status == 400


def chunks(total_bytes: int) -> Iterator[bytes]:
    for _ in range(total_bytes // 65_536 + 1):
        yield b" " * 65_536


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [("POST", "", 1024 * 1024), ("PATCH", "/example", 1024 * 1024), ("POST", "/example/deployments", 30 * 1024 * 1024)],
)
async def test_hardening_42_a_body_over_its_routes_limit_is_refused_while_it_streams(
    api: Api, method: str, path: str, limit: int
) -> None:
    await api.create()
    declared = await api.call(method, path, headers={"content-length": str(limit + 1)}, content=b"")
    assert declared.status == 413

    async def stream() -> object:
        for chunk in chunks(limit):
            yield chunk

    response = await api.client.request(
        method,
        CF + "/accounts/acct/pages/projects" + path,
        content=stream(),  # type: ignore[arg-type]  # an async generator is what it takes
        headers={"authorization": f"Bearer {api.token}"},
    )
    assert response.status_code == 413
    assert api.plane.bodies.held_bytes == 0


async def test_health_is_told_to_anyone(api: Api) -> None:
    assert (await api.client.get("/healthz")).status_code == 200
    api.plane.edges_answer = lambda: False
    assert (await api.client.get("/healthz")).status_code == 503
