"""Query strings become values or refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.errors import ValueRefused
from workflows.rest.cursor import Cursor
from workflows.rest.queries import InstanceQuery, parse_instance_query, parse_live_status, parse_metrics_query

NAMES = [
    "status",
    "search",
    "date_start",
    "date_end",
    "direction",
    "per_page",
    "page",
    "cursor",
    "bucket",
    "group_by",
    "from",
    "to",
]
NOW = 1_767_261_600_000


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=20), max_size=6))
def test_any_query_is_read_or_refused(query: dict[str, str]) -> None:
    for parse in (parse_instance_query, parse_live_status, lambda each: parse_metrics_query(each, now=NOW)):
        try:
            parse(query)
        except ValueRefused:
            continue


def test_newest_come_first_25_a_page_unless_asked_otherwise() -> None:
    assert parse_instance_query({}) == InstanceQuery(order="desc", per_page=25)


def test_a_cursor_goes_on_with_its_own_query() -> None:
    first = parse_instance_query({"status": "running", "direction": "asc", "per_page": "2"})
    second = parse_instance_query(
        {"status": "running", "direction": "asc", "per_page": "2", "cursor": first.cursor_at(5, 6)}
    )
    assert second.after == Cursor(5, 6)
    with pytest.raises(ValueRefused):
        parse_instance_query({"status": "paused", "direction": "asc", "cursor": first.cursor_at(5, 6)})


@pytest.mark.parametrize("status", ["unknown", "Running", "done"])
def test_an_unknown_status_is_refused(status: str) -> None:
    with pytest.raises(ValueRefused):
        parse_instance_query({"status": status})


def test_only_live_states_can_be_terminated_together() -> None:
    assert parse_live_status({"status": "waiting"}) == "waiting"
    with pytest.raises(ValueRefused):
        parse_live_status({"status": "complete"})


def test_times_are_iso_with_a_zone() -> None:
    assert parse_instance_query({"date_start": "2026-01-01T10:00:00.000Z"}).date_start == NOW
    assert parse_instance_query({"date_start": "2026-01-01T11:00:00+01:00"}).date_start == NOW
    for text in ("2026-01-01T10:00:00", "yesterday", "0001-01-01T00:00:00+23:59"):
        with pytest.raises(ValueRefused):
            parse_instance_query({"date_end": text})


def test_metrics_are_of_the_last_day_by_the_hour_unless_asked_otherwise() -> None:
    found = parse_metrics_query({}, now=NOW)
    assert (found.end_minute - found.start_minute, found.bucket_minutes) == (1440, 60)
    assert (found.by_event, found.by_step) == (True, False)
