"""Workflows' hostile input: whatever comes in, the answer is an envelope, and never a failure of ours."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workflows.rest.client import Api, mounted
from workflows import Limits
from workflows.desk import Desk
from workflows.rest.app import WorkflowsApi

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


async def test_more_creations_than_there_may_be_are_asked_to_wait(tmp_path: Path) -> None:
    limited = WorkflowsApi(Desk(tmp_path / "workflows.db", limits=Limits(queued_max=1)))
    async with mounted(limited) as api:
        await api.call("PUT", "/w", {"script_name": "s", "class_name": "C"})
        await api.start("w")
        refused = await api.call("POST", "/w/instances", {})
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (429, 10429, "10")
    await limited.close()
