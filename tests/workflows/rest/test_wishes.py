"""Bodies become values or refusals, whatever JSON they are."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.errors import ValueRefused
from workflows.rest.wishes import (
    Creation,
    Definition,
    FromStep,
    StatusChange,
    parse_batch,
    parse_creation,
    parse_definition,
    parse_deletion,
    parse_named_creation,
    parse_status_change,
)

MEMBERS = (
    "instance_id", "id", "params", "instance_retention", "status", "action", "from", "rollback", "name", "count",
    "type", "instances", "script_name", "class_name", "limits", "steps", "schedules", "cron", "success_retention",
)  # fmt: skip
members = st.sampled_from(MEMBERS)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["restart", "terminate", "pause", "do"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(json_values)
def test_any_json_is_a_wish_or_a_refusal(body: object) -> None:
    for parse in (parse_creation, parse_batch, parse_deletion, parse_status_change, parse_definition):
        try:
            parse(body)
        except ValueRefused:
            continue


def test_an_empty_creation_has_empty_params() -> None:
    assert parse_creation({}) == parse_creation(None) == Creation()
    assert Creation().params == {}


def test_a_creation_takes_both_dialects() -> None:
    assert parse_creation({"instance_id": "a", "params": [1]}) == parse_creation({"id": "a", "params": [1]})
    assert parse_creation({"params": None}).params is None


def test_a_creation_takes_retention_as_ms_or_text() -> None:
    wish = parse_creation({"instance_retention": {"success_retention": 5, "error_retention": "3 days"}})
    assert (wish.success_retention, wish.error_retention) == (5, "3 days")


def test_a_named_creation_needs_its_id_in_the_body() -> None:
    assert parse_named_creation({"id": "a", "params": 1}, named="a") == Creation("a", 1)
    for body in ({}, {"params": {}}, {"id": "b"}, [], None):
        assert parse_named_creation(body, named="a") is None


@pytest.mark.parametrize(
    ("body", "change"),
    [
        ({"status": "pause"}, StatusChange("pause")),
        ({"action": "resume"}, StatusChange("resume")),
        ({"status": "terminate", "rollback": True}, StatusChange("terminate", rollback=True)),
        ({"status": "restart", "from": {"name": "b"}}, StatusChange("restart", FromStep("b"))),
        (
            {"action": "restart", "from": {"name": "b", "count": 2, "type": "sleep"}},
            StatusChange("restart", FromStep("b", 2, "sleep")),
        ),
    ],
)
def test_a_change_of_status_takes_both_dialects(body: Any, change: StatusChange) -> None:
    assert parse_status_change(body) == change


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "stop"},
        {"status": "pause", "action": "pause"},
        {"status": "pause", "rollback": True},
        {"status": "terminate", "rollback": 1},
        {"status": "pause", "from": {"name": "b"}},
        {"status": "restart", "from": {}},
        {"status": "restart", "from": {"name": ""}},
        {"status": "restart", "from": {"name": "b", "count": 0}},
        {"status": "restart", "from": {"name": "b", "count": True}},
        {"status": "restart", "from": {"name": "b", "type": "step"}},
    ],
)
def test_a_change_of_status_that_could_be_misread_is_refused(body: Any) -> None:
    with pytest.raises(ValueRefused):
        parse_status_change(body)


@pytest.mark.parametrize("count", [0, 101])
def test_row_48_a_batch_holds_1_to_100(count: int) -> None:
    with pytest.raises(ValueRefused):
        parse_batch([{}] * count)
    with pytest.raises(ValueRefused):
        parse_deletion({"instances": ["a"] * count})


def test_a_definition_has_limits_and_schedules() -> None:
    body = {"script_name": "app", "class_name": "Shop", "limits": {"steps": 5}, "schedules": [{"cron": "0 * * * *"}]}
    assert parse_definition(body) == Definition("app", "Shop", 5, ("0 * * * *",))
    for bad in ({"schedules": []}, {"schedules": [{"cron": ""}]}, {"limits": {"steps": 25_001}}):
        with pytest.raises(ValueRefused):
            parse_definition({**body, **bad})
