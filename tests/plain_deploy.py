"""A deploy as it goes over the wire and nothing more: no retry, no cache of answers, each step a call of its own.

Tests that break a deploy halfway need a client that doesn't repair it.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.conftest import Answer, LiveServer, exchange
from tests.parity.etags import etag_of

BOUNDARY: Final = "----plain-deploy-boundary"


class Refused(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(f"{answer.status}: {answer.body[:500]!r}")
        self.status = answer.status


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A deployment that the API has said is there."""

    id: str
    host: str


def api_call(server: LiveServer, method: str, path: str, body: bytes = b"", *, token: str, content_type: str) -> Any:
    fields = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
    answer = exchange(server.api_port, method, f"/client/v4{path}", fields, body if method == "POST" else None)
    document = json.loads(answer.body)
    if not document["success"]:
        raise Refused(answer)
    return document["result"]


def key_of(path: str, content: bytes) -> str:
    return etag_of(path, content).strip('"')


def plain_deploy(
    server: LiveServer, site: str, files: Mapping[str, bytes], *, branch: str = "main", token: str | None = None
) -> Acknowledged:
    """Raises Refused, or OSError when the server is gone. The site exists already."""
    api_token = token or server.token
    project = f"/accounts/{account_of(server)}/pages/projects/{site}"
    json_type = "application/json"
    jwt = api_call(server, "GET", f"{project}/upload-token", token=api_token, content_type=json_type)["jwt"]
    keys = {f"/{path}": key_of(path, content) for path, content in files.items()}
    contents = {key_of(path, content): content for path, content in files.items()}

    def assets(step: str, body: object) -> Any:
        return api_call(
            server, "POST", f"/pages/assets/{step}", json.dumps(body).encode(), token=jwt, content_type=json_type
        )

    missing = assets("check-missing", {"hashes": list(contents)})
    if missing:
        assets("upload", [upload_item(key, contents[key]) for key in missing])
    assets("upsert-hashes", {"hashes": list(contents)})
    form = render_form({"manifest": json.dumps(keys), "branch": branch, "commit_hash": "abc"})
    form_type = f"multipart/form-data; boundary={BOUNDARY}"
    deployment = api_call(server, "POST", f"{project}/deployments", form, token=api_token, content_type=form_type)
    return Acknowledged(deployment["id"], f"{deployment['short_id']}.{site}.pages.localhost")


def account_of(server: LiveServer) -> str:
    (account,) = server.api("GET", "/accounts")["result"]
    return str(account["id"])


def create_site(server: LiveServer, site: str) -> None:
    body = {"name": site, "production_branch": "main"}
    answer = server.api("POST", f"/accounts/{account_of(server)}/pages/projects", body)
    assert answer["success"], answer


def upload_item(key: str, content: bytes) -> object:
    return {
        "key": key,
        "value": base64.b64encode(content).decode(),
        "metadata": {"contentType": "application/octet-stream"},
        "base64": True,
    }


def render_form(parts: Mapping[str, str]) -> bytes:
    lines = []
    for name, value in parts.items():
        lines += [f"--{BOUNDARY}", f'Content-Disposition: form-data; name="{name}"', "", value]
    return "\r\n".join([*lines, f"--{BOUNDARY}--", ""]).encode()
