"""The deployments of a project: what a form may hold, what comes of it, lists and logs."""

import json

import pytest

from asset_server.blobs import asset_key
from control_plane.deploy_form import DeployForm
from control_plane.errors import ApiError
from tests.control_plane.client import BOUNDARY, Api, form_of, hashes_of

FILES = {"/index.html": b"<h1>hi</h1>\n", "/a.js": b"1"}
WORKER = (
    b'------inner\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{"main_module":"w.js"}\r\n'
    b'------inner\r\nContent-Disposition: form-data; name="w.js"; filename="w.js"\r\n'
    b"Content-Type: application/javascript+module\r\n\r\nexport default {}\r\n------inner--\r\n"
)
STAGES = ["queued", "initialize", "clone_repo", "build", "deploy"]


async def test_pages_api_6_10_a_posted_deployment_is_done(api: Api) -> None:
    await api.create()
    posted = await api.deploy(FILES)
    polled = (await api.call("GET", f"/example/deployments/{posted['id']}")).result
    assert polled == posted
    assert (polled["latest_stage"]["name"], polled["latest_stage"]["status"]) == ("deploy", "success")
    assert [stage["name"] for stage in polled["stages"]] == STAGES


async def test_its_url_has_the_first_eight_digits_of_its_id(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES)
    assert deployment["short_id"] == deployment["id"][:8]
    assert deployment["url"] == f"http://{deployment['short_id']}.example.pages.test:8787"


async def test_a_deployment_is_found_by_uuid_and_by_plain_digits(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES)
    for spelled in (deployment["id"], deployment["id"].replace("-", ""), deployment["id"].upper()):
        assert (await api.call("GET", f"/example/deployments/{spelled}")).result["id"] == deployment["id"]
    for absent in ("0" * 32, "x", deployment["short_id"], "%00", "é"):
        assert (await api.call("GET", f"/example/deployments/{absent}")).code == 8000009


async def test_what_git_said_comes_back(api: Api) -> None:
    await api.create()
    parts = {"branch": "feat/ü", "commit_hash": "abc", "commit_message": "a\nb", "commit_dirty": "true"}
    deployment = await api.deploy(FILES, **parts)
    assert deployment["deployment_trigger"]["metadata"] == {**parts, "commit_dirty": True}


async def test_pages_api_6_11_the_list_is_newest_first_with_string_hashes_and_filtered_by_environment(api: Api) -> None:
    await api.create()
    ids = [(await api.deploy(FILES, **({"branch": branch} if branch else {})))["id"] for branch in ("", "dev", "main")]
    listed = (await api.call("GET", "/example/deployments?")).result
    assert [each["id"] for each in listed] == ids[::-1]
    assert all(isinstance(each["deployment_trigger"]["metadata"]["commit_hash"], str) for each in listed)
    for environment, wanted in (("preview", [ids[1]]), ("production", [ids[2], ids[0]]), ("", ids[::-1])):
        answer = await api.call("GET", f"/example/deployments?env={environment}")
        assert [each["id"] for each in answer.result] == wanted
        assert answer.envelope["result_info"]["total_count"] == len(wanted)
    assert (await api.call("GET", "/example/deployments?env=staging")).status == 400
    assert [each["id"] for each in (await api.call("GET", "/example/deployments?page=2&per_page=2")).result] == ids[:1]


async def test_pages_api_6_10_a_log_is_as_long_as_it_says_and_never_empty(api: Api) -> None:
    await api.create()
    deployment = await api.deploy({})
    log = (await api.call("GET", f"/example/deployments/{deployment['id']}/history/logs?size=10000000")).result
    assert log["total"] == len(log["data"]) >= 1
    assert all(line.keys() == {"ts", "line"} for line in log["data"])


async def test_an_empty_site_is_a_site(api: Api) -> None:
    await api.create()
    await api.deploy({})
    assert api.route("example.pages.test") is not None


@pytest.mark.pages("10 row 11")
async def test_pages_1_row_8_paths_keep_their_case_and_characters(api: Api) -> None:
    await api.create()
    files = {"/naïve file %20#?.txt": b"1", "/A.TXT": b"2", "/a.txt": b"3", "/.well-known/x": b"4"}
    await api.deploy(files)
    assert api.paths("example.pages.test") == hashes_of(files)


async def test_users_ask_32_the_files_of_a_deployment_are_listed(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES)
    listed = (await api.call("GET", f"/onehop/v1/sites/example/deployments/{deployment['id']}/files")).result
    assert [each["path"] for each in listed] == ["/a.js", "/index.html"]
    assert listed[1] == {
        "path": "/index.html",
        "hash": asset_key(FILES["/index.html"], "html"),
        "size_bytes": 12,
        "content_type": "text/html; charset=utf-8",
    }


async def test_pages_api_6_8_unknown_parts_are_passed_over(api: Api) -> None:
    await api.create()
    assert (await api.deploy(FILES, something_new="x"))["environment"] == "production"


async def test_pages_api_6_8_without_a_manifest_8000096(api: Api) -> None:
    await api.create()
    answer = await api.call(
        "POST",
        "/example/deployments",
        content=form_of({"branch": "main"}),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    assert (answer.status, answer.code) == (400, 8000096)


async def test_pages_api_6_8_a_hash_that_is_not_stored_stops_the_deploy_and_is_named(api: Api) -> None:
    await api.create()
    answer = await api.post(FILES)
    assert (answer.status, hashes_of(FILES)["/a.js"] in answer.message, api.hosts()) == (400, True, 0)
    assert (await api.call("GET", "/example/deployments")).result == []


@pytest.mark.parametrize(
    "path",
    ["/../x", "/a/../b", "/./a", "a", "", "/a//b", "/a\\b", "C:\\a", "/a\0b", "/a\nb", "/" + "x" * 5_000,
     "/_headers", "/_redirects", "/_routes.json", "/_worker.js", "/_worker.js/index.js"],
)  # fmt: skip
async def test_hardening_43_45_a_path_that_is_no_files_is_refused_by_name(api: Api, path: str) -> None:
    await api.create()
    await api.upload({"/x": b"1"}, await api.upload_token())
    answer = await api.call(
        "POST",
        "/example/deployments",
        content=form_of({"manifest": json.dumps({path: hashes_of({"/x": b"1"})["/x"]})}),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    assert (answer.status, repr(path)[1:20] in answer.message, api.hosts()) == (400, True, 0)


async def test_hardening_43_difference_28_one_name_in_two_unicode_forms_is_refused_with_both_named(api: Api) -> None:
    await api.create()
    files = {"/é.html": b"1", "/e\u0301.html": b"2"}
    await api.upload(files, await api.upload_token())
    answer = await api.call(
        "POST",
        "/example/deployments",
        content=form_of({"manifest": json.dumps(hashes_of(files))}),
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
    )
    assert (answer.status, api.hosts()) == (400, 0)
    assert "'/\\xe9.html' and '/e\\u0301.html'" in answer.message


@pytest.mark.parametrize(
    "manifest",
    [
        "", "[]", "1", '{"/a":1}', '{"/a":"x"}', '{"/a":null}', '{"/a":{}}',
        f'{{"/a":"{"0" * 32}","/a":"{"1" * 32}"}}',
        f'{{"/a":"{"A" * 32}"}}',
        "{" + ",".join(f'"/{n}":"{n:032x}"' for n in range(20_001)) + "}",
    ],
)  # fmt: skip
def test_a_manifest_of_another_shape_is_refused(manifest: str) -> None:
    with pytest.raises(ApiError) as refused:
        DeployForm.parse({"manifest": manifest.encode()})
    assert refused.value.status == 400


async def test_pages_4_8_bad_rule_lines_are_in_the_log_and_the_deploy_succeeds(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES, _redirects="/old /new 999\n/a /b\n", _headers="/x\n  no colon here\n")
    log = (await api.call("GET", f"/example/deployments/{deployment['id']}/history/logs")).result["data"]
    lines = [each["line"] for each in log]
    assert any(line.startswith("_redirects line 1:") for line in lines)
    assert any(line.startswith("_headers line 2:") for line in lines)


async def test_a_rule_file_in_no_encoding_is_read_as_far_as_it_goes(api: Api) -> None:
    await api.create()
    assert (await api.deploy(FILES, _redirects=b"\xff\xfe\0/a /b\n"))["id"]


async def test_pages_9_row_5_a_static_deploy_with_routes_json_says_that_it_is_not_used(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES, _routes__dot__json="{}")
    log = (await api.call("GET", f"/example/deployments/{deployment['id']}/history/logs")).result["data"]
    assert any("_routes.json" in each["line"] for each in log)


async def test_a_worker_bundle_is_stored_and_its_route_names_it(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES, _worker__dot__bundle=WORKER)
    route = api.route("example.pages.test")
    assert route is not None
    assert route.function is not None
    assert deployment["uses_functions"] is True
    assert list(api.plane.bundles.ids()) == [route.function]


async def test_a_single_worker_module_is_as_good_as_a_bundle(api: Api) -> None:
    await api.create()
    assert (await api.deploy(FILES, _worker__dot__js="export default {}"))["uses_functions"]


@pytest.mark.parametrize(
    "parts",
    [
        {"_worker__dot__bundle": "not a form"},
        {"_worker__dot__bundle": WORKER, "_worker__dot__js": "export default {}"},
        {"_worker__dot__bundle": WORKER, "_routes__dot__json": "{"},
        {"_worker__dot__bundle": WORKER, "_routes__dot__json": '{"version":2,"include":["/*"],"exclude":[]}'},
        {"_worker__dot__bundle": b"x" * (25 * 1024 * 1024 + 1)},
    ],
)
async def test_a_function_that_cannot_be_taken_stops_the_deploy(api: Api, parts: dict[str, bytes | str]) -> None:
    await api.create()
    await api.upload(FILES, await api.upload_token())
    answer = await api.post(FILES, **parts)
    assert (answer.status, answer.code, api.hosts()) == (400, 8000099, 0)


@pytest.mark.parametrize(
    "parts",
    [
        {"branch": b"\xff"},
        {"branch": "x" * 256},
        {"commit_hash": "x" * 129},
        {"onehop_order": "0"},
        {"onehop_order": "+1"},
        {"onehop_order": "1" * 20},
    ],
)
async def test_a_part_out_of_range_is_refused(api: Api, parts: dict[str, bytes | str]) -> None:
    await api.create()
    await api.upload(FILES, await api.upload_token())
    answer = await api.post(FILES, **parts)
    assert (answer.status, answer.code) == (400, 8000003)


async def test_half_a_character_at_the_end_of_a_cut_message_is_no_fault(api: Api) -> None:
    await api.create()
    deployment = await api.deploy(FILES, commit_message="é".encode()[:1])
    assert deployment["deployment_trigger"]["metadata"]["commit_message"] == "\ufffd"
