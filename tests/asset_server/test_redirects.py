"""pages-serving 4 and 12, differences 8, 8b, 9, 11, 12, hardening 35, 36, 47."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.compiled_rules import RulesUnreadable
from asset_server.pattern import is_dynamic
from asset_server.redirects import DYNAMIC_RULES_MAX, STATIC_RULES_MAX, RedirectRules, parse_status, redirect_location
from asset_server.rule_file import decode_rule_file, summary_lines
from asset_server.rule_problem import RuleProblem

ORIGIN = "http://a.pages.localhost:8787"


def rules_of(text: str) -> list[tuple[str, int, str]]:
    rules, problems = RedirectRules.parse(text)
    assert problems == []
    return [(rule.source, rule.status, rule.destination) for rule in rules.rules]


def problem_of(line: str) -> RuleProblem:
    rules, problems = RedirectRules.parse(line)
    assert rules.rules == ()
    (problem,) = problems
    return problem


def location(text: str, path: str, *, query: str = "", origin: str = ORIGIN) -> str | None:
    rules, _ = RedirectRules.parse(text)
    match = RedirectRules.decode(rules.encode()).match(path)
    return None if match is None else redirect_location(match, origin=origin, query=query)


# 4.2 grammar


def test_4_2_row_1_empty_lines_and_comments_say_nothing() -> None:
    assert rules_of("\n# a comment\n   \n\t# another\n") == []


@pytest.mark.parametrize(
    "text", ["\ufeff/a /b", "/a /b\r\n", "  /a\t\t/b  ", "/a\u00a0/b", "/a /b # why", "/a /b\t#why"]
)
@pytest.mark.pages("4.2 row 3")
def test_4_2_row_1_blanks_are_javascripts_and_an_inline_comment_needs_one_before_it(text: str) -> None:
    assert rules_of(text) == [("/a", 302, "/b")]


def test_4_2_row_3_a_hash_without_a_blank_before_it_is_a_fragment() -> None:
    assert rules_of("/a /b#c 301") == [("/a", 301, "/b#c")]


@pytest.mark.parametrize("separator", ["\x1c", "\x85", "\x00"])
def test_4_2_row_4_what_only_python_calls_a_blank_parts_no_words(separator: str) -> None:
    assert problem_of(f"/a{separator}/b").message.endswith("Got 1.")


@pytest.mark.parametrize(("line", "count"), [("/a", 1), ("/a /b 301 x", 4), ("/a q=:q /b 301!", 4), ("/a # /b", 1)])
@pytest.mark.pages("4.2 row 5")
def test_4_2_row_4_a_line_has_two_or_three_tokens(line: str, count: int) -> None:
    problem = problem_of(line)
    assert problem == RuleProblem(1, line, f"Expected exactly 2 or 3 whitespace-separated tokens. Got {count}.")


@pytest.mark.parametrize(
    ("source", "normal"),
    [
        ("about2", "/about2"),
        ("*", "/*"),
        ("http://foo.com/", "/http://foo.com/"),
        ("/q?x=y", "/q"),
        ("/q#f", "/q"),
        ("/a/../b", "/b"),
        ("/%2e%2e/b", "/b"),
        ("/é", "/%C3%A9"),
        ("/%c3%a9", "/%c3%a9"),
        ("/pct%zz", "/pct%zz"),
        ("//dbl", "//dbl"),
        ("/a\\b", "/a\\b"),
        ("/[a]", "/[a]"),
        ("/a^b", "/a^b"),
        ("/a\x00b", "/a%00b"),
        ("/a\x00", "/a"),
    ],
)
@pytest.mark.pages("4.2 row 7", "12 row 14")
def test_4_2_row_6_a_source_is_normalised_as_a_url_path(source: str, normal: str) -> None:
    assert rules_of(f"{source} /to") == [(normal, 302, "/to")]


def test_4_2_row_6_an_absolute_source_is_rejected() -> None:
    assert "source must be a path" in problem_of("https://a.example/x /to").message


@pytest.mark.parametrize(
    ("destination", "normal"),
    [
        ("/to?x=1#f", "/to?x=1#f"),
        ("/to?", "/to"),
        ("/a/../b", "/b"),
        ("/ü?ä=ö#ß", "/%C3%BC?%C3%A4=%C3%B6#%C3%9F"),
        ("https://a.example", "https://a.example/"),
        ("https://a.example:8443/p?q#f", "https://a.example:8443/p?q#f"),
        ("https://a.example/x/../y", "https://a.example/y"),
        ("https://:h.example/x", "https://:h.example/x"),
    ],
)
def test_4_2_row_8_a_destination_keeps_query_and_fragment(destination: str, normal: str) -> None:
    assert rules_of(f"/:h {destination}") == [("/:h", 302, normal)]


@pytest.mark.parametrize(
    "destination", ["to", "http://a.example/", "mailto:a@b.example", "HTTPS://a.example", "https://"]
)
def test_4_2_row_8_a_destination_is_a_path_or_https(destination: str) -> None:
    assert "must begin with" in problem_of(f"/a {destination}").message


@pytest.mark.parametrize(
    "destination", ["https://[::bad/", "https://a<b.example/", "https://h:99999/", "https://:un/x"]
)
def test_difference_22_a_destination_whose_host_is_none_is_rejected(destination: str) -> None:
    assert "isn't a URL" in problem_of(f"/a {destination}").message


@pytest.mark.parametrize(
    ("text", "status"),
    [("301", 301), ("301.0", 301), ("301.", 301), ("0x12D", 301), ("0X12d", 301), ("0o455", 301), ("0b100101101", 301),
     ("3.01e2", 301), ("+301", 301), ("0301", 301), ("200", 200), ("303", 303), ("307", 307), ("308", 308)],
)  # fmt: skip
def test_4_2_row_9_a_status_is_whatever_javascript_reads_as_an_allowed_number(text: str, status: int) -> None:
    assert parse_status(text) == status


@pytest.mark.parametrize(
    "text",
    ["301!", "404", "410", "-301", "+0x12D", "3_01", "٣٠١", "Infinity", "NaN", "301.5", "1e999", "0x", ".", "e2"],
)
@pytest.mark.pages("4.2 row 9")
def test_4_1_row_4_any_other_status_is_rejected(text: str) -> None:
    assert parse_status(text) is None
    assert f"Got {text}." in problem_of(f"/a /b {text}").message


def test_4_2_row_10_of_duplicates_the_first_counts_also_after_normalisation() -> None:
    rules, problems = RedirectRules.parse("/q?x=1 /a\n/q /b\n")
    assert [rule.destination for rule in rules.rules] == ["/a"]
    assert problems == [RuleProblem(2, "/q /b", "Ignoring duplicate rule for path /q.")]


def test_4_2_row_11_status_200_leads_to_own_paths_only() -> None:
    assert "200" in problem_of("/a https://b.example/ 200").message


def test_4_2_row_13_a_line_rejected_for_200_with_a_host_still_takes_its_source() -> None:
    _, problems = RedirectRules.parse("/a https://b.example/ 200\n/a /b")
    assert problems[1].message == "Ignoring duplicate rule for path /a."


@pytest.mark.parametrize(
    "line", ["/* /index.html 200", "/ /index.html", "/x/ /index 301", "/x/* /y/index.html", "/* /index.html"]
)
@pytest.mark.pages("12 row 1")
def test_4_2_row_12_a_rule_that_would_loop_over_the_index_page_is_rejected(line: str) -> None:
    assert "loop" in problem_of(line).message


@pytest.mark.parametrize(
    "line", ["/x /index.html", "/x/* /indexes", "/* /index.html?x", "/* https://a.example/index.html"]
)
def test_4_2_row_12_only_that_loop_is_guessed_at(line: str) -> None:
    assert len(rules_of(line)) == 1


# Differences 8 and 11


@pytest.mark.parametrize("destination", ["//evil.com/p", "/..//evil.com", "/\\evil.com", "//"])
@pytest.mark.pages("4.6 row 6", "12 row 11")
def test_4_5_row_4_difference_8_a_destination_that_begins_with_two_slashes_is_rejected(destination: str) -> None:
    assert "leaves this site" in problem_of(f"/a {destination}").message


@pytest.mark.parametrize("source", ["/*/x/*", "/:a/:a", "/*/:splat"])
@pytest.mark.pages("12 row 12")
def test_4_4_row_5_difference_11_a_pattern_that_could_never_match_is_rejected_with_its_reason(source: str) -> None:
    assert source in problem_of(f"{source} /to").message


# 4.1, 4.3 limits


def test_4_1_row_1_static_rules_past_the_limit_are_skipped_one_by_one() -> None:
    text = "".join(f"/s{number} /t\n" for number in range(STATIC_RULES_MAX + 2)) + "/w/* /t\n"
    rules, problems = RedirectRules.parse(text)
    assert len(rules.rules) == STATIC_RULES_MAX + 1
    assert rules.rules[-1].source == "/w/*"
    assert [problem.line_number for problem in problems] == [None, None]


@pytest.mark.pages("4.3 row 3")
def test_4_1_row_2_past_the_dynamic_limit_the_rest_of_the_file_is_skipped_and_counted() -> None:
    text = "".join(f"/d{number}/* /t\n" for number in range(DYNAMIC_RULES_MAX + 3)) + "/static /t\n"
    rules, problems = RedirectRules.parse(text)
    assert len(rules.rules) == DYNAMIC_RULES_MAX
    # Three dynamic lines, the static one, and the empty text after the last newline.
    (problem,) = problems
    assert problem.message.endswith("Skipping remaining 5 lines of file.")


def test_4_3_row_2_after_a_dynamic_line_every_line_counts_as_dynamic() -> None:
    text = "/w/* /t\n" + "".join(f"/s{number} /t\n" for number in range(DYNAMIC_RULES_MAX + 1))
    assert len(RedirectRules.parse(text)[0].rules) == DYNAMIC_RULES_MAX


@pytest.mark.parametrize("bad", ["/bad{}/* /x 999", "/dup/* /x", "/bad{}/* to", "/*/{}/* /x", "/bad{}/* //evil.com"])
@pytest.mark.pages("12 row 25")
def test_4_2_row_13_difference_12_a_line_that_fails_after_it_was_counted_still_uses_up_the_limit(bad: str) -> None:
    bad_lines = "".join(bad.format(number) + "\n" for number in range(10))
    text = "/dup/* /first\n" + bad_lines + "".join(f"/d{number}/* /t\n" for number in range(DYNAMIC_RULES_MAX))
    assert len(RedirectRules.parse(text)[0].rules) == DYNAMIC_RULES_MAX - 10


@pytest.mark.parametrize("bad", ["/lonely", "https://a.example/{} /x", "# /c /d"])
def test_4_2_row_13_a_line_that_fails_before_it_is_counted_uses_up_nothing(bad: str) -> None:
    bad_lines = "".join(bad.format(number) + "\n" for number in range(10))
    text = bad_lines + "".join(f"/d{number}/* /t\n" for number in range(DYNAMIC_RULES_MAX))
    assert len(RedirectRules.parse(text)[0].rules) == DYNAMIC_RULES_MAX


@pytest.mark.pages("4.2 row 2")
def test_4_1_row_3_a_line_over_2000_utf16_units_is_skipped_comment_or_not() -> None:
    assert len(rules_of(f"/{'a' * 1994} /to")) == 1
    for long_line in (f"/{'a' * 1997} /to", f"/{'😀' * 999} /to", f"/a /b #{'c' * 2000}"):
        problem = problem_of(long_line)
        assert (problem.line_number, problem.line) == (None, "")
        assert "Line 1" in problem.message


# 4.3, 4.4 matching


@pytest.mark.parametrize(
    ("source", "expected"),
    [("/x/*", True), ("/:a", True), ("/a:b", True), ("/:A_1/x", True), ("/:1a", False), ("/:_a", False), ("/a", False)],
)
def test_4_3_row_1_a_star_or_a_colon_and_a_letter_make_a_source_dynamic(source: str, expected: bool) -> None:
    assert is_dynamic(source) is expected


@pytest.mark.pages("12 row 15")
def test_4_3_row_4_plain_rules_before_the_first_wildcard_win_over_the_list() -> None:
    text = "/early/x /table\n/early/* /splat/:splat\n/early/y /late\n"
    assert location(text, "/early/x") == "/table"
    assert location(text, "/early/y") == "/splat/y"


@pytest.mark.parametrize(("path", "wanted"), [("/%C3%A9", "/to"), ("/%c3%a9", None), ("/é", None)])
@pytest.mark.pages("12 row 13")
def test_4_4_row_1_the_encoded_path_is_matched_verbatim(path: str, wanted: str | None) -> None:
    assert location("/é /to", path) == wanted


@pytest.mark.parametrize(
    ("text", "path", "wanted"),
    [
        ("/x/* /y/:splat", "/x/a/b", "/y/a/b"),
        ("/x/* /y/:splat", "/x", None),
        ("/p/:a/:b /q/:b/:a", "/p/1/2", "/q/2/1"),
        ("/u/:a /:unknown/:a", "/u/1", "/:unknown/1"),
        ("/e/:a /d/:a", "/e/a%26b", "/d/a%26b"),
        ("/dol/* /d/:splat", "/dol/a$$b", "/d/a$$b"),
        ("/:id/:idx /got/:idx/:id", "/1/2", "/got/2/1"),
        ("/n/:a /x/:ab/:a", "/n/1", "/x/:ab/1"),
    ],
)
@pytest.mark.pages("12 row 23")
def test_4_4_row_10_difference_9_captured_text_fills_whole_names(text: str, path: str, wanted: str | None) -> None:
    assert location(text, path) == wanted


# 4.5 Location


@pytest.mark.parametrize(
    ("destination", "query", "wanted"),
    [
        ("/to", "?z=9", "/to?z=9"),
        ("/to?x=1", "?z=9", "/to?x=1"),
        ("/to#f", "?z=9", "/to?z=9#f"),
        ("/to?", "?z=9", "/to?z=9"),
        ("https://o.example/p#f", "?z", "https://o.example/p?z#f"),
        ("https://O.Example:443", "", "https://o.example/"),
        ("https://o.example:8443/", "", "https://o.example:8443/"),
        ("https://bücher.example/", "", "https://xn--bcher-kva.example/"),
        ("https://u:p@o.example/", "", "https://u:p@o.example/"),
        ("https://[2001:DB8::0:1]/", "", "https://[2001:db8::1]/"),
        ("/to?q='", "", "/to?q=%27"),
        ("/a\\b", "", "/a/b"),
        ("/a^b", "", "/a^b"),
        ("https://a.pages.localhost/x", "", "https://a.pages.localhost/x"),
    ],
)
@pytest.mark.pages("4.5 row 2", "4.5 row 3")
def test_4_5_row_1_a_location_is_a_path_of_this_host_or_absolute(destination: str, query: str, wanted: str) -> None:
    assert location(f"/s {destination}", "/s", query=query) == wanted


@pytest.mark.pages("4.5 row 2")
def test_4_5_row_1_an_absolute_destination_of_the_same_origin_becomes_a_path() -> None:
    for origin in ("https://a.example", "https://a.example:443"):
        assert location("/s https://A.example/x?y", "/s", origin=origin) == "/x?y"
    assert location("/s https://a.example/x", "/s", origin="https://a.example:8443") == "https://a.example/x"


def test_4_4_row_13_a_placeholder_in_the_destinations_query_makes_it_the_destinations_own() -> None:
    assert location("/s/:q /find?q=:q", "/s/x'y", query="?z") == "/find?q=x%27y"


# 8b, hardening 35, 36


@pytest.mark.parametrize("path", ["/old//evil.com", "/old///evil.com/", "/old//"])
@pytest.mark.pages("12 row 21")
def test_4_5_row_4_difference_8b_a_splat_that_begins_with_a_slash_stays_on_the_host(path: str) -> None:
    found = location("/old/* /:splat", path)
    assert found is not None
    assert found[:1] == "/"
    assert found[1:2] not in ("/", "\\")


def test_4_4_row_11_difference_23_captured_text_breaks_out_of_no_host() -> None:
    text = "/h/* https://:splat.example/x"
    assert location(text, "/h/a") == "https://a.example/x"
    for path in ("/h/evil.com/", "/h/evil.com:1", "/h/u@evil.com", "/h/evil.com%2F"):
        assert location(text, path) is None
    assert location("/go/* https://:splat", "/go/b.example/x") == "https://b.example/x/"


@settings(max_examples=300)
@given(
    st.sampled_from(
        ["/:splat", "/x/:splat", "/x?:splat", "/x#:splat", "https://o.example/:splat", "/./:splat", "/:splat/"]
    ),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='\\?#"<>`{}'), max_size=20),
)
def test_no_path_leads_off_the_host_or_into_a_second_header(destination: str, rest: str) -> None:
    found = location(f"/s/* {destination}", f"/s/{rest}")
    assert found is not None
    assert all(0x20 < ord(character) < 0x7F for character in found)
    if destination.startswith("/"):
        assert found[0] == "/"
        assert found[1:2] not in ("/", "\\")
    else:
        assert found.startswith("https://o.example/")


# Difference 26


def test_difference_26_a_rule_whose_destination_would_fill_memory_isnt_taken() -> None:
    text = f"/g/* /{':splat' * 300}\n/g/* /never\n/* /next/:splat\n"
    assert location(text, "/g/" + "a" * 100) == "/" + "a" * 30_000
    assert location(text, "/g/" + "a" * 16_000) == "/next/g/" + "a" * 16_000


def test_difference_26_more_placeholders_than_any_rule_needs_cost_the_line() -> None:
    source = "/" + "-".join(f":a{number}" for number in range(101))
    assert problem_of(f"{source} /x").message == "A path may have 100 placeholders. This one has 101."


# Compiled form


@settings(max_examples=100)
@given(st.text(max_size=300))
def test_any_text_parses_and_comes_back_from_its_compiled_form(text: str) -> None:
    rules, problems = RedirectRules.parse(text)
    assert RedirectRules.decode(rules.encode()) == rules
    assert all(problem.message for problem in problems)


def test_no_rules_are_no_bytes() -> None:
    assert RedirectRules.parse("# nothing")[0].encode() == b""


def test_damaged_rules_are_reported_not_guessed_at() -> None:
    encoded = RedirectRules.parse("/a /b\n/c/* /d 301\n")[0].encode()
    for position in range(len(encoded)):
        damaged = encoded[:position] + bytes([encoded[position] ^ 0x10]) + encoded[position + 1 :]
        with pytest.raises(RulesUnreadable):
            RedirectRules.decode(damaged)
        if position:
            with pytest.raises(RulesUnreadable):
                RedirectRules.decode(encoded[:position])


# Hardening 47


def test_bytes_that_are_no_utf8_and_nul_cost_their_own_line_only() -> None:
    rules, problems = RedirectRules.parse(decode_rule_file(b"/a /b\n/\xff\xfe\n/c\x00d /e\n/f /g\r\n"))
    assert [rule.source for rule in rules.rules] == ["/a", "/c%00d", "/f"]
    assert [problem.line_number for problem in problems] == [2]


def test_a_line_of_a_megabyte_and_a_hundred_thousand_rules_are_read_through() -> None:
    text = f"/{'x' * 1_000_000} /to\n" + "".join(f"/r{number} /to\n" for number in range(100_001)) + "/last/* /to\n"
    rules, problems = RedirectRules.parse(text)
    assert len(rules.rules) == STATIC_RULES_MAX + 1
    assert len(problems) == 1 + 100_001 - STATIC_RULES_MAX


# 4.8 messages


def test_4_8_the_summary_counts_and_names_each_line() -> None:
    rules, problems = RedirectRules.parse("/a /b\n/lonely\n")
    assert summary_lines("_redirects", kind="redirect", valid_count=len(rules.rules), problems=problems) == [
        "✨ Parsed 1 valid redirect rule.",
        "Found 1 invalid redirect rule:",
        "▶︎ Expected exactly 2 or 3 whitespace-separated tokens. Got 1.",
        "    at _redirects:2 | /lonely",
    ]
    assert summary_lines("_redirects", kind="redirect", valid_count=0, problems=[]) == []
