"""Pages' alias algorithm (pages-serving 11) with differences 13 to 15."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.branch_slug import slug_candidates
from router.hostname import Hostname


def first(branch: str) -> str:
    return next(slug_candidates(branch))


def hash_of(branch: str) -> str:
    return sha256(branch.encode()).hexdigest()[:6]


def test_a_short_branch_is_its_own_slug() -> None:
    assert first("dev") == "dev"


def test_pages_11_row_4_case_is_lowered_and_every_other_character_becomes_a_dash() -> None:
    assert first("Feature/New_Thing.2") == "feature-new-thing-2"


def test_pages_11_row_4_dashes_at_the_ends_go_and_runs_within_stay() -> None:
    assert first("--a//b--") == "a--b"


@pytest.mark.pages("11 row 5")
def test_difference_13_a_long_branch_is_cut_to_21_and_ends_in_its_hash() -> None:
    branch = "janpio-driver/adapters-tracing-and-metrics"
    assert first(branch) == f"janpio-driver-adapter-{hash_of(branch)}"


def test_difference_13_28_characters_are_not_cut_and_29_are() -> None:
    assert first("a" * 28) == "a" * 28
    assert first("a" * 29) == f"{'a' * 21}-{hash_of('a' * 29)}"


def test_difference_13_long_branches_with_the_same_beginning_differ() -> None:
    assert first("renovate/" + "x" * 40 + "-1") != first("renovate/" + "x" * 40 + "-2")


def test_difference_14_a_branch_like_a_short_id_gets_the_hash() -> None:
    assert first("deadbeef") == f"deadbeef-{hash_of('deadbeef')}"
    assert first("DEAD/BEE") == "dead-bee"


def test_difference_15_the_second_choice_ends_in_the_hash() -> None:
    choices = list(slug_candidates("feature.x"))
    assert choices[:2] == ["feature-x", f"feature-x-{hash_of('feature.x')}"]


def test_a_branch_without_any_letter_is_told_before_the_build_too() -> None:
    assert first("///") == "branch-" + sha256(b"///").hexdigest()[:10]
    assert first("///") == first("///") != first("//")


def test_difference_15b_a_slug_never_begins_with_the_prefix_that_dns_reserves() -> None:
    assert first("xn--caf-dma") == f"xn-caf-dma-{hash_of('xn--caf-dma')}"
    assert first("xn--") == "xn"


@given(st.text(max_size=80))
def test_every_choice_is_a_host_label_within_28_characters_and_no_short_id(branch: str) -> None:
    choices = list(slug_candidates(branch))
    assert len(choices) == len(set(choices)) >= 2
    for slug in choices:
        assert 1 <= len(slug) <= 28
        assert re.fullmatch(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", slug)
        assert not re.fullmatch(r"[0-9a-f]{8}", slug)
        assert Hostname.parse(slug.encode()).name == slug
