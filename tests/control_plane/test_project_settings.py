"""PATCH semantics (pages-api 3.9, 6.13) and what is shown of settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import ValueRefused
from control_plane.project_settings import (
    SETTINGS_BYTES_MAX,
    merge,
    patch_build_config,
    patch_deployment_configs,
    shown_build_config,
    shown_deployment_configs,
)
from router.records import JsonObject

documents = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=3), documents, max_size=4)


def patched(current: JsonObject, patch: object) -> JsonObject:
    return patch_deployment_configs(current, patch, lambda name, value: f"sealed({name},{value})")


@given(objects)
def test_merging_into_nothing_gives_the_patch(patch: JsonObject) -> None:
    assert merge({}, patch) == patch


@given(objects, objects)
def test_merging_twice_changes_nothing_more(target: JsonObject, patch: JsonObject) -> None:
    once = merge(target, patch)
    assert merge(once, patch) == once


@given(objects, objects)
def test_what_a_patch_does_not_name_stays(target: JsonObject, patch: JsonObject) -> None:
    merged = merge(target, patch)
    assert all(merged[name] == value for name, value in target.items() if name not in patch)


def test_null_deletes_at_every_depth() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None}, "d": None, "e": None}) == {"a": {"c": 2}}


def test_pages_api_6_13_only_the_named_environment_is_touched() -> None:
    before = patched({}, {"preview": {"env_vars": {"A": {"value": "1"}}}})
    after = patched(before, {"production": {"env_vars": {"B": {"type": "plain_text", "value": "2"}}}})
    assert after["preview"] == before["preview"]
    assert after["production"]["env_vars"] == {"B": {"type": "plain_text", "value": "2"}}


def test_pages_api_6_13_null_deletes_a_variable_and_others_stay() -> None:
    before = patched({}, {"production": {"env_vars": {"A": {"value": "1"}, "B": {"value": "2"}}}})
    after = patched(before, {"production": {"env_vars": {"A": None}}})
    assert list(after["production"]["env_vars"]) == ["B"]


def test_pages_api_6_13_a_secret_is_sealed_and_never_shown() -> None:
    stored = patched({}, {"production": {"env_vars": {"KEY": {"type": "secret_text", "value": "hunter2"}}}})
    assert stored["production"]["env_vars"]["KEY"]["value"] == "sealed(KEY,hunter2)"
    assert shown_deployment_configs(stored)["production"]["env_vars"]["KEY"] == {"type": "secret_text", "value": ""}


def test_writing_back_what_was_shown_leaves_a_secret_as_it_is() -> None:
    stored = patched({}, {"production": {"env_vars": {"KEY": {"type": "secret_text", "value": "hunter2"}}}})
    assert (
        patched(stored, shown_deployment_configs(stored))["production"]["env_vars"] == stored["production"]["env_vars"]
    )


def test_a_secret_that_becomes_plain_shows_only_its_new_value() -> None:
    stored = patched({}, {"production": {"env_vars": {"KEY": {"type": "secret_text", "value": "hunter2"}}}})
    after = patched(stored, {"production": {"env_vars": {"KEY": {"type": "plain_text"}}}})
    assert after["production"]["env_vars"]["KEY"] == {"type": "plain_text", "value": ""}


def test_pages_api_6_3_both_environments_are_always_shown() -> None:
    shown = shown_deployment_configs({})
    assert shown.keys() == {"production", "preview"}
    assert all(config["env_vars"] == {} for config in shown.values())
    assert shown_build_config({})["destination_dir"] == ""


def test_members_without_a_meaning_here_come_back_as_they_went_in() -> None:
    stored = patched({}, {"production": {"kv_namespaces": {"KV": {"namespace_id": "1"}}}})
    assert shown_deployment_configs(stored)["production"]["kv_namespaces"] == {"KV": {"namespace_id": "1"}}


@pytest.mark.parametrize(
    "patch",
    [
        [],
        "x",
        {"staging": {}},
        {"production": 1},
        {"production": {"env_vars": []}},
        {"production": {"env_vars": {"A": "1"}}},
        {"production": {"env_vars": {"A": {"value": 1}}}},
        {"production": {"env_vars": {"A": {"type": "json", "value": "1"}}}},
        {"production": {"env_vars": {"A": {"type": [], "value": "1"}}}},
        {"production": {"env_vars": {"1A": {"value": "1"}}}},
        {"production": {"env_vars": {"": {"value": "1"}}}},
        {"production": {"compatibility_date": "soon"}},
        {"production": {"compatibility_date": 20260101}},
        {"production": {"compatibility_flags": "nodejs_compat"}},
        {"production": {"compatibility_flags": [1]}},
        {"production": {"env_vars": {"A": {"value": "x" * SETTINGS_BYTES_MAX}}}},
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(patch: object) -> None:
    with pytest.raises(ValueRefused):
        patched({}, patch)


def test_settings_cannot_grow_past_their_limit_patch_by_patch() -> None:
    tenth = "y" * (SETTINGS_BYTES_MAX // 10)
    current: JsonObject = {}
    for number in range(9):
        current = patch_build_config(current, {f"x{number}": tenth})
    with pytest.raises(ValueRefused):
        patch_build_config(current, {"x9": tenth})
