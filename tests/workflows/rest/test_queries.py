"""Query strings become values or refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.errors import ValueRefused
from workflows.rest.queries import LIVE_STATUS_NAMES, parse_instance_query, parse_metrics_query, parse_status
from workflows.states import Status

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
    for parse in (parse_instance_query, lambda each: parse_metrics_query(each, now=NOW)):
        try:
            parse(query)
        except ValueRefused:
            continue


def test_newest_come_first_25_a_page_unless_asked_otherwise() -> None:
    asked = parse_instance_query({})
    assert (asked.which.direction, asked.per_page, asked.page, asked.cursor) == ("desc", 25, 1, None)
    assert parse_instance_query({"direction": "asc"}).which.direction == "asc"


def test_a_cursor_and_a_page_exclude_each_other() -> None:
    with pytest.raises(ValueRefused):
        parse_instance_query({"cursor": "x", "page": "2"})


@pytest.mark.parametrize("status", ["unknown", "Running", "done"])
def test_an_unknown_status_is_refused(status: str) -> None:
    with pytest.raises(ValueRefused):
        parse_instance_query({"status": status})


def test_only_live_states_can_be_terminated_together() -> None:
    assert parse_status("waiting", LIVE_STATUS_NAMES) is Status.WAITING
    with pytest.raises(ValueRefused):
        parse_status("complete", LIVE_STATUS_NAMES)


def test_times_are_iso_with_a_zone() -> None:
    assert parse_instance_query({"date_start": "2026-01-01T10:00:00.000Z"}).which.from_ms == NOW
    assert parse_instance_query({"date_start": "2026-01-01T11:00:00+01:00"}).which.from_ms == NOW
    for text in ("2026-01-01T10:00:00", "yesterday", "0001-01-01T00:00:00+23:59"):
        with pytest.raises(ValueRefused):
            parse_instance_query({"date_end": text})


def test_metrics_are_of_the_last_day_by_the_hour_unless_asked_otherwise() -> None:
    found = parse_metrics_query({}, now=NOW)
    assert (found.to_ms - found.from_ms, found.bucket_minutes, found.by_step) == (24 * 3_600_000, 60, False)
