"""The asset calls: pages-api 3.3 and the traps of its first section."""

import asyncio
import errno
from base64 import b64encode
from pathlib import Path

import pytest

from asset_server.blobs import BlobStore
from asset_server.durable import StoreFull
from tests.control_plane.client import Api, FakeTime, hashes_of

CHECK, UPLOAD, UPSERT = (f"/pages/assets/{name}" for name in ("check-missing", "upload", "upsert-hashes"))
FILES = {"/hello.txt": b"hello\n", "/noext": b"hello\n", "/index.html": b"<h1>hi</h1>\n", "/.hidden": b"x"}


def asset(key: str, content: bytes, content_type: str = "text/plain") -> dict[str, object]:
    return {"key": key, "value": b64encode(content).decode(), "metadata": {"contentType": content_type}, "base64": True}


async def begun(api: Api) -> str:
    await api.create()
    return await api.upload_token()


async def test_pages_api_6_5_check_missing_answers_with_a_list_of_what_was_never_uploaded(api: Api) -> None:
    jwt = await begun(api)
    keys = list(hashes_of(FILES).values())
    assert (await api.call("POST", CHECK, {"hashes": [*keys, keys[0]]}, token=jwt)).result == keys
    assert (await api.call("POST", CHECK, {"hashes": []}, token=jwt)).result == []


async def test_pages_api_6_5_20_000_hashes_pass_and_more_are_refused(api: Api) -> None:
    jwt = await begun(api)
    hashes = [f"{number:032x}" for number in range(20_001)]
    assert len((await api.call("POST", CHECK, {"hashes": hashes[1:]}, token=jwt)).result) == 20_000
    assert (await api.call("POST", CHECK, {"hashes": hashes}, token=jwt)).status == 400


async def test_pages_api_6_6_upload_is_idempotent_and_safe_in_parallel_and_with_duplicates(api: Api) -> None:
    jwt = await begun(api)
    uploads = [asset(key, FILES[path]) for path, key in hashes_of(FILES).items()]
    answers = await asyncio.gather(*(api.call("POST", UPLOAD, uploads * 2, token=jwt) for _ in range(3)))
    assert {answer.status for answer in answers} == {200}
    assert (await api.call("POST", CHECK, {"hashes": list(hashes_of(FILES).values())}, token=jwt)).result == []


async def test_pages_api_6_7_upsert_hashes_succeeds_when_all_are_stored_and_says_what_is_missing(api: Api) -> None:
    jwt = await begun(api)
    await api.upload(FILES, jwt)
    keys = list(hashes_of(FILES).values())
    assert (await api.call("POST", UPSERT, {"hashes": keys}, token=jwt)).result is None
    answer = await api.call("POST", UPSERT, {"hashes": [*keys, "0" * 32]}, token=jwt)
    assert (answer.status, "0" * 32 in answer.message) == (400, True)


async def test_pages_api_6_14_a_second_deploy_has_nothing_to_upload(api: Api) -> None:
    await api.create()
    await api.deploy(FILES)
    jwt = await api.upload_token()
    assert (await api.call("POST", CHECK, {"hashes": list(hashes_of(FILES).values())}, token=jwt)).result == []


async def test_text_may_come_without_base64(api: Api) -> None:
    jwt = await begun(api)
    key = hashes_of({"/a.txt": "é".encode()})["/a.txt"]
    upload = [{"key": key, "value": "é", "metadata": {"contentType": "text/plain"}}]
    assert (await api.call("POST", UPLOAD, upload, token=jwt)).status == 200
    assert (await api.post({"/a.txt": "é".encode()})).status == 200


@pytest.mark.parametrize(
    "uploads",
    [
        [asset("0" * 31, b"")],
        [asset("0" * 32, b"") | {"value": "!"}],
        [asset("0" * 32, b"") | {"value": "YQ"}],
        [asset("0" * 32, b"") | {"value": 7}],
        [asset("0" * 32, b"") | {"key": None}],
        [asset("../" + "0" * 29, b"")],
        [asset("0" * 32, b"") | {"metadata": []}],
        [asset("0" * 32, b"") | {"metadata": {"contentType": 7}}],
        ["x"],
        {},
        None,
    ],
)
async def test_an_upload_that_cannot_be_read_is_refused_for_good(api: Api, uploads: object) -> None:
    """With no code that would make wrangler try for ever (8000013) or exit as if all were well."""
    answer = await api.call("POST", UPLOAD, uploads, token=await begun(api))
    assert answer.status == 400
    assert answer.code != 8000013
    assert answer.code % 256 != 0


async def test_pages_10_row_2_a_file_over_25_mib_is_refused(api: Api) -> None:
    answer = await api.call("POST", UPLOAD, [asset("0" * 32, bytes(26_214_401))], token=await begun(api))
    assert (answer.status, "26214400" in answer.message) == (400, True)


async def test_pages_api_6_1_a_body_of_wranglers_largest_bucket_is_taken(api: Api) -> None:
    jwt = await begun(api)
    files = {"/a.bin": bytes(24 * 1024 * 1024), "/b.bin": b"\1" * (16 * 1024 * 1024)}
    uploads = [asset(key, files[path], "application/octet-stream") for path, key in hashes_of(files).items()]
    assert (await api.call("POST", UPLOAD, uploads, token=jwt)).status == 200


async def test_an_expired_upload_token_says_8000013_and_a_fresh_one_helps(api: Api, time: FakeTime) -> None:
    jwt = await begun(api)
    time.now_s += 3 * 60 * 60
    answer = await api.call("POST", CHECK, {"hashes": []}, token=jwt)
    assert (answer.status, answer.code) == (401, 8000013)
    assert (await api.call("POST", CHECK, {"hashes": []}, token=await api.upload_token())).status == 200


async def test_endless_loop_trap_a_deleted_projects_token_says_so_and_not_8000013(api: Api) -> None:
    jwt = await begun(api)
    await api.call("DELETE", "/example")
    assert (await api.call("POST", UPLOAD, [], token=jwt)).code == 8000007


async def test_bytes_that_no_extension_proves_are_their_uploaders_alone(api: Api) -> None:
    """Wrong bytes under a known hash must not become another site's file."""
    files = {"/app.js": b"right"}
    key = hashes_of(files)["/app.js"]
    await api.create("mallory")
    await api.create("victim")
    jwt = await api.upload_token("mallory")
    await api.call("POST", UPLOAD, [asset(key, b"wrong", "application/javascript")], token=jwt)
    victim = await api.upload_token("victim")
    assert (await api.call("POST", CHECK, {"hashes": [key]}, token=victim)).result == [key]
    assert (await api.post(files, site="mallory")).status == 400
    await api.deploy(files, site="victim")
    assert api.paths("victim.pages.test") == {"/app.js": key}


class FullBlobs(BlobStore):
    """A store on a disk that has just filled up."""

    failure: Exception = StoreFull(Path("blobs"))

    def put_many(self, *_: object, **__: object) -> None:
        raise self.failure


@pytest.mark.parametrize(
    ("failure", "status"), [(StoreFull(Path("blobs")), 507), (OSError(errno.EIO, "input/output error"), 503)]
)
async def test_hardening_60_a_full_or_failing_disk_is_told_clearly_and_retryably(
    api: Api, tmp_path: Path, failure: Exception, status: int
) -> None:
    jwt = await begun(api)
    blobs = FullBlobs(tmp_path)
    blobs.failure = failure
    api.plane.blobs = blobs
    answer = await api.call("POST", UPLOAD, [asset("0" * 32, b"")], token=jwt)
    assert answer.status == status
    assert answer.code % 256 != 0
    assert str(tmp_path) not in answer.message
