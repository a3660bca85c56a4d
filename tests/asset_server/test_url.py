"""pages-serving 1, hardening 34: a target as a WHATWG URL parser sees it. Vectors are from Node's own URL class."""

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.url import CANONICAL, Target, TargetRefused, decode_path, encode_path, parse_target

ODD_PIECES = st.sampled_from(
    ["/", "/", "//", "\\", ".", "..", "%2e", "%2E%2e", "%2f", "%5c", "a", "b.html", "?", "&", "'", '"', "<", "`", "{",
     "^", "|", "é", "%zz", "%", "%C3%A9", " ", ";x", "@", ":"]
)  # fmt: skip
targets = st.lists(ODD_PIECES, max_size=10).map(lambda pieces: f"/{''.join(pieces)}".encode())


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/", "/"),
        (b"/../x", "/x"),
        (b"/a/../../x", "/x"),
        (b"/%2e%2e/x", "/x"),
        (b"/%2E./x", "/x"),
        (b"/a/./b/%2e/c", "/a/b/c"),
        (b"/a/..", "/"),
        (b"/a/b/.", "/a/b/"),
        (b"/a//../b", "/a/b"),
        (b"/..\\x", "/x"),
        (b"/a\\b", "/a/b"),
        (b"/...", "/..."),
        (b"/a/.hidden", "/a/.hidden"),
    ],
)
def test_1_row_1_dot_segments_vanish_and_backslashes_are_slashes(target: bytes, path: str) -> None:
    assert parse_target(target).path == path


@pytest.mark.parametrize("target", [b"/..%2f..%2fetc", b"/%5c..", b"/%252e", b"/%252e%252e/x", b"/a;x/b", b"/+a+b"])
def test_1_row_10_what_only_decoding_would_reveal_stays_as_it_is(target: bytes) -> None:
    assert parse_target(target) == Target(target.decode(), "")


def test_1_row_1_raw_non_ascii_and_spaces_are_encoded_in_upper_case() -> None:
    assert parse_target("/é ü".encode()).path == "/%C3%A9%20%C3%BC"


def test_bytes_that_are_no_utf8_are_encoded_one_by_one() -> None:
    assert parse_target(b"/\xe9").path == "/%E9"


def test_the_path_percent_encode_set_is_encoded_and_nothing_else() -> None:
    assert parse_target(b"/a\"<>`{}^|[]'~!$&()*+,;=:@").path == "/a%22%3C%3E%60%7B%7D%5E|[]'~!$&()*+,;=:@"


@pytest.mark.parametrize("path", ["/%c3%a9", "/%C3%a9", "/%zz", "/100%", "/%41"])
def test_1_row_1_existing_escapes_keep_their_letter_case_even_malformed_ones(path: str) -> None:
    assert parse_target(path.encode()).path == path


@pytest.mark.parametrize("path", ["//about", "//host/x", "/dir//", "/a//b"])
def test_1_row_9_doubled_slashes_are_kept_and_begin_no_host(path: str) -> None:
    assert parse_target(path.encode()).path == path


@pytest.mark.parametrize(
    ("target", "query"),
    [
        (b"/?a=b&c", "?a=b&c"),
        (b"/?", ""),
        (b"/?a?b", "?a?b"),
        (b"/?q='\"<> ", "?q=%27%22%3C%3E%20"),
        (b"/?a/../b\\c", "?a/../b\\c"),
        ("/?é`{}^".encode(), "?%C3%A9`{}^"),
        (b"/?%00", "?%00"),
        (b"/x?", ""),
    ],
)
def test_a_query_is_encoded_by_the_special_query_set(target: bytes, query: str) -> None:
    assert parse_target(target).query == query


def test_1_row_1_a_fragment_is_cut() -> None:
    assert parse_target(b"/a?b#c?d") == Target("/a", "?b")


@pytest.mark.parametrize("target", [b"/\0", b"/%00", b"/a%00.html", b"/\r\nx", b"/\t", b"/x?\x01", b"/\x7f"])
def test_nul_and_control_bytes_are_refused(target: bytes) -> None:
    with pytest.raises(TargetRefused):
        parse_target(target)


@pytest.mark.parametrize("target", [b"", b"*", b"about", b"http://h/x", b"?x", b"#x"])
def test_what_is_not_in_origin_form_is_refused(target: bytes) -> None:
    with pytest.raises(TargetRefused):
        parse_target(target)


@settings(max_examples=300)
@given(targets)
def test_a_normal_target_parses_to_itself(target: bytes) -> None:
    once = parse_target(target)
    encoded = (once.path + once.query).encode("ascii")
    assert parse_target(encoded) == once
    assert CANONICAL.fullmatch(encoded) is not None


@settings(max_examples=300)
@given(targets)
def test_no_normal_path_has_a_dot_segment_or_leaves_the_root(target: bytes) -> None:
    path = parse_target(target).path
    assert path.startswith("/")
    assert "\\" not in path
    assert {".", ".."}.isdisjoint(unquote(segment) for segment in path.split("/") if "%2f" not in segment.lower())


@pytest.mark.parametrize(
    ("path", "decoded"),
    [
        ("/a%20b", "/a b"),
        ("/%C3%A9", "/é"),
        ("/dir%2Findex.html", "/dir/index.html"),
        ("/pct%2541", "/pct%41"),
        ("/a+b", "/a+b"),
        ("/..%2f..%2fetc", "/../../etc"),
    ],
)
@pytest.mark.pages("1 row 4", "1 row 5", "1 row 6")
def test_1_row_3_the_whole_path_is_decoded_once(path: str, decoded: str) -> None:
    assert decode_path(path) == decoded


@pytest.mark.parametrize(
    "path", ["/%ff", "/%zz", "/100%", "/%C3%A9%zz", "/%c0%ae", "/%ed%a0%80", "/%2", "/%F4%90%80%80"]
)
@pytest.mark.pages("12 row 30")
def test_1_row_3_one_bad_escape_leaves_the_whole_path_undecoded(path: str) -> None:
    assert decode_path(path) == path


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_encoded_path_decodes_to_its_text(text: str) -> None:
    assert decode_path(encode_path(f"/{text}")) == f"/{text}"


def test_an_encoded_path_names_the_path_and_no_query() -> None:
    assert encode_path("/q?x#y%41 é\\") == "/q%3Fx%23y%2541%20%C3%A9%5C"
