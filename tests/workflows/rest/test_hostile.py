"""Workflows' hostile input: whatever comes in, the answer is an envelope, and never a failure of ours."""

import json
import sqlite3
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workflows.rest.client import Api, mounted
from workflows import Limits, NewInstanceOptions, open_client
from workflows.desk import Desk
from workflows.rest.app import WorkflowsApi
from workflows.store.definitions import Registration, register_workflow

NO_CREATIONS = [
    b"{", b"[]", b"1", b'"a"', b'{"instance_id":1}', b'{"instance_id":{"a":1}}', b'{"params":NaN}', b'{"params":1e999}',
    b'{"a":1,"a":2}', b'{"params":1,"params":2}', b"[" * 100_000, b'{"params":' + b"[" * 200 + b"]" * 200 + b"}",
    b'{"instance_id":"\\ud800"}', b"\xff", b'{"instance_retention":5}', b'{"instance_id":"a","id":"a"}',
    b'{"instance_retention":{"success_retention":-1}}', b'{"instance_retention":{"success_retention":"soon"}}',
    b'{"unheard":1}', b'{"instance_retention":{"success_retention":9223372036854775807}}',
    b'{"instance_retention":{"error_retention":9223372036854775808}}',
    b'{"instance_retention":{"success_retention":18446744073709551616}}',
    b'{"instance_retention":{"error_retention":"101 years"}}', b'{"instance_retention":{"error_retention":"1e300"}}',
]  # fmt: skip
DEFINED = Registration(name="w", script_name="s", class_name="C", code_hash="0")
BASES = (
    "", "/greet", "/greet/instances", "/greet/instances/a", "/greet/instances/a/status", "/greet/instances/a/events/e",
    "/greet/instances/batch", "/greet/instances/batch/delete", "/greet/instances/terminate", "/greet/versions",
    "/greet/metrics",
)  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


async def test_params_past_their_limit_are_too_large_and_make_nothing(api: Api) -> None:
    for size, status in ((2**20 - 2, 200), (2**20 + 1, 413), (3 * 2**20, 413)):
        answer = await api.call("POST", "/unused/instances", {"params": "a" * size})
        assert (size, answer.status) == (size, status)
    assert len((await api.call("GET", "/unused/instances")).result) == 1


@pytest.mark.parametrize("content", NO_CREATIONS)
async def test_hardening_56_a_body_that_is_no_creation_is_refused(api: Api, content: bytes) -> None:
    answer = await api.call("POST", "/greet/instances", content=content)
    assert 400 <= answer.status < 500, answer.envelope
    assert answer.envelope["errors"][0]["message"]
    assert (await api.call("GET", "/greet/instances")).result == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]), path=st.sampled_from(BASES),
    tail=st.text(max_size=12), body=json_values, name=st.text(max_size=8), value=st.text(max_size=12),
)  # fmt: skip
async def test_hardening_56_no_request_is_answered_by_a_failure(
    api: Api, method: str, path: str, tail: str, body: object, name: str, value: str
) -> None:
    url = f"http://localhost/workflows{path}{quote(tail, safe='/*#+@')}"
    response = await api.http.request(method, url, params={name: value}, content=json.dumps(body).encode())
    assert response.status_code < 500, response.text
    envelope = response.json()
    assert envelope["success"] is (response.status_code < 400)
    assert envelope["success"] or envelope["errors"][0]["message"]


async def test_hardening_60_nothing_of_the_store_is_told_when_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "secret-place" / "workflows.db"
    path.parent.mkdir()
    path.write_bytes(b"this was a database once" * 1000)
    broken = WorkflowsApi(Desk(path))
    async with mounted(broken) as api:
        answer = await api.call("GET", "")
        assert (answer.status, answer.code) == (500, 10001)
        assert "secret-place" not in json.dumps(answer.envelope)
        path.unlink()
        assert (await api.call("GET", "")).result == []  # mended: no restart was needed
    await broken.close()


async def test_once_a_reader_met_damage_nothing_is_written_until_another_file_lies_there(tmp_path: Path) -> None:
    path, backup = tmp_path / "workflows.db", tmp_path / "backup.db"
    async with open_client(path) as client:
        await client.writer.submit(lambda tx: register_workflow(tx, DEFINED))
        for _ in range(3):
            await client.create_batch("w", [NewInstanceOptions(params="x" * 2000)] * 100)
    whole = path.read_bytes()
    opened = WorkflowsApi(Desk(path))
    async with mounted(opened) as api:
        await api.call("GET", "")
        await api.call("POST", "/w/instances", {})
        damaged = bytearray(whole)
        for page in range(20, len(damaged) // 4096):
            damaged[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        path.write_bytes(damaged)
        met = await api.call("GET", "/w/instances", per_page="100")
        assert (met.status, met.code) == (500, 10001)
        for method, body in (("POST", {}), ("GET", None)):
            refused = await api.call(method, "/w/instances", body)
            assert (refused.status, refused.code) == (500, 10001)
            assert "can't be read" in refused.message
        for name in ("-wal", "-shm"):
            path.with_name(path.name + name).unlink(missing_ok=True)
        backup.write_bytes(whole)
        backup.replace(path)
        assert (await api.call("POST", "/w/instances", {})).status == 200
    await opened.close()


async def test_a_store_that_stays_locked_is_told_of_and_when_to_come_again(tmp_path: Path) -> None:
    opened = WorkflowsApi(Desk(tmp_path / "workflows.db"))
    async with mounted(opened) as api:
        await api.call("PUT", "/w", {"script_name": "s", "class_name": "C"})
        (await opened.desk.client()).writer.busy_timeout_ms = 20  # instead of 5 s
        other = sqlite3.connect(tmp_path / "workflows.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        refused = await api.call("POST", "/w/instances", {})
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, 10001, "5")
        other.close()
        assert (await api.call("POST", "/w/instances", {})).status == 200
    await opened.close()


async def test_more_creations_than_there_may_be_are_asked_to_wait(tmp_path: Path) -> None:
    limited = WorkflowsApi(Desk(tmp_path / "workflows.db", limits=Limits(queued_max=1)))
    async with mounted(limited) as api:
        await api.call("PUT", "/w", {"script_name": "s", "class_name": "C"})
        await api.start("w")
        refused = await api.call("POST", "/w/instances", {})
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, 10429, "10")
    await limited.close()
