"""Door 2: what becomes of an ASGI scope, and who may say which scheme the client used (hardening 29)."""

import ipaddress
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from router.app import EdgeApp
from router.forwarded import TrustedProxies
from tests.router.edge_builder import BuiltEdge, built_edge

HOST = "a.pages.test"
TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
REDIRECTS = f"/there https://{HOST}/here"
"""A path of the same origin for who came by https, another origin for who came by http."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BuiltEdge]:
    with built_edge(tmp_path) as edge:
        edge.publish(HOST, {"/index.html": b"front", "/big.bin": bytes(1_000_000)}, redirects=REDIRECTS)
        yield edge


async def ask(
    site: BuiltEdge,
    target: bytes,
    *,
    peer: str | None = "192.0.2.1",
    trusted: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = TRUSTED,
    **headers: str,
) -> tuple[int, dict[bytes, bytes], list[bytes]]:
    """Status, headers, and the body as it was sent, part by part."""
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("the body of a request for assets is not read")

    path, _, query = target.partition(b"?")
    fields = [(b"host", HOST.encode()), *((k.replace("_", "-").encode(), v.encode()) for k, v in headers.items())]
    scope = {
        "type": "http", "method": "GET", "raw_path": path, "query_string": query, "scheme": "http", "headers": fields,
        "client": None if peer is None else (peer, 4711),
    }  # fmt: skip
    await EdgeApp(site.edge, proxies=TrustedProxies(tuple(trusted)))(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), [message["body"] for message in sent[1:]]


async def location(site: BuiltEdge, **asked: Any) -> bytes:
    status, headers, _ = await ask(site, b"/there", **asked)
    assert status == 302
    return headers[b"location"]


@pytest.mark.parametrize("peer", ["10.1.2.3", "fd00::1"])
async def test_hardening_29_a_configured_proxy_says_which_scheme_the_client_used(site: BuiltEdge, peer: str) -> None:
    assert await location(site, peer=peer, x_forwarded_proto="https") == b"/here"
    assert await location(site, peer=peer, x_forwarded_proto="http") == f"https://{HOST}/here".encode()
    assert await location(site, peer=peer) == f"https://{HOST}/here".encode()


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "::1", None])
async def test_hardening_29_from_anyone_else_it_means_nothing(site: BuiltEdge, peer: str | None) -> None:
    assert await location(site, peer=peer, x_forwarded_proto="https") == f"https://{HOST}/here".encode()
    assert await location(site, peer=peer, trusted=[], x_forwarded_proto="https") == f"https://{HOST}/here".encode()


@pytest.mark.parametrize("value", ["https, http", "HTTPS", "ftp", "", "https:"])
async def test_hardening_29_a_scheme_that_is_none_means_nothing_from_a_proxy_either(
    site: BuiltEdge, value: str
) -> None:
    assert await location(site, peer="10.0.0.1", x_forwarded_proto=value) == f"https://{HOST}/here".encode()


async def test_hardening_29_no_proxy_names_another_host_or_path(site: BuiltEdge) -> None:
    said = {"x_forwarded_host": "b.pages.test", "forwarded": "host=b.pages.test;proto=https", "x_original_url": "/"}
    assert await location(site, peer="10.0.0.1", **said) == f"https://{HOST}/here".encode()


async def test_a_query_is_joined_to_its_path(site: BuiltEdge) -> None:
    _, headers, _ = await ask(site, b"/index.html?a=%20b")
    assert headers[b"location"] == b"/?a=%20b"


async def test_a_large_body_goes_out_in_parts_that_are_the_whole(site: BuiltEdge) -> None:
    status, _, parts = await ask(site, b"/big.bin")
    assert (status, len(parts) > 1, b"".join(bytes(part) for part in parts)) == (200, True, bytes(1_000_000))
