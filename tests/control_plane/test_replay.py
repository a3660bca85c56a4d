"""Recorded requests of wrangler 4.86.0, sent again byte for byte; what it read of each answer must be there.

`members` are those of the answer that satisfied it when it was recorded. The function's source was cut in the
recording, and its end is made up.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.control_plane.client import Api

RECORDED = Path(__file__).parent / "recorded"
WANTED_PATHS = {
    "static": ["/.hidden", "/app.js", "/data.json", "/empty.txt", "/hello.txt", "/index.html", "/noext", "/sub/a.css",
               "/x.unknownext"],
    "functions": ["/index.html"],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WANTED_PATHS))
async def test_a_recorded_deploy_goes_through_and_is_live(api: Api, name: str) -> None:
    exchanges = json.loads((RECORDED / f"pages-deploy-{name}.json").read_text("utf-8"))["exchanges"]
    await api.create()
    jwt = deployment = ""
    for exchange in exchanges:
        path = exchange["path"]
        if path.rsplit("/", 1)[0].endswith("/deployments"):
            path = f"{path.rsplit('/', 1)[0]}/{deployment}"
        answer = await api.call(
            exchange["method"],
            "/client/v4" + path,
            content=as_sent(exchange["body"]),
            token=jwt if path.startswith("/pages/assets/") else None,
            headers={"content-type": exchange["content_type"]} if exchange["content_type"] else None,
        )
        assert answer.status == 200, answer.envelope
        if exchange["members"] is not None:
            assert set(exchange["members"]) <= answer.result.keys()
        if path.endswith("/upload-token"):
            jwt = answer.result["jwt"]
        if path.endswith("/deployments"):
            deployment = answer.result["id"]
    assert (answer.result["latest_stage"]["name"], answer.result["latest_stage"]["status"]) == ("deploy", "success")
    assert sorted(api.paths("example.pages.test")) == WANTED_PATHS[name]
    route = api.route("example.pages.test")
    assert route is not None
    assert (route.function is not None) is (name == "functions")


def as_sent(body: Any) -> bytes | None:
    if body is None:
        return None
    return (body if isinstance(body, str) else json.dumps(body)).encode()
