"""pages-serving 4.4 and 5.2, differences 9 and 11, hardening 46."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.pattern import ABSOLUTE, NAMES_MAX, WILDCARD, Pattern, PatternRefused
from asset_server.template import fill


def capture(source: str, subject: str) -> dict[str, str] | None:
    return Pattern.parse(source).capture(subject)


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
@pytest.mark.pages(
    "4.4 row 2", "4.4 row 3", "4.4 row 4", "4.4 row 6", "4.4 row 8", "4.4 row 9", "4.4 row 12", "5.2 row 1"
)
def test_4_4_row_1_a_pattern_takes_what_its_grammar_says(
    source: str, subject: str, captured: dict[str, str] | None
) -> None:
    assert capture(source, subject) == captured


@pytest.mark.pages("12 row 22")
def test_4_4_row_7_difference_9_a_name_may_be_the_beginning_of_another() -> None:
    assert capture("/:id/:idx", "/1/2") == {"id": "1", "idx": "2"}


@pytest.mark.parametrize("source", ["/*/x/*", "/:a/:a", "/*/:splat", "/:splat/*"])
def test_4_4_row_5_difference_11_a_second_star_and_a_repeated_name_are_refused_with_the_reason(source: str) -> None:
    with pytest.raises(PatternRefused, match=r"\*|:a"):
        Pattern.parse(source)


@pytest.mark.pages("5.2 row 2")
def test_4_4_row_11_a_placeholder_in_the_host_stops_at_a_dot() -> None:
    assert capture("https://:sub.example.com/*", "https://a.example.com/x") == {"sub": "a", "splat": "x"}
    assert capture("https://:sub.example.com/*", "https://a.b.example.com/x") is None
    assert capture("https://example.com/:file", "https://example.com/a.b") == {"file": "a.b"}


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


def as_regular_expression(source: str) -> re.Pattern[str]:
    """What Pages makes of a pattern; names are greedy, and in the host stop at a dot."""
    host_end = source.find("/", len(ABSOLUTE)) if source.startswith(ABSOLUTE) else 0
    parts = []
    position = 0
    for wildcard in WILDCARD.finditer(source):
        parts.append(re.escape(source[position : wildcard.start()]))
        parts.append("(.*)" if wildcard[0] == "*" else "([^/.]+)" if wildcard.start() < host_end else "([^/]+)")
        position = wildcard.end()
    return re.compile("".join(parts) + re.escape(source[position:]), re.DOTALL)


def pieces(*choices: str, max_size: int) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(choices), max_size=max_size).map("".join)


PATTERN_PIECES = (":a", ":b", ":c", ":d", "*", "x", "y", "xy", "-", "/", ".")
SOURCES = st.one_of(
    st.builds("/{}".format, pieces(*PATTERN_PIECES, max_size=10)),
    st.builds("https://{}/{}".format, pieces(*PATTERN_PIECES, max_size=8), pieces(*PATTERN_PIECES, max_size=4)),
)


@settings(max_examples=1000)
@given(SOURCES, st.data())
def test_a_pattern_takes_what_a_greedy_regular_expression_takes(source: str, data: st.DataObject) -> None:
    try:
        pattern = Pattern.parse(source)
    except PatternRefused:
        return
    likely = source.replace("*", data.draw(pieces("x", "y", "-", "/", ".", max_size=5)))
    for name in pattern.names:
        likely = likely.replace(f":{name}", data.draw(pieces("x", "y", "xy", "-", ".", "/", max_size=3)))
    start = ABSOLUTE if source.startswith(ABSOLUTE) else "/"
    for subject in (likely, start + data.draw(pieces("x", "y", "-", "/", ".", max_size=12))):
        match = as_regular_expression(source).fullmatch(subject)
        wanted = None if match is None else dict(zip(pattern.names, match.groups(), strict=True))
        assert pattern.capture(subject) == wanted, subject


def test_difference_26_more_placeholders_than_any_rule_needs_are_refused_with_the_reason() -> None:
    names = [f":a{number}" for number in range(NAMES_MAX + 1)]
    assert Pattern.parse("/" + "-".join(names[1:])).names[-1] == f"a{NAMES_MAX}"
    with pytest.raises(PatternRefused, match=r"may have 100 placeholders\. This one has 101"):
        Pattern.parse("/" + "-".join(names))


class Watched(str):
    """A text that counts how many characters searches in it may look at, also in what is cut from it."""

    seen = 0

    def find(self, text: str, start: int = 0, end: int | None = None) -> int:  # type: ignore[override]
        found = super().find(text, start, len(self) if end is None else end)
        Watched.seen += (max(start, len(self)) if found == -1 else found + len(text)) - min(start, len(self))
        return found

    def __getitem__(self, key: slice) -> "Watched":  # type: ignore[override]
        return Watched(super().__getitem__(key))


@pytest.mark.parametrize(
    "source",
    [
        "/" + "-".join(f":a{number}" for number in range(NAMES_MAX)),
        "/" + "a".join(f":a{number}" for number in range(NAMES_MAX)) + "!",
        "/*-" + "a".join(f":a{number}" for number in range(NAMES_MAX - 1)) + "!",
    ],
)
@pytest.mark.parametrize("piece", ["a", "-", "a-", "a/"])
def test_hardening_46_no_pattern_looks_at_a_long_path_more_than_a_few_times(source: str, piece: str) -> None:
    subject = Watched("/" + piece * (16_000 // len(piece)) + "!")
    Watched.seen = 0
    Pattern.parse(source).capture(subject)
    assert 0 < Watched.seen < 3 * len(subject)


@pytest.mark.parametrize("source", ["/(a+)+$*b", "/:a:b:c:d:e:f:g:h:i:j*x", "/" + "a*" + "a" * 500])
def test_hardening_46_a_long_path_is_answered_as_a_short_one(source: str) -> None:
    # A backtracking engine would not come back within a lifetime from the second of these.
    assert capture(source, "/" + "a" * 16_000) in (None, {"splat": "a" * (16_000 - 501)})
