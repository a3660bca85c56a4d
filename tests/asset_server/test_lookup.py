"""Each row of pages-serving 2 and 3 as a test named after it."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.lookup import Find, HtmlRedirect, NotFound, Serve, html_location, look_up, look_up_missing
from asset_server.manifest import Asset

MATRIX = (
    "/index.html /about.html /dir.html /dir/index.html /onlyindex/index.html /both /both.html /app/index/index.html"
)
MATRIX += " /page.htm /404.html /Up.HTML /noext"


def asset(path: str) -> Asset:
    """Told apart by its key alone."""
    return Asset(path.encode()[:16].ljust(16), 0, "text/html; charset=utf-8")


def finder(files: str) -> Find:
    return {path: asset(path) for path in files.split()}.get


def served(path: str) -> Serve:
    return Serve(asset(path))


def test_2_1_row_1_folder_serves_its_index() -> None:
    assert look_up("/a/", finder("/a/index.html /a.html")) == served("/a/index.html")


def test_2_1_row_2_folder_named_index_redirects_to_its_parent_unconditionally() -> None:
    assert look_up("/a/index/", finder("")) == HtmlRedirect("/a/")


def test_2_1_row_3_folder_of_a_page_redirects_to_the_page() -> None:
    assert look_up("/a/", finder("/a.html")) == HtmlRedirect("/a")


@pytest.mark.pages("12 row 29")
def test_2_1_row_4_folder_of_an_ordinary_file_is_not_found() -> None:
    assert look_up("/a/", finder("/a /a.txt")) is None


def test_2_2_row_1a_exact_file_is_served() -> None:
    assert look_up("/a.txt", finder("/a.txt /a.txt.html")) == served("/a.txt")


def test_2_2_row_1b_index_page_redirects_to_its_folder() -> None:
    assert look_up("/a/index.html", finder("/a/index.html /a/index")) == HtmlRedirect("/a/")


@pytest.mark.pages("12 row 7")
def test_2_2_row_1c_page_beside_a_file_of_its_bare_name_is_served() -> None:
    assert look_up("/a.html", finder("/a.html /a")) == served("/a.html")


def test_2_2_row_1c_page_without_a_name_is_served() -> None:
    assert look_up("/.html", finder("/.html")) == served("/.html")


def test_2_2_row_1d_other_page_redirects_to_its_bare_name() -> None:
    assert look_up("/a.html", finder("/a.html")) == HtmlRedirect("/a")


@pytest.mark.pages("12 row 4")
def test_2_2_row_2_path_ending_in_index_redirects_unconditionally() -> None:
    assert look_up("/a/index", finder("/a/index.html")) == HtmlRedirect("/a/")
    assert look_up("/a/index", finder("")) == HtmlRedirect("/a/")


def test_2_2_row_3_bare_name_serves_the_page() -> None:
    assert look_up("/a", finder("/a.html /a/index.html")) == served("/a.html")


def test_2_2_row_4_folder_without_slash_redirects_to_it() -> None:
    assert look_up("/a", finder("/a/index.html")) == HtmlRedirect("/a/")


def test_2_2_row_5_else_not_found() -> None:
    assert look_up("/a", finder("/b /a/b")) is None


@pytest.mark.pages("0 step 7")
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", served("/index.html")),
        ("/index", HtmlRedirect("/")),
        ("/index.html", HtmlRedirect("/")),
        ("/index/", HtmlRedirect("/")),
        ("/about", served("/about.html")),
        ("/about.html", HtmlRedirect("/about")),
        ("/about/", HtmlRedirect("/about")),
        ("/about//", None),
        ("/page.htm", served("/page.htm")),
        ("/404.html", HtmlRedirect("/404")),
        ("/404", served("/404.html")),
        ("/dir", served("/dir.html")),
        ("/dir/", served("/dir/index.html")),
        ("/dir.html", HtmlRedirect("/dir")),
        ("/dir/index", HtmlRedirect("/dir/")),
        ("/dir/index.html", HtmlRedirect("/dir/")),
        ("/dir/index/", HtmlRedirect("/dir/")),
        ("/onlyindex", HtmlRedirect("/onlyindex/")),
        ("/onlyindex/", served("/onlyindex/index.html")),
        ("/both", served("/both")),
        ("/both.html", served("/both.html")),
        ("/app/index", HtmlRedirect("/app/")),
        ("/app/index/", served("/app/index/index.html")),
        ("/app/", None),
        ("/ABOUT", None),
        ("/Up.HTML", served("/Up.HTML")),
        ("/Up", None),
        ("//about", None),
        ("/noext/", None),
        ("/anything/index", HtmlRedirect("/anything/")),
    ],
)
def test_2_3_observed_matrix(path: str, answer: Serve | HtmlRedirect | None) -> None:
    assert look_up(path, finder(MATRIX)) == answer


def test_corner_case_8_page_without_a_name_in_a_folder_redirects_to_the_folder() -> None:
    assert look_up("/d/.html", finder("/d/.html")) == HtmlRedirect("/d/")


def test_2_2_the_front_page_without_an_index_asks_for_no_page_without_a_name() -> None:
    assert look_up("/", finder("/.html")) is None


def test_1_row_10_dot_segments_hidden_by_an_escaped_slash_are_a_plain_miss() -> None:
    assert look_up("/../../etc/passwd", finder(MATRIX)) is None


@pytest.mark.parametrize(
    ("path", "files", "page"),
    [
        ("/a/b/c", "/a/b/404.html /a/404.html /404.html", "/a/b/404.html"),
        ("/a/b/", "/a/b/404.html /a/404.html /404.html", "/a/b/404.html"),
        ("/a/b/c", "/a/404.html /404.html", "/a/404.html"),
        ("/a/b/c", "/404.html /b/404.html", "/404.html"),
        ("/x", "/404.html /index.html", "/404.html"),
    ],
)
def test_3_step_2_the_nearest_404_page_upwards_answers(path: str, files: str, page: str) -> None:
    assert look_up_missing(path, finder(files), not_found_depth=3) == NotFound(asset(page))


@pytest.mark.pages("3 row 2")
def test_3_step_4_without_a_404_page_on_the_way_the_front_page_answers() -> None:
    files = finder("/index.html /docs/404.html")
    assert look_up_missing("/missing.css", files, not_found_depth=2) == served("/index.html")
    assert look_up_missing("/docs/x", files, not_found_depth=2) == NotFound(asset("/docs/404.html"))


def test_3_step_5_neither_is_a_bare_404() -> None:
    assert look_up_missing("/x", finder("/other.html"), not_found_depth=0) == NotFound(None)


def test_the_walk_asks_no_deeper_than_the_deepest_404_page() -> None:
    asked: list[str] = []

    def find(path: str) -> Asset | None:
        asked.append(path)
        return None

    look_up_missing("/a" * 5_000, find, not_found_depth=2)
    assert asked == ["/a/404.html", "/404.html", "/index.html"]


@given(st.text("/ab.", max_size=12).map("/".__add__), st.sets(st.sampled_from(["", "/a", "/a/b", "/b", "//", "/a/"])))
@settings(max_examples=200, deadline=None)
def test_the_walk_is_that_of_dropping_segments_one_by_one(path: str, folders: set[str]) -> None:
    files = finder(" ".join(f"{folder}/404.html" for folder in folders))
    rest, expected = path, None
    while rest and expected is None:
        rest = rest[: rest.rindex("/")]
        expected = files(f"{rest}/404.html")
    assert look_up_missing(path, files, not_found_depth=12) == NotFound(expected)


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [
        ("/about", "?a=b&c", "/about?a=b&c"),
        ("/about", "?q", "/about?q"),
        ("/", "", "/"),
        ("/sp ace/a b", "", "/sp%20ace/a%20b"),
        ("/q?x", "", "/q%3Fx"),
        ("/a#b", "", "/a%23b"),
        ("/pct%41", "", "/pct%2541"),
        ("/é€", "", "/%C3%A9%E2%82%AC"),
        ("/trail ", "", "/trail%20"),
    ],
)
@pytest.mark.pages("2.4 row 1", "2.4 row 2", "12 row 9")
def test_difference_2_location_names_the_path_it_means(path: str, query: str, location: str) -> None:
    assert html_location(path, query) == location


@pytest.mark.parametrize(
    "start",
    ["//", "///", "/\\", "\\\\", "/\t/", "/ ", "/%2F", "/%2f%5C", "/%5c", "/%09/", "/\n/", "/\u3000/", "/\xa0/"],
)
@pytest.mark.pages("2.4 row 3")
def test_hardening_35_a_leading_run_that_could_lead_to_another_host_is_one_slash(start: str) -> None:
    assert html_location(f"{start}evil.example/a//b", "") == "/evil.example/a//b"


@given(st.text(max_size=20), st.sampled_from(["", "?a=//b"]))
@settings(max_examples=200, deadline=None)
def test_hardening_35_and_36_location_is_ascii_and_of_this_host(text: str, query: str) -> None:
    location = html_location("/" + text.encode("utf-8", "ignore").decode(), query)
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    assert location[:1] == "/"
    assert location[1:2] not in ("/", "\\")
    assert "?" not in location.removesuffix(query)
    is_all_collapsed = not re.sub(r"[/\\\s]", "", text) or "%" in text  # a leading run of these is one slash
    assert unquote(location.removesuffix(query)).endswith(text[-1:]) or is_all_collapsed
