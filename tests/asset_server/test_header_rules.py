"""pages-serving 5 and 12, differences 9 and 11, hardening 47 and 48."""

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.answer_headers import FIELD_BYTES, SET_BYTES_MAX
from asset_server.compiled_rules import RulesUnreadable
from asset_server.header_rules import HEADERS_MAX, RULES_MAX, HeaderRules
from asset_server.message import HeaderFields
from asset_server.rule_problem import RuleProblem

HOST = "a.pages.localhost"


def blocks_of(text: str) -> dict[str, dict[str, str]]:
    rules, problems = HeaderRules.parse(text)
    assert problems == []
    return {rule.path: dict(rule.sets) for rule in rules.rules}


def problems_of(text: str) -> list[tuple[int | None, str]]:
    return [(problem.line_number, problem.line) for problem in HeaderRules.parse(text)[1]]


def applied(text: str, path: str = "/", *, headers: HeaderFields | None = None, hostname: str = HOST) -> HeaderFields:
    rules = HeaderRules.decode(HeaderRules.parse(text)[0].encode())
    return rules.apply(headers or [], hostname=hostname, path=path)


# 5.1 grammar


def test_5_1_row_2_indentation_is_irrelevant_and_comments_are_whole_lines_only() -> None:
    text = "\ufeff# c\n/a\r\n  X-A: 1\r\nX-B:2\n\n # c\n\tx-c :  v # c  \n"
    assert blocks_of(text) == {"/a": {"x-a": "1", "x-b": "2", "x-c": "v # c"}}


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("/x y", "/x%20y"),
        ("/x\ty", "/xy"),
        ("/q?x=1#f", "/q"),
        ("/é", "/%C3%A9"),
        ("/a/../b", "/b"),
        ("//dbl", "//dbl"),
        ("https://a.example/x y?z", "https://a.example/x%20y"),
        ("https://a.example", "https://a.example/"),
        ("https://:sub.example/*", "https://:sub.example/*"),
    ],
)
def test_5_1_row_3_a_path_line_is_normalised_as_a_url(line: str, path: str) -> None:
    assert list(blocks_of(f"{line}\n  X-A: 1")) == [path]


@pytest.mark.parametrize("line", ["http://a.example/*", "https://a.example:8443/*", "ftp://a.example/"])
@pytest.mark.pages("5.1 row 9")
def test_5_1_row_4_absolute_paths_are_https_without_a_port_and_lines_under_a_rejected_path_are_skipped(
    line: str,
) -> None:
    text = f"{line}\n  X-A: 1\n  nonsense\n/b\n  X-B: 1\n"
    assert problems_of(text) == [(1, line)]
    assert [rule.path for rule in HeaderRules.parse(text)[0].rules] == ["/b"]


@pytest.mark.parametrize("line", ["/*/x/*", "/*/:splat", "/:a/:a"])
def test_5_1_row_10_difference_11_a_pattern_that_could_never_match_is_rejected_with_its_reason(line: str) -> None:
    (problem,) = HeaderRules.parse(f"{line}\n  X-A: 1")[1]
    assert (problem.line_number, problem.line) == (1, line)
    assert line in problem.message


@pytest.mark.parametrize(
    "line",
    [
        "X-Empty:",
        ": value",
        "NoColon",
        "X Bad: 1",
        "!NoSpace",
        "! X-Det: x",
        "!  X-Two",
        "! X-A , X-B",
        "X\tTab: 1",
        "X(): 1",
        "é: 1",
        "X-A: a\x00b",
        "X-A: a\x7fb",
        "X-A: a\rb",
    ],
)
@pytest.mark.pages("5.1 row 6", "5.1 row 11", "12 row 28")
def test_5_1_row_5_difference_24_a_header_line_that_would_make_answers_fail_is_rejected_and_the_rest_applies(
    line: str,
) -> None:
    text = f"/*\n  {line}\n  X-Good: 1\n"
    assert problems_of(text) == [(2, line)]
    assert applied(text) == [(b"x-good", b"1")]


def test_5_1_row_5_a_value_may_hold_colons() -> None:
    assert blocks_of("/a\n  Link: <https://a.example>; x=y:z")["/a"] == {"link": "<https://a.example>; x=y:z"}


@pytest.mark.pages("12 row 17")
def test_5_1_row_7_a_name_repeated_in_a_block_is_joined_even_set_cookie() -> None:
    assert blocks_of("/a\n X: 1\n x: 2\n Set-Cookie: a=1\n Set-Cookie: b=2") == {
        "/a": {"x": "1, 2", "set-cookie": "a=1, b=2"}
    }


def test_5_1_row_8_a_block_without_headers_is_reported_at_the_next_path_line() -> None:
    problems = HeaderRules.parse("/empty\n# c\n/b\n  X: 1\n/last\n\n")[1]
    assert problems == [
        RuleProblem(3, "/empty", "No headers specified"),
        RuleProblem(7, "/last", "No headers specified"),
    ]


def test_5_1_row_9_a_header_before_any_path_is_reported() -> None:
    (problem,) = HeaderRules.parse("X: 1\n/a\n  Y: 1")[1]
    assert (problem.line_number, problem.message) == (1, "Path should come before header (X: 1)")


@pytest.mark.pages("12 row 16")
def test_5_1_row_13_a_later_block_for_a_path_replaces_the_earlier_one_in_its_position() -> None:
    text = "/a\n  X: 1\n  Y: 1\n/*\n  X: 2\n/a\n  X: 3\n"
    assert list(blocks_of(text).items()) == [("/a", {"x": "3"}), ("/*", {"x": "2"})]
    assert applied(text, "/a") == [(b"x", b"3, 2")]


@pytest.mark.pages("5.1 row 12", "12 row 24")
def test_5_1_row_1_101_blocks_count_and_the_102nd_does_not() -> None:
    text = "".join(f"/h{number}\n  X: {number}\n" for number in range(RULES_MAX + 5))
    rules, problems = HeaderRules.parse(text)
    assert [rule.path for rule in rules.rules] == [f"/h{number}" for number in range(RULES_MAX + 1)]
    # Four blocks of two lines, and the empty text after the last newline.
    assert [(each.line_number, each.message.partition(". ")[2]) for each in problems] == [
        (None, "Skipping remaining 9 lines of file.")
    ]


def test_5_1_row_1_a_line_over_2000_characters_is_skipped() -> None:
    rules, problems = HeaderRules.parse(f"/a\n  X-Long: {'v' * 2000}\n  X: {'v' * 1997}\n")
    assert [name for name, _ in rules.rules[0].sets] == ["x"]
    assert [(problem.line_number, problem.line) for problem in problems] == [(None, "")]


# 5.2 matching


def test_5_2_row_3_every_matching_block_applies_in_file_order() -> None:
    text = "/a/*\n X: 1\n/nope\n X: 2\n/*\n X: 3\n/a/:b\n X: :b\n"
    assert applied(text, "/a/b%20c") == [(b"x", b"1, 3, b%20c")]


@pytest.mark.pages("5.2 row 2")
def test_5_2_row_1_absolute_blocks_match_the_hostname_whatever_the_scheme() -> None:
    text = (
        f"https://{HOST}/*\n X-Host: 1\nhttps://:sub.pages.localhost/*\n X-Sub: :sub/:splat\nhttps://b.example/*\n Y: 1"
    )
    assert applied(text, "/x") == [(b"x-host", b"1"), (b"x-sub", b"a/x")]
    assert applied(text, "/x", hostname="a.b.pages.localhost") == []


# 5.3 application


@pytest.mark.pages("5.3 row 3")
def test_5_3_row_1_the_first_to_set_a_name_replaces_and_later_rules_append() -> None:
    text = "/*\n Cache-Control: a\n/x\n Cache-Control: b\n"
    headers = [(b"cache-control", b"default"), (b"etag", b'"e"'), (b"cache-control", b"again")]
    assert applied(text, "/x", headers=headers) == [(b"etag", b'"e"'), (b"cache-control", b"a, b")]


def test_5_3_row_3_set_cookies_of_several_rules_stay_fields_of_their_own() -> None:
    text = "/*\n Set-Cookie: a=1\n/x\n Set-Cookie: b=2\n"
    assert applied(text, "/x") == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


def test_5_3_row_2_inside_a_block_detaches_come_first_whatever_the_order_of_lines() -> None:
    assert applied("/*\n X-C: 1\n ! x-c\n", headers=[(b"x-c", b"0")]) == [(b"x-c", b"1")]


def test_5_3_row_4_a_detach_ignores_case_and_takes_what_earlier_rules_set() -> None:
    text = "/*\n X-A: 1\n ! ETag\n/x\n ! x-a\n/x*\n X-A: 2\n"
    assert applied(text, "/x", headers=[(b"etag", b'"e"')]) == [(b"x-a", b"2")]


def test_5_3_row_5_values_are_filled_and_unknown_names_stay() -> None:
    assert applied("/:a/*\n X: :a :splat :ab https://y", "/1/2/3") == [(b"x", b"1 2/3 :ab https://y")]


def test_a_value_that_is_not_ascii_goes_out_as_utf8() -> None:
    assert applied("/*\n X: é€") == [(b"x", "é€".encode())]


def test_the_given_headers_are_left_as_they_are() -> None:
    headers = [(b"etag", b'"e"')]
    assert applied("/nope\n X: 1", headers=headers) == headers
    applied("/*\n ! ETag\n X: 1", headers=headers)
    assert headers == [(b"etag", b'"e"')]


# Differences 26 and 27


def set_bytes(headers: HeaderFields) -> int:
    return sum(len(name) + len(value) + FIELD_BYTES for name, value in headers)


def test_difference_26_what_paths_fill_into_headers_is_bounded_and_the_rest_applies() -> None:
    lines = "".join(f"  X-{number}: {':splat' * 300}\n" for number in range(20))
    text = f"/g/*\n{lines}  X-Short: :splat\n/*\n  X-Safe: 1\n"
    assert [name for name, _ in applied(text, "/g/" + "a" * 16_000)] == [b"x-short", b"x-safe"]
    headers = applied(text, "/g/" + "a" * 50)
    assert headers[0] == (b"x-0", b"a" * 15_000)
    assert headers[-1] == (b"x-safe", b"1")
    assert set_bytes(headers) <= SET_BYTES_MAX


def test_difference_27_all_that_the_rules_of_one_answer_set_is_bounded() -> None:
    text = "".join(f"/:a{block}\n" + f"  X-{block}: {'v' * 1900}\n" * 30 for block in range(101))
    headers = applied(text, "/x")
    assert headers[0][0] == b"x-0"
    assert SET_BYTES_MAX * 0.8 < set_bytes(headers) <= SET_BYTES_MAX


def test_difference_27_the_101st_header_under_a_path_is_refused_and_no_earlier_one() -> None:
    lines = [f"  X-{number}: 1" if number % 2 else f"  ! X-{number}" for number in range(HEADERS_MAX + 1)]
    text = "\n".join(["/a", *lines[:-1], "  x-1: again", lines[-1], "/b", "  X-B: 1"])
    rules, problems = HeaderRules.parse(text)
    assert len(rules.rules[0].sets) + len(rules.rules[0].detaches) == HEADERS_MAX
    assert dict(rules.rules[0].sets)["x-1"] == "1, again"
    assert problems == [RuleProblem(HEADERS_MAX + 3, lines[-1].strip(), "Only 100 headers are allowed under one path.")]
    assert rules.rules[1].path == "/b"


def test_difference_27_more_bytes_than_an_answer_may_carry_are_refused_under_one_path() -> None:
    long = f"  X: {'é' * 1000}\n"  # 2,000 bytes and 5 more a line
    rules, problems = HeaderRules.parse("/a\n" + long * 34 + "  Y: 1\n")
    assert [problem.line_number for problem in problems] == [34, 35]
    assert all(problem.message == "The headers under one path may have 65536 bytes together." for problem in problems)
    assert [name for name, _ in rules.rules[0].sets] == ["x", "y"]


def lines_executed(work: Callable[[], object]) -> int:
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> object:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_difference_27_ten_times_the_headers_are_ten_times_the_work() -> None:
    def work(blocks: int) -> int:
        names = [[f"  X{block}-{number}: 1\n" for number in range(50)] for block in range(blocks)]
        text = "".join(f"/:a{block}\n" + "".join(lines) for block, lines in enumerate(names))
        rules, problems = HeaderRules.parse(text)
        assert problems == []
        return lines_executed(lambda: rules.apply([], hostname=HOST, path="/x"))

    assert work(100) < 12 * work(10)


# Hardening 48


@pytest.mark.parametrize(
    "line",
    [
        "Transfer-Encoding: chunked",
        "content-length: 5",
        "Connection: close",
        "Keep-Alive: timeout=5",
        "Upgrade: h2c",
        "Trailer: X",
        "TE: trailers",
        "Proxy-Connection: close",
        "Proxy-Authenticate: Basic",
        "Date: now",
        "Set-Cookie: a=1; Domain=pages.localhost",
        "Set-Cookie: a=1;DOMAIN = .pages.localhost; Path=/",
    ],
)
def test_hardening_48_difference_25_what_frames_a_message_or_reaches_other_sites_is_refused_and_the_rest_applies(
    line: str,
) -> None:
    text = f"/*\n  {line}\n  X-Good: 1\n"
    assert problems_of(text) == [(2, line)]
    assert applied(text) == [(b"x-good", b"1")]


def test_hardening_48_difference_25_a_path_brings_no_domain_into_a_cookie() -> None:
    text = "/:a\n Set-Cookie: a=:a; Secure\n"
    assert applied(text, "/1") == [(b"set-cookie", b"a=1; Secure")]
    assert applied(text, "/1;Domain=pages.localhost") == []


@settings(max_examples=100)
@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='\\?#"<>`{}^'), max_size=30))
def test_no_path_brings_a_control_byte_into_a_header(path: str) -> None:
    for _name, value in applied("/*\n X: [:splat]\n Set-Cookie: a=:splat", f"/{path}"):
        assert all(byte >= 0x20 and byte != 0x7F for byte in value)


# Compiled form


@settings(max_examples=100)
@given(st.text(max_size=200), st.lists(st.sampled_from(["/a", "X: 1", "! X", "https://h/:x", "Y: :x", "é: 1", "Z: é"])))
def test_any_text_parses_and_comes_back_from_its_compiled_form(text: str, lines: list[str]) -> None:
    rules, problems = HeaderRules.parse("\n".join([*lines, text]))
    assert HeaderRules.decode(rules.encode()) == rules
    assert all(problem.message for problem in problems)
    rules.apply([], hostname=HOST, path="/a")


def test_damaged_rules_are_reported_not_guessed_at() -> None:
    encoded = HeaderRules.parse("/a\n  X: 1\n")[0].encode()
    for position in range(len(encoded)):
        damaged = encoded[:position] + bytes([encoded[position] ^ 0x10]) + encoded[position + 1 :]
        with pytest.raises(RulesUnreadable):
            HeaderRules.decode(damaged)
