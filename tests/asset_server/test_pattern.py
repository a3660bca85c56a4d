"""pages-serving 4.4 and 5.2, differences 9 and 11, hardening 46."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.pattern import Pattern, PatternRefused, fill


def capture(source: str, subject: str) -> dict[str, str] | None:
    pattern = Pattern.parse(source)
    captured = pattern.capture(subject)
    assert pattern.matches(subject) == (captured is not None)
    return captured


@pytest.mark.parametrize(
    ("source", "subject", "captured"),
    [
        ("/x/*", "/x/", {"splat": ""}),
        ("/x/*", "/x/a/b", {"splat": "a/b"}),
        ("/x/*", "/x", None),
        ("/x/*", "/X/a", None),
        ("/*.css", "/a/b.css", {"splat": "a/b"}),
        ("/p/:a/:b", "/p/1/2", {"a": "1", "b": "2"}),
        ("/p/:a/:b", "/p/1/2/", None),
        ("/p/:a/:b", "/p/1/", None),
        ("/:a-:b", "/x-y-z", {"a": "x-y", "b": "z"}),
        ("/f.:kind", "/f.css", {"kind": "css"}),
        ("/f.:kind", "/fxcss", None),
        ("/:1a", "/:1a", {}),
        ("/:_a", "/:_a", {}),
        ("/:splat", "/one", {"splat": "one"}),
        ("/:splat", "/one/two", None),
        ("/a(b)+$", "/a(b)+$", {}),
        ("/:a_b1/x", "/v/x", {"a_b1": "v"}),
    ],
)
def test_a_pattern_takes_what_its_grammar_says(source: str, subject: str, captured: dict[str, str] | None) -> None:
    assert capture(source, subject) == captured


def test_a_name_may_be_the_beginning_of_another() -> None:
    assert capture("/:id/:idx", "/1/2") == {"id": "1", "idx": "2"}


@pytest.mark.parametrize("source", ["/*/x/*", "/:a/:a", "/*/:splat", "/:splat/*"])
def test_a_second_star_and_a_repeated_name_are_refused_with_the_reason(source: str) -> None:
    with pytest.raises(PatternRefused, match=r"\*|:a"):
        Pattern.parse(source)


def test_a_placeholder_in_the_host_stops_at_a_dot() -> None:
    assert capture("https://:sub.example.com/*", "https://a.example.com/x") == {"sub": "a", "splat": "x"}
    assert capture("https://:sub.example.com/*", "https://a.b.example.com/x") is None
    assert capture("https://example.com/:file", "https://example.com/a.b") == {"file": "a.b"}


@pytest.mark.parametrize("text", ["a$$b", "$&", "$'", "\\1", "\\g<0>", ":b"])
def test_captured_text_is_put_in_as_it_is(text: str) -> None:
    assert fill("/d/:a/:b", {"a": text, "b": "2"}) == f"/d/{text}/2"


def test_names_match_whole_and_unknown_ones_stay() -> None:
    assert fill("/:ab/:a/:abc/:other", {"a": "1", "ab": "2"}) == "/2/1/:abc/:other"


@settings(max_examples=200)
@given(st.lists(st.sampled_from([":a", ":b", "*", "x", "-", "/", ".", "(a+)+$", "%C3"]), max_size=8), st.data())
def test_a_pattern_matches_itself_filled_in(pieces: list[str], data: st.DataObject) -> None:
    source = "/" + "/".join(dict.fromkeys(pieces))
    pattern = Pattern.parse(source)
    segment = st.text("abc-%", min_size=1, max_size=5)
    values = {name: data.draw(segment) for name in pattern.names}
    subject = fill(source, values).replace("*", values.get("splat", "*"))
    captured = pattern.capture(subject)
    assert captured is not None
    assert fill(source, captured).replace("*", captured.get("splat", "*")) == subject


@pytest.mark.parametrize("source", ["/(a+)+$*b", "/:a:b:c:d:e:f:g:h:i:j*x", "/" + "a*" + "a" * 500])
def test_no_pattern_takes_more_than_linear_time_over_a_long_path(source: str) -> None:
    # A backtracking engine would not come back within a lifetime from the second of these.
    assert capture(source, "/" + "a" * 16_000) in (None, {"splat": "a" * (16_000 - 501)})
