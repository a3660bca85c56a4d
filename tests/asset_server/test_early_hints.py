import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.blob_file import LINKS_BYTES_MAX
from asset_server.early_hints import SCANNED_BYTES_MAX, early_hint_links

PRELOAD = '</a.css>; rel="preload"; as=style'


@pytest.mark.parametrize(
    ("html", "value"),
    [
        ('<link rel="preload" href="/a.css" as="style">', PRELOAD),
        ("<LINK REL=preload HREF=/a.css AS=style />", PRELOAD),
        ("<link\nhref='/a.css'\tas = style rel=preload>", PRELOAD),
        (
            '<link rel="preconnect" href="https://x.example/?a=1&amp;b=2">',
            '<https://x.example/?a=1&b=2>; rel="preconnect"',
        ),
        ('<link rel="modulepreload" href="m.js">', '<m.js>; rel="modulepreload"'),
        ('<link rel="stylesheet preload" href="a">', '<a>; rel="stylesheet preload"'),
        ("<link rel=preload href=a><p><link rel=preload href=b>", '<a>; rel="preload", <b>; rel="preload"'),
    ],
)
@pytest.mark.pages("6.4 row 6")
def test_6_4_row_1_links_that_ask_for_an_early_fetch_in_document_order(html: str, value: str) -> None:
    assert early_hint_links(html.encode()) == value


@pytest.mark.parametrize(
    "attribute", ["crossorigin", "type=text/css", 'media="print"', "id=x", "data-x", "integrity=x"]
)
def test_6_4_row_5_a_link_with_any_other_attribute_is_left_out(attribute: str) -> None:
    assert early_hint_links(f"<link rel=preload href=/a.css {attribute}>".encode()) == ""


@pytest.mark.parametrize(
    "html",
    [
        "<link rel=stylesheet href=/a.css><!-- preload -->",
        "<link rel=preload href=''>",
        "<link rel='' href=/a>preload",
        "<link href=/a>preload",
        "<link rel=preload>",
        "<link rel=preload href='data:text/css,x'>",
        "<link rel=preload href=' DATA:text/css,x'>",
        "<link rel=preloaded href=/a>",
        "</link rel=preload href=/a>",
        "<linkrel=preload href=/a>",
        "",
    ],
)
def test_6_4_row_5_other_links_are_left_out(html: str) -> None:
    assert early_hint_links(html.encode()) == ""


@pytest.mark.parametrize(
    "around",
    [
        "<!-- {} -->",
        "<script>'{}'</script>",
        "<style>{}</style>",
        "<title>{}</title>",
        "<textarea>{}</textarea>",
        "<noscript>{}</noscript>",
        '<p title="{}">',
        "<p title='{}'>",
        "<SCRIPT >{}</ScRiPt >",
        "<!-- {}",
        "<script>{}",
        "<p title='{}",
    ],
)
def test_text_that_only_looks_like_a_link_is_none(around: str) -> None:
    lookalike = around.format("<link rel=preload href=/no>")
    assert early_hint_links(lookalike.encode()) == ""


def test_links_after_text_and_comments_are_found() -> None:
    html = (
        b"<!--><link rel=preload href=/1><script>a<b</script><p it's>"
        b"<link rel=preload href=/2><!-- x --!><link rel=preload href=/3>"
    )
    assert early_hint_links(html) == '</1>; rel="preload", </2>; rel="preload", </3>; rel="preload"'


@pytest.mark.parametrize(
    ("base", "href", "target"),
    [
        ("https://cdn.example/lib/", "a.css", "https://cdn.example/lib/a.css"),
        ("/app/", "a.css", "/app/a.css"),
        ("/app/", "/a.css", "/a.css"),
        ("/app/", "https://x.example/", "https://x.example/"),
    ],
)
def test_6_4_row_8_the_first_base_anywhere_resolves_all_hrefs(base: str, href: str, target: str) -> None:
    html = f"<link rel=preload href='{href}'><base target=_top><base href='{base}'><base href='/second/'>"
    assert early_hint_links(html.encode()) == f'<{target}>; rel="preload"'


def test_a_base_that_is_no_url_leaves_the_links_out() -> None:
    assert early_hint_links(b"<base href='http://[x'><link rel=preload href=a>") == ""


@pytest.mark.parametrize(
    ("href", "target"),
    [
        ("/a\r\nx-evil: 1", "/ax-evil:%201"),
        ("/a>; rel=x, <b", "/a%3E;%20rel=x,%20%3Cb"),
        ("/é€", "/%C3%A9%E2%82%AC"),
        ("/%C3%A9", "/%C3%A9"),
        ("/a&#13;&#10;b", "/ab"),
        ("\t /a ", "/a"),
    ],
)
def test_an_href_cannot_end_its_brackets_or_the_field(href: str, target: str) -> None:
    assert early_hint_links(f'<link rel=preload href="{href}">'.encode()) == f'<{target}>; rel="preload"'


@pytest.mark.parametrize(
    "rest", ["rel='preload&quot;; x' href=a", "rel='preload é' href=a", "rel=preload as='x; y' href=a"]
)
def test_a_rel_or_as_that_is_no_plain_word_is_left_out(rest: str) -> None:
    assert early_hint_links(f"<link {rest}>".encode()) == ""


def test_the_field_is_bounded_and_keeps_whole_links() -> None:
    html = "".join(f"<link rel=preload href=/{n}>" for n in range(1_000))
    value = early_hint_links(html.encode())
    assert LINKS_BYTES_MAX - 40 < len(value) <= LINKS_BYTES_MAX
    assert value.endswith('>; rel="preload"')


def test_a_page_of_nothing_but_links_costs_no_more_than_the_links_that_fit() -> None:
    html = b"<link rel=preload href=x>" * 1_000_000
    tracemalloc.start()
    try:
        value = early_hint_links(html)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert value.count("preload") == (LINKS_BYTES_MAX + 2) // len('<x>; rel="preload", ')
    assert peak_bytes < 3 * SCANNED_BYTES_MAX


def test_links_that_ask_for_nothing_take_no_places_away() -> None:
    html = b"<link rel=preload href=data:,><link rel=stylesheet href=/a.css>" * 1_000
    assert early_hint_links(html + b"<link rel=preload href=/z>") == '</z>; rel="preload"'


def test_a_base_after_more_links_than_fit_still_resolves_them() -> None:
    html = b"<link rel=preload href=x>" * 1_000 + b"<base href=/b/>"
    assert early_hint_links(html).startswith('</b/x>; rel="preload", ')


def test_what_comes_after_a_megabyte_is_not_read() -> None:
    padding = b"<p>" + b"x" * SCANNED_BYTES_MAX
    assert (
        early_hint_links(b"<link rel=preload href=/a>" + padding + b"<link rel=preload href=/z>").count("preload") == 1
    )


fragments = st.sampled_from(
    [
        "<link ",
        "rel=preload ",
        "href=/a ",
        "href='",
        '"',
        "'",
        ">",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "é",
        "\r\n",
        "=",
    ]
)


@given(st.lists(fragments, max_size=30).map("".join).map(str.encode) | st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_a_field_value_that_is_safe_to_send(html: bytes) -> None:
    value = early_hint_links(html + b"<link rel=preload href=/z>")
    assert value.isascii()
    assert value.isprintable()
