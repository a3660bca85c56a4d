"""Whose request it is: never what the client says of itself."""

import ipaddress

import pytest

from router.client_address import client_address

PROXIES = (ipaddress.ip_network("127.0.0.1/32"), ipaddress.ip_network("10.0.0.0/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [b"203.0.113.9"], "192.0.2.1"),
        ("127.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", [b"198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", [b"198.51.100.7", b"203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("127.0.0.1", [b"not an address"], "127.0.0.1"),
        ("127.0.0.1", [b"10.1.2.3, 10.1.2.4"], "10.1.2.3"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("2001:db8::1", [], "2001:db8::1"),
    ],
)
def test_the_last_address_that_is_no_trusted_proxys(peer: str, forwarded: list[bytes], expected: str) -> None:
    assert client_address((peer, 1), [(b"x-forwarded-for", value) for value in forwarded], PROXIES) == expected


def test_without_trusted_proxies_only_the_peer_counts() -> None:
    assert client_address(("127.0.0.1", 1), [(b"x-forwarded-for", b"203.0.113.9")], ()) == "127.0.0.1"
    assert client_address(("::ffff:192.0.2.1", 1), [], ()) == "192.0.2.1"
    assert client_address(None, [], PROXIES) == "127.0.0.1"
