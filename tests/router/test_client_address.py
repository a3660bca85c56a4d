"""Whose request it is, past trusted proxies: never what the client says of itself."""

import ipaddress

import pytest

from router.client_address import FORWARDED_MAX, client_address

PROXIES = tuple(ipaddress.ip_network(each) for each in ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", [b"203.0.113.9"], "192.0.2.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", [b"198.51.100.7, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", [b"198.51.100.7", b"203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("10.0.0.1", [b"198.51.100.1", b"10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", [b"2001:DB8::1"], "2001:db8::1"),
        ("10.0.0.1", [b"::ffff:198.51.100.1"], "198.51.100.1"),
        ("fd00::1", [b"198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", [b"not an address"], "127.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"fe80::1%\xe9"], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("127.0.0.1", [b"10.1.2.3, 10.1.2.4"], "10.1.2.3"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("2001:db8::1", [], "2001:db8::1"),
        ("", [b"198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxys(
    peer: str, forwarded: list[bytes], expected: str
) -> None:
    assert client_address((peer, 1), [(b"x-forwarded-for", value) for value in forwarded], PROXIES) == expected


def test_without_trusted_proxies_only_the_peer_counts() -> None:
    assert client_address(("127.0.0.1", 1), [(b"x-forwarded-for", b"203.0.113.9")], ()) == "127.0.0.1"
    assert client_address(("::ffff:192.0.2.1", 1), [], ()) == "192.0.2.1"
    assert client_address(None, [], PROXIES) == "127.0.0.1"


def test_a_long_list_is_read_from_its_end_and_not_all_of_it() -> None:
    forwarded = b"198.51.100.1" + b", 10.0.0.2" * FORWARDED_MAX
    assert client_address(("10.0.0.1", 1), [(b"x-forwarded-for", forwarded)], PROXIES) == "10.0.0.2"
