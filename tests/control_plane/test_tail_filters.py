"""Which events a tail gets."""

from typing import Any

import pytest

from control_plane.errors import ValueRefused
from control_plane.tail_filters import parse_filters, passes

EVENT = {
    "outcome": "ok",
    "logs": [{"message": ["hello", {"a": 1}]}],
    "event": {"request": {"method": "GET", "headers": {"X-Key": "value", "cf-connecting-ip": "192.0.2.1"}}},
}


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], True),
        ([{"sampling_rate": 0.5}], True),
        ([{"sampling_rate": 0.1}], False),
        ([{"outcome": ["ok"]}], True),
        ([{"outcome": ["exception", "exceededCpu"]}], False),
        ([{"method": ["POST"]}], False),
        ([{"header": {"key": "x-key"}}], True),
        ([{"header": {"key": "x-key", "query": "other"}}], False),
        ([{"client_ip": ["self"]}], True),
        ([{"client_ip": ["192.0.2.9"]}], False),
        ([{"query": "hello"}], True),
        ([{"query": "absent"}], False),
        ([{"outcome": ["ok"]}, {"method": ["POST"]}], False),
    ],
)
def test_an_event_passes_when_every_filter_lets_it(wanted: list[dict[str, Any]], expected: bool) -> None:
    assert passes(EVENT, parse_filters(wanted), own_address="192.0.2.1", draw=0.3) is expected


@pytest.mark.parametrize(
    "filters", [{}, "x", [1], [{}], [{"unknown": 1}], [{"sampling_rate": True}], [{"outcome": "ok"}] * 21]
)
def test_what_is_no_filter_is_refused(filters: object) -> None:
    with pytest.raises(ValueRefused):
        parse_filters(filters)


def test_events_of_any_shape_can_be_asked_about() -> None:
    for event in ({}, {"event": None}, {"event": {"request": {"headers": None}}, "logs": None}):
        assert not passes(event, parse_filters([{"query": "x"}]), own_address="", draw=0)
