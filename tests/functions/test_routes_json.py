"""pages-serving 9: which paths a deployment's function answers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.routes_json import RoutesJson, RoutesJsonRefused, RoutesJsonUnreadable


def routes(include: object = ("/*",), exclude: object = (), *, version: object = 1) -> RoutesJson:
    return RoutesJson.parse(json.dumps({"version": version, "include": include, "exclude": exclude}))


def refusal(**members: object) -> str:
    with pytest.raises(RoutesJsonRefused) as error:
        routes(**members)  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize(
    ("rule", "matched", "missed"),
    [
        ("/", ["/"], ["/a", "//"]),
        ("/*", ["/", "/a", "//a/b"], []),
        ("/foo", ["/foo", "/foo/"], ["/foo/x", "/foox", "/Foo", "//foo"]),
        ("/foo/", ["/foo", "/foo/"], ["/foo/x", "/foox"]),
        ("/foo/*", ["/foo", "/foo/", "/foo/a/b"], ["/foobar", "/x/foo/"]),
        ("/foo*", ["/foo", "/foobar", "/foo/x"], ["/fo"]),
        ("/foo/*/bar", ["/foo/1/bar", "/foo/1/2/bar", "/foo/1/bar/"], ["/foo/bar", "/foo/1/barx"]),
        ("/a.css", ["/a.css", "/a.css/"], ["/aXcss"]),
        ("/*.css", ["/a.css", "/a/b.css"], ["/a.cssx"]),
        ("/(a+)|b", ["/(a+)|b"], ["/aa", "/b", "b"]),
        ("/ex/*", ["/ex/a"], ["/%65x/a", "//ex/a"]),
    ],
)
@pytest.mark.pages("9 row 7")
def test_9_row_2_a_rule_matches_what_the_table_says(rule: str, matched: list[str], missed: list[str]) -> None:
    included, excluded = routes([rule]), routes(["/*"], [rule])
    for path in matched:
        assert included.matches(path)
        assert not excluded.matches(path)
    for path in missed:
        assert not included.matches(path)
        assert excluded.matches(path)


def test_9_row_1_exclude_beats_include_however_specific() -> None:
    assert not routes(["/a/b/c"], ["/a/*"]).matches("/a/b/c")


def test_9_row_1_what_neither_names_is_an_asset() -> None:
    assert not routes(["/api/*"], ["/x"]).matches("/page")


def test_9_row_6_without_a_file_everything_goes_to_the_function() -> None:
    assert RoutesJson.everything().matches("/any/thing")


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.5])
def test_9_row_8_the_version_is_the_number_1(version: object) -> None:
    assert "version" in refusal(version=version)


def test_the_number_1_may_be_written_as_any_number() -> None:
    assert routes(version=1.0).matches("/")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"'])
def test_9_row_8_it_is_a_json_object(text: str) -> None:
    with pytest.raises(RoutesJsonRefused, match=r"JSON|object"):
        RoutesJson.parse(text)


def test_9_row_8_include_and_exclude_are_lists_of_text() -> None:
    assert "lists" in refusal(include="/*")
    assert "lists" in refusal(exclude=None)
    assert "text" in refusal(include=["/*", 5])


def test_9_row_8_it_includes_something() -> None:
    assert "at least one" in refusal(include=[])


def test_9_row_8_at_most_100_rules_in_all() -> None:
    rules = [f"/{number}" for number in range(100)]
    assert routes(rules[:60], rules[60:]).matches("/59")
    assert "101" in refusal(include=rules, exclude=["/x"])


def test_9_row_8_a_rule_has_at_most_100_utf16_units() -> None:
    assert routes(["/" + "a" * 99]).matches("/" + "a" * 99)
    assert "over 100" in refusal(include=["/" + "a" * 100])
    assert "over 100" in refusal(exclude=["/" + "😀" * 50])


def test_9_row_8_a_rule_begins_with_a_slash() -> None:
    assert "'api'" in refusal(include=["/*", "api"])


@pytest.mark.parametrize("rules", [["/*", "/a"], ["/api/*", "/api/x"], ["/api/x/*", "/api/*"], ["/a/*", "/a/"]])
def test_9_row_8_rules_of_one_list_do_not_overlap(rules: list[str]) -> None:
    assert "covers" in refusal(include=rules)
    assert "covers" in refusal(exclude=rules)


@pytest.mark.parametrize("rules", [["/api", "/api/*"], ["/api/*", "/apix"], ["/a*", "/ab"]])
def test_9_row_8_a_rule_beside_its_folder_is_no_overlap(rules: list[str]) -> None:
    assert routes(rules, rules).include == tuple(rules)


def test_9_row_8_the_first_failure_is_the_one_that_is_told() -> None:
    assert "version" in refusal(version=2, include="x", exclude=["bad"])
    assert "at least one" in refusal(include=[], exclude=["bad"])
    assert "over 100" in refusal(include=["bad"], exclude=["/" + "a" * 100])


rules = st.text("/a.*(é", max_size=8).map(lambda text: f"/{text}")


@settings(max_examples=100)
@given(st.lists(rules, min_size=1, max_size=5), st.lists(rules, max_size=5), st.text("/a.(", max_size=10))
def test_routes_come_back_from_their_compiled_form(include: list[str], exclude: list[str], path: str) -> None:
    compiled = RoutesJson.of(include, exclude)
    decoded = RoutesJson.decode(compiled.encode())
    assert decoded == compiled
    assert decoded.matches(f"/{path}") == compiled.matches(f"/{path}")


@pytest.mark.parametrize(
    "data", [b"", b"x", b"OHFR", b"OHFR\x02[[],[]]", b"OHFR\x01", b"OHFR\x01[[],[]]", b"OHFR\x01[[1],[]]"]
)
def test_damaged_routes_are_reported_not_guessed_at(data: bytes) -> None:
    with pytest.raises(RoutesJsonUnreadable):
        RoutesJson.decode(data)
