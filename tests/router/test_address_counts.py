"""Connections by address: who counts as one."""

from hypothesis import given
from hypothesis import strategies as st

from router.address_counts import AddressCounts, counted_as

ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


def test_ipv6_counts_by_the_network_and_mapped_ipv4_as_itself() -> None:
    assert counted_as("2001:db8::1") == counted_as("2001:db8::ffff:2") != counted_as("2001:db8:0:1::1")
    assert counted_as("::ffff:192.0.2.1") == counted_as("192.0.2.1") == "192.0.2.1"
    assert counted_as("fe80::1%eth0") == counted_as("fe80::2")


@given(st.lists(ADDRESSES, max_size=30))
def test_nothing_is_left_when_all_are_gone(addresses: list[str]) -> None:
    counts = AddressCounts()
    for index, address in enumerate(addresses):
        same = [each for each in addresses[: index + 1] if counted_as(each) == counted_as(address)]
        assert counts.add(address) == len(same)
    for address in addresses:
        counts.remove(address)
    assert len(counts) == 0
