"""Hardening 29: what a proxy in front says counts when the operator has named it, and from nobody else."""

from pathlib import Path

import pytest

from tests.conftest import Serve

HOST = "site.pages.localhost"


@pytest.mark.parametrize(
    ("proxies", "location"),
    [("127.0.0.0/8,::1", "/here"), ("192.0.2.0/24", f"https://{HOST}/here"), ("", f"https://{HOST}/here")],
)
def test_29_a_scheme_is_believed_from_a_configured_proxy_only(
    serve: Serve, tmp_path: Path, proxies: str, location: str
) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("front")
    (folder / "_redirects").write_text(f"/there https://{HOST}/here\n")
    server = serve(environ={"ONEHOP_TRUSTED_PROXIES": proxies} if proxies else {})
    server.cli("deploy", str(folder), "--project", "site", "--branch", "main")
    forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test"}
    assert server.get(HOST, "/there", headers=forwarded).field("location") == location
    assert server.get(HOST, "/there").field("location") == f"https://{HOST}/here"
