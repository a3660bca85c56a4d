import json
from pathlib import Path

import pytest

from tests.control_plane.client import Api

FILES = {"/index.html": b"1"}


async def test_pages_api_6_3_a_project_always_has_what_clients_read_into(api: Api) -> None:
    created = await api.create()
    shown = (await api.call("GET", "/example")).result
    assert created == shown
    assert shown["subdomain"] == "example.pages.test"
    assert shown["domains"] == ["example.pages.test"]
    assert shown["deployment_configs"].keys() == {"production", "preview"}
    assert isinstance(shown["build_config"], dict)
    assert shown["latest_deployment"] is shown["canonical_deployment"] is None


async def test_wranglers_create_with_settings(api: Api) -> None:
    config = {"compatibility_date": "2026-01-31", "compatibility_flags": ["nodejs_compat"]}
    created = await api.create(deployment_configs={"production": config, "preview": {}})
    production = created["deployment_configs"]["production"]
    assert {name: production[name] for name in config} == config


async def test_without_a_compatibility_date_a_project_gets_its_birthday(api: Api) -> None:
    created = await api.create()
    assert created["deployment_configs"]["preview"]["compatibility_date"] == created["created_on"][:10]


async def test_a_taken_name_is_409_8000002(api: Api) -> None:
    await api.create()
    answer = await api.call("POST", "", {"name": "example", "production_branch": "main"})
    assert (answer.status, answer.code) == (409, 8000002)


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "A", "a.b", "a_b", "é", "a" * 59, "xn--zzzzzz-9999999", None, 7, ["a"]]
)
async def test_a_name_that_makes_no_host_is_refused(api: Api, name: object) -> None:
    assert (await api.call("POST", "", {"name": name, "production_branch": "main"})).status == 400
    assert (await api.call("GET", "")).result == []


@pytest.mark.parametrize("name", ["a", "0", "a--b", "a" * 58])
async def test_a_name_within_the_rules_is_taken(api: Api, name: str) -> None:
    assert (await api.create(name))["name"] == name


async def test_project_list_pages_as_wrangler_walks_them(api: Api) -> None:
    for number in range(10):
        await api.create(f"p{number}")
    first, second = await api.call("GET", "?per_page=10&page=1"), await api.call("GET", "?per_page=10&page=2")
    assert [each["name"] for each in first.result] == [f"p{number}" for number in range(10)]
    assert second.result == []
    assert first.envelope["result_info"] == {
        "page": 1, "per_page": 10, "count": 10, "total_count": 10, "total_pages": 1,
    }  # fmt: skip


async def test_pages_api_6_1_json_is_read_whatever_its_declared_type(api: Api) -> None:
    for number, content_type in enumerate(["text/plain;charset=UTF-8", "application/json", "", "image/png"]):
        answer = await api.call("POST", "", {"name": f"p{number}"}, headers={"content-type": content_type})
        assert answer.status == 200


async def test_pages_api_6_13_the_secret_flow_of_wrangler(api: Api) -> None:
    await api.create()
    secret = {"KEY": {"value": "hunter2", "type": "secret_text"}}
    answer = await api.call("PATCH", "/example", {"deployment_configs": {"production": {"env_vars": secret}}})
    shown = answer.result["deployment_configs"]
    assert shown["production"]["env_vars"] == {"KEY": {"type": "secret_text", "value": ""}}
    assert shown["preview"]["env_vars"] == {}
    answer = await api.call("PATCH", "/example", {"deployment_configs": {"production": {"env_vars": {"KEY": None}}}})
    assert answer.result["deployment_configs"]["production"]["env_vars"] == {}


async def test_a_secret_is_in_no_file_and_no_answer_as_it_is(api: Api, tmp_path: Path) -> None:
    await api.create()
    secret = {"KEY": {"value": "hunter2-the-second", "type": "secret_text"}}
    await api.call("PATCH", "/example", {"deployment_configs": {"production": {"env_vars": secret}}})
    deployment = await api.deploy(FILES, _worker__dot__js="export default {}")
    for path in ("", "/example", "/example/deployments", f"/example/deployments/{deployment['id']}"):
        assert "hunter2" not in json.dumps((await api.call("GET", path)).envelope)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) > 5
    assert not [file for file in files if b"hunter2" in file.read_bytes()]


async def test_pages_api_3_9_a_secret_counts_from_the_next_deployment_of_its_environment(api: Api) -> None:
    await api.create()
    before = await api.deploy(FILES)
    variable = {"A": {"value": "1", "type": "plain_text"}}
    await api.call("PATCH", "/example", {"deployment_configs": {"production": {"env_vars": variable}}})
    after, preview = await api.deploy(FILES), await api.deploy(FILES, branch="dev")
    assert [each["env_vars"] for each in (before, after, preview)] == [{}, variable, {}]
    assert (await api.call("GET", f"/example/deployments/{before['id']}")).result["env_vars"] == {}


async def test_a_patch_leaves_what_it_does_not_name(api: Api) -> None:
    await api.create(build_config={"build_command": "make", "root_dir": "/"})
    answer = await api.call("PATCH", "/example", {"build_config": {"destination_dir": "dist"}})
    assert answer.result["build_config"]["build_command"] == "make"
    assert answer.result["build_config"]["destination_dir"] == "dist"
    assert (await api.call("PATCH", "/example", {})).result == answer.result


async def test_a_new_production_branch_counts_for_later_deploys(api: Api) -> None:
    await api.create()
    await api.call("PATCH", "/example", {"production_branch": "trunk"})
    assert (await api.deploy(FILES, branch="trunk"))["environment"] == "production"
    assert (await api.deploy(FILES, branch="main"))["environment"] == "preview"


async def test_a_project_keeps_its_name(api: Api) -> None:
    await api.create()
    assert (await api.call("PATCH", "/example", {"name": "example"})).status == 200
    assert (await api.call("PATCH", "/example", {"name": "other"})).status == 400


async def test_a_git_source_is_refused_with_the_reason(api: Api) -> None:
    answer = await api.call("POST", "", {"name": "example", "source": {"type": "github", "config": {}}})
    assert (answer.status, "upload" in answer.message) == (400, True)


async def test_purging_the_build_cache_succeeds(api: Api) -> None:
    await api.create()
    assert (await api.call("POST", "/example/purge_build_cache")).envelope["success"]


async def test_users_ask_7_a_project_with_many_deployments_is_deleted(api: Api) -> None:
    await api.create()
    first = await api.deploy(FILES)
    for _ in range(60):
        await api.call("POST", f"/example/deployments/{first['id']}/retry")
    assert (await api.call("DELETE", "/example")).envelope["success"]
    assert api.hosts() == 0
