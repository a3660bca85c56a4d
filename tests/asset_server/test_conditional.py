import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.conditional import is_range_current, is_unmodified

TAG = b'"0123456789abcdef0123456789abcdef"'
OTHER = b'"other"'

opaque = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"], exclude_characters='" ')).map(
    lambda text: b'"' + text.encode("latin-1") + b'"'
)
members = st.tuples(st.booleans(), st.one_of(st.just(TAG), opaque))
separators = st.sampled_from([b",", b", ", b" ,\t", b",,", b" , ,"])


@pytest.mark.parametrize(
    "value", [TAG, b"W/" + TAG, b"*", OTHER + b", " + TAG, b"," + TAG, TAG + b",", b' W/"x",\t' + TAG, b'"a,b", ' + TAG]
)
def test_difference_1_if_none_match_takes_lists_star_and_weak_tags(value: bytes) -> None:
    assert is_unmodified([value], TAG)


@pytest.mark.parametrize(
    "value",
    [
        OTHER,
        TAG.strip(b'"'),
        b"",
        b" , ",
        TAG + b"x",
        b"w/" + TAG,
        b"W/ " + TAG,
        b"*, " + TAG,
        TAG + b" " + TAG,
        b'"open',
        b"\xa0" + TAG,
        TAG + b"\x85",
        b"**",
        OTHER + b"; " + TAG,
    ],
)
def test_what_does_not_hold_our_tag_or_is_no_list_is_no_match(value: bytes) -> None:
    assert not is_unmodified([value], TAG)


def test_field_lines_are_one_list() -> None:
    assert is_unmodified([OTHER, TAG], TAG)
    assert not is_unmodified([], TAG)


def test_if_range_takes_our_strong_tag_and_nothing_else() -> None:
    assert is_range_current([], TAG)
    assert is_range_current([TAG], TAG)
    for stale in (OTHER, b"W/" + TAG, b"Sun, 06 Nov 1994 08:49:37 GMT", b"", b"*", TAG + b"," + TAG, b"\xa0" + TAG):
        assert not is_range_current([stale], TAG)
    assert not is_range_current([TAG, TAG], TAG)


def test_hardening_38_lists_of_ten_thousand_tags() -> None:
    long = b",".join([OTHER] * 10_000)
    assert not is_unmodified([long], TAG)
    assert is_unmodified([long + b"," + TAG], TAG)
    assert not is_unmodified([b'"' * 32_768], TAG)
    assert not is_unmodified([b" " * 32_768 + b"x"], TAG)


@given(st.lists(members, min_size=1, max_size=8), separators)
@settings(max_examples=150, deadline=None)
def test_a_list_matches_if_a_member_does(listed: list[tuple[bool, bytes]], separator: bytes) -> None:
    value = separator.join((b"W/" if is_weak else b"") + tag for is_weak, tag in listed)
    assert is_unmodified([value], TAG) == any(tag == TAG for _, tag in listed)


@given(st.binary(max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_list_or_no_condition(value: bytes) -> None:
    assert is_unmodified([value], TAG) == (
        value.strip(b" \t") == b"*" or (TAG in value and is_unmodified([value], TAG))
    )
    is_range_current([value], TAG)
