"""Hardening 42, 54, 56: bodies within bounds, JSON read strictly."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.bodies import JSON_DEPTH_MAX, BodyBudget, parse_json, parse_large_json
from envelope.errors import BodyUnreadable, Busy

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(json_values)
def test_whatever_json_writes_is_read_back(value: object) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")) == value


def test_an_empty_body_is_none() -> None:
    assert parse_json(b"") is None
    assert parse_json(b" \r\n") is None


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"{}{}",
        b"NaN",
        b"[Infinity]",
        b"[1e999]",
        b"9" * 5_000,
        b"[01]",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf{}",
        b"'a'",
        b"[1,]",
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"[" * (JSON_DEPTH_MAX + 1) + b"]" * (JSON_DEPTH_MAX + 1),
    ],
)
def test_hardening_56_what_could_be_meant_in_two_ways_or_in_none_is_refused(body: bytes) -> None:
    with pytest.raises(BodyUnreadable):
        parse_json(body)


def test_hardening_56_the_deepest_json_that_is_read() -> None:
    parse_json(b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX)


@given(st.binary(max_size=60))
def test_hardening_56_any_bytes_are_read_or_refused(body: bytes) -> None:
    for parse in (parse_json, parse_large_json):
        try:
            parse(body)
        except BodyUnreadable:
            continue


def test_hardening_56_a_number_past_64_bits_is_read_as_one_that_can_be_stored() -> None:
    assert parse_json(b"[99999999999999999999999]") == [1e23]


def test_hardening_42_the_budget_refuses_what_would_exceed_it_and_recovers() -> None:
    budget = BodyBudget(bytes_max=10)
    with budget.holding() as first:
        first.add(6)
        with budget.holding() as second, pytest.raises(Busy):
            second.add(5)
        with budget.holding() as third:
            third.add(4)
    assert budget.held_bytes == 0
