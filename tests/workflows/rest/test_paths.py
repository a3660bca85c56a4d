"""Workflows 63, and every path that the CLI was seen to ask for."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envelope.errors import ApiError, MethodRefused, UnknownRoute
from workflows.rest.paths import Action, Target, find_target

CRON_ID = "*/30 * * * *-1786001400000"


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", b"", Target(Action.LIST_WORKFLOWS)),
        ("GET", b"/", Target(Action.LIST_WORKFLOWS)),
        ("HEAD", b"", Target(Action.LIST_WORKFLOWS)),
        ("GET", b"/shop", Target(Action.SHOW_WORKFLOW, "shop")),
        ("PUT", b"/shop", Target(Action.PUT_WORKFLOW, "shop")),
        ("DELETE", b"/shop", Target(Action.DELETE_WORKFLOW, "shop")),
        ("GET", b"/shop/versions", Target(Action.LIST_VERSIONS, "shop")),
        ("GET", b"/shop/versions/v-1", Target(Action.SHOW_VERSION, "shop", version="v-1")),
        ("GET", b"/shop/metrics", Target(Action.SHOW_METRICS, "shop")),
        ("GET", b"/shop/instances", Target(Action.LIST_INSTANCES, "shop")),
        ("GET", b"/shop/instances/", Target(Action.LIST_INSTANCES, "shop")),
        ("POST", b"/shop/instances", Target(Action.CREATE_INSTANCE, "shop")),
        ("POST", b"/shop/instances/batch", Target(Action.CREATE_BATCH, "shop")),
        ("POST", b"/shop/instances/batch/delete", Target(Action.DELETE_BATCH, "shop")),
        ("PUT", b"/shop/instances/terminate", Target(Action.TERMINATE_ALL, "shop")),
        ("GET", b"/shop/instances/my-1", Target(Action.SHOW_INSTANCE, "shop", "my-1")),
        ("GET", b"/shop/instances/batch", Target(Action.SHOW_INSTANCE, "shop", "batch")),
        ("PATCH", b"/shop/instances/my-1/status", Target(Action.CHANGE_STATUS, "shop", "my-1")),
        ("POST", b"/shop/instances/my-1", Target(Action.CREATE_NAMED_INSTANCE, "shop", "my-1")),
        ("POST", b"/shop/instances/my-1/events/go", Target(Action.SEND_EVENT, "shop", "my-1", "go")),
        ("GET", b"/shop/instances/my-1/subscribe", Target(Action.SUBSCRIBE, "shop", "my-1")),
        ("GET", b"/shop/instances/my-1/log", Target(Action.SHOW_LOG, "shop", "my-1")),
        ("DELETE", b"/shop/instances/my-1", Target(Action.DELETE_INSTANCE, "shop", "my-1")),
    ],
)
def test_each_path_is_one_thing(method: str, path: bytes, target: Target) -> None:
    assert find_target(method, path) == target


def unescaped(text: str) -> bytes:
    """As a URL parser leaves it: spaces escaped, slashes and stars not."""
    return text.replace(" ", "%20").encode()


@pytest.mark.parametrize(
    ("method", "ending", "target"),
    [
        ("GET", "", Target(Action.SHOW_INSTANCE, "shop", CRON_ID)),
        ("GET", "/subscribe", Target(Action.SUBSCRIBE, "shop", CRON_ID)),
        ("PATCH", "/status", Target(Action.CHANGE_STATUS, "shop", CRON_ID)),
        ("POST", "/events/a/b", Target(Action.SEND_EVENT, "shop", CRON_ID, "a/b")),
        ("POST", "/events/two words", Target(Action.SEND_EVENT, "shop", CRON_ID, "two words")),
    ],
)
def test_row_63_ids_and_types_with_slashes_and_spaces_are_found(method: str, ending: str, target: Target) -> None:
    assert find_target(method, b"/shop/instances/" + unescaped(CRON_ID + ending)) == target
    assert find_target(method, b"/shop/instances/" + quote(CRON_ID, safe="").encode() + unescaped(ending)) == target


def test_row_63_an_id_cut_at_its_hash_changes_nothing() -> None:
    with pytest.raises(MethodRefused):
        find_target("PATCH", b"/shop/instances/0%200%20*%20*%20MON")


def test_percent_signs_are_decoded_once() -> None:
    assert find_target("GET", b"/shop/instances/a%252Fb").instance == "a%2Fb"


@pytest.mark.parametrize("path", [b"/shop/else", b"/shop/instances/%ff", b"//instances", b"/shop/versions/%ff"])
def test_what_is_no_path_of_ours_is_unknown(path: bytes) -> None:
    with pytest.raises((UnknownRoute, MethodRefused)):
        find_target("POST", path)


@pytest.mark.parametrize(
    "path", [b"", b"/shop", b"/shop/versions", b"/shop/versions/1", b"/shop/metrics", b"/w/instances"]
)
def test_a_refused_method_is_told_the_methods_there_are(path: bytes) -> None:
    with pytest.raises(MethodRefused) as refused:
        find_target("PATCH", path)
    assert "GET" in refused.value.headers["allow"]


@given(st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD"]), st.binary(max_size=80))
def test_any_path_is_a_target_or_a_refusal(method: str, path: bytes) -> None:
    for whole in (path, b"/" + path, b"/w/instances/" + path, b"/w/" + path):
        try:
            find_target(method, whole)
        except ApiError as refusal:
            assert refusal.status in (404, 405)
