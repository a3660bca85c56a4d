"""Who the client is, past trusted proxies: what a split deals its arms by."""

import ipaddress
from collections.abc import Sequence

import pytest

from router.forwarded import FORWARDED_MAX, TrustedProxies

PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


def client(
    peer: str, *forwarded: str, proxies: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = PROXIES
) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return TrustedProxies(tuple(proxies)).client(peer, headers)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("fd00::1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_nearest_address_that_is_no_trusted_proxy(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert client(peer, *forwarded) == expected


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:8080", "2001:db8::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("[::ffff:c633:6401]:1", "198.51.100.1"),
        ("198.51.100.1:1234", "198.51.100.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("198.51.100.1:port", "10.0.0.1"),
        ("[198.51.100.1", "10.0.0.1"),
        ("1.2:3", "10.0.0.1"),
    ],
)
def test_one_address_is_one_client_however_proxies_spell_it(spelling: str, expected: str) -> None:
    assert client("10.0.0.1", spelling) == client("::ffff:10.0.0.1", spelling).replace("::ffff:", "") == expected
    assert client("::ffff:192.0.2.1") == "192.0.2.1"


def test_without_trusted_proxies_nobody_may_say_who_the_client_is() -> None:
    assert client("10.0.0.1", "198.51.100.1", proxies=()) == "10.0.0.1"


def test_a_long_list_is_read_from_its_end_and_not_all_of_it() -> None:
    assert client("10.0.0.1", "198.51.100.1" + ", 10.0.0.2" * FORWARDED_MAX) == "10.0.0.2"
