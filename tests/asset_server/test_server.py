"""What a request gets: pages-serving 0, 3, 6 and 8 with differences 1 to 6, 10 and 16."""

import gzip
from typing import Final

import brotli
import pytest
import zstandard

from asset_server.blobs import BlobCorrupt, BlobMissing
from asset_server.message import Response
from tests.asset_server.conftest import NOW_S, MakeSite

LONG: Final = "".join(f"<p>paragraph {n} of a page\n" for n in range(100))
ALWAYS: Final = {
    "access-control-allow-origin": "*",
    "referrer-policy": "strict-origin-when-cross-origin",
}


def fields(response: Response) -> dict[str, str]:
    names = [name for name, _ in response.headers]
    assert len(names) == len(set(names)), "a field came twice"
    return {name.decode(): value.decode() for name, value in response.headers}


@pytest.mark.pages("6.1 row 3", "6.2 row 1", "6.3 row 1")
def test_6_1_column_200(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "text"})
    response = site.get("/a.txt")
    assert (response.status, response.body) == (200, b"text")
    assert fields(response) == ALWAYS | {
        "content-type": "text/plain; charset=utf-8",
        "x-content-type-options": "nosniff",
        "etag": f'"{site.key("/a.txt")}"',
        "cache-control": "public, max-age=0, must-revalidate",
        "accept-ranges": "bytes",
        "content-length": "4",
    }


@pytest.mark.pages("6.2 row 4", "12 row 6")
def test_6_1_column_304_with_difference_4(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "text"})
    etag = f'"{site.key("/a.txt")}"'
    response = site.get("/a.txt", {"if-none-match": etag})
    assert (response.status, response.body) == (304, b"")
    assert fields(response) == ALWAYS | {"etag": etag, "cache-control": "public, max-age=0, must-revalidate"}


def test_difference_4_304_has_vary_as_the_200_would(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": LONG})
    whole = site.get("/a.txt", {"accept-encoding": "br"})
    response = site.get("/a.txt", {"accept-encoding": "br", "if-none-match": fields(whole)["etag"]})
    assert response.status == 304
    for name in ("etag", "cache-control", "vary"):
        assert fields(response)[name] == fields(whole)[name]


@pytest.mark.pages("2.4 row 4", "2.4 row 5")
def test_6_1_column_308_html(make_site: MakeSite) -> None:
    response = make_site({"/a.html": "x"}).get("/a.html?q=1")
    assert (response.status, response.body) == (308, b"")
    assert fields(response) == ALWAYS | {"location": "/a?q=1", "content-length": "0"}


@pytest.mark.parametrize("status", [301, 302, 303, 307])
@pytest.mark.pages("4.5 row 5", "4.5 row 7")
def test_6_1_column_30x_rule(make_site: MakeSite, status: int) -> None:
    response = make_site({}, redirects=f"/old /new {status}").get("/old")
    assert (response.status, response.body) == (status, b"Redirecting to /new")
    assert fields(response) == ALWAYS | {
        "location": "/new",
        "content-type": "text/plain;charset=UTF-8",
        "x-content-type-options": "nosniff",
        "content-length": "19",
    }


@pytest.mark.pages("4.5 row 5")
def test_6_1_column_30x_rule_not_308(make_site: MakeSite) -> None:
    response = make_site({}, redirects="/old /new 308").get("/old")
    assert (response.status, response.body) == (308, b"")
    assert fields(response) == ALWAYS | {"location": "/new", "content-length": "0"}


def test_6_1_column_404_page(make_site: MakeSite) -> None:
    response = make_site({"/404.html": "gone"}).get("/x")
    assert (response.status, response.body) == (404, b"gone")
    assert fields(response) == ALWAYS | {
        "content-type": "text/html; charset=utf-8",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "content-length": "4",
    }


def test_6_1_column_404_bare_difference_10(make_site: MakeSite) -> None:
    response = make_site({}).get("/x")
    assert (response.status, response.body) == (404, b"")
    assert fields(response) == ALWAYS | {"cache-control": "no-store", "content-length": "0"}


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "PUT", "DELETE", "TRACE", "get"])
@pytest.mark.parametrize("path", ["/a.txt", "/does-not-exist"])
@pytest.mark.pages("6.3 row 3", "3 row 3")
def test_6_1_column_405_with_difference_3(make_site: MakeSite, method: str, path: str) -> None:
    response = make_site({"/a.txt": "x", "/404.html": "y"}).get(path, method=method)
    assert (response.status, response.body) == (405, b"")
    assert fields(response) == ALWAYS | {"allow": "GET, HEAD", "content-length": "0"}


@pytest.mark.parametrize("accepted", ["identity;q=0", "*;q=0", "deflate, identity;q=0"])
def test_6_1_column_406(make_site: MakeSite, accepted: str) -> None:
    response = make_site({"/a.txt": "x"}).get("/a.txt", {"accept-encoding": accepted})
    assert (response.status, response.body) == (406, b"")
    assert fields(response) == ALWAYS | {"content-length": "0"}


@pytest.mark.pages("0 step 3", "6.3 row 4", "4.5 row 6", "12 row 2")
def test_0_step_2_redirects_win_over_assets_and_methods(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "x"}, redirects="/a.txt /b")
    assert site.get("/a.txt").status == 302
    assert site.get("/a.txt", method="POST").status == 302


@pytest.mark.pages("0 step 5", "4.6 row 1", "4.6 row 2", "4.6 row 3", "4.6 row 5", "12 row 10")
def test_0_step_4_a_200_rule_changes_the_path_that_is_looked_up(make_site: MakeSite) -> None:
    site = make_site({"/dir/index.html": "dir", "/about.html": "x"}, redirects="/s /dir/ 200\n/t /about.html 200")
    assert site.get("/s").body == b"dir"
    response = site.get("/t?q=1")
    assert (response.status, fields(response)["location"]) == (308, "/about?q=1")
    assert site.get("/s", method="POST").status == 405


@pytest.mark.pages("4.6 row 2")
def test_4_6_the_404_walk_starts_from_the_rewritten_path(make_site: MakeSite) -> None:
    site = make_site({"/a/404.html": "in a", "/404.html": "root"}, redirects="/r /a/missing 200")
    assert site.get("/r").body == b"in a"


@pytest.mark.pages("4.6 row 4", "5.2 row 4")
def test_4_6_headers_are_matched_against_the_url_asked_for(make_site: MakeSite) -> None:
    site = make_site({"/dir/index.html": "x"}, redirects="/s /dir/ 200", headers="/s\n  X-A: s\n/dir/\n  X-A: dir")
    assert fields(site.get("/s"))["x-a"] == "s"


@pytest.mark.pages("1 row 3", "1 row 4", "1 row 5", "1 row 6")
def test_0_step_6_the_whole_path_is_decoded_once(make_site: MakeSite) -> None:
    site = make_site({"/dir/index.html": "dir", "/pct%41.html": "pct", "/+.txt": "plus", "/%ff.txt": "raw"})
    assert site.get("/dir%2F").body == b"dir"
    assert fields(site.get("/dir%2Findex.html"))["location"] == "/dir/"
    assert site.get("/pct%2541").body == b"pct"
    assert site.get("/pct%41").status == 404
    assert site.get("/+.txt").body == b"plus"
    assert site.get("/%ff.txt").body == b"raw"


@pytest.mark.parametrize("path", ["/a%0d%0ax/index", "/a%0Ax/index.html", "/%0d%0aset-cookie:x/index/"])
@pytest.mark.pages("1 row 11")
def test_1_difference_20_line_breaks_never_come_near_a_location(make_site: MakeSite, path: str) -> None:
    response = make_site({"/index.html": "x"}).get(path)
    assert response.status in (400, 404)
    assert "location" not in fields(response)


@pytest.mark.pages("2.1 row 4")
def test_difference_7_below_a_plain_file_is_404(make_site: MakeSite) -> None:
    assert make_site({"/a.css": "x"}).get("/a.css/").status == 404


def test_hardening_34_dot_segments_after_decoding_are_a_plain_miss(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "x"})
    for path in ("/..%2f..%2fetc/passwd", "/%2e%2e%2fa.txt", "/x%5c..%5ca.txt", "/%252e%252e/a.txt"):
        assert site.get(path).status == 404, path


@pytest.mark.pages("3 row 1", "6.2 row 3", "12 row 20")
def test_3_step_4_single_page_app_answers_200_with_validators(make_site: MakeSite) -> None:
    site = make_site({"/index.html": "app"})
    response = site.get("/some/route.css")
    assert (response.status, response.body) == (200, b"app")
    assert fields(response)["content-type"] == "text/html; charset=utf-8"
    assert site.get("/other", {"if-none-match": fields(response)["etag"]}).status == 304


@pytest.mark.pages("7 row 4")
def test_3_step_3_a_404_page_has_no_conditionals_ranges_or_hints(make_site: MakeSite) -> None:
    site = make_site({"/404.html": "<link rel=preload href=/a.css>"})
    response = site.get(
        "/x", {"if-none-match": f'"{site.key("/404.html")}", *', "range": "bytes=0-0", "if-match": '"x"'}
    )
    assert (response.status, response.body) == (404, b"<link rel=preload href=/a.css>")
    assert not {"etag", "link", "accept-ranges"} & fields(response).keys()


def test_corner_case_3_the_404_page_itself_is_200(make_site: MakeSite) -> None:
    assert make_site({"/404.html": "gone"}).get("/404").status == 200


@pytest.mark.parametrize("name", ["authorization", "range"])
@pytest.mark.pages("6.1 row 1", "12 row 26")
def test_6_1_cache_control_is_left_out_with_authorization_or_range(make_site: MakeSite, name: str) -> None:
    assert "cache-control" not in fields(make_site({"/a.txt": "text"}).get("/a.txt", {name: "x"}))


@pytest.mark.pages("6.1 row 2")
def test_6_1_a_stored_encoding_says_no_transform(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": LONG})
    encoded = fields(site.get("/a.txt", {"accept-encoding": "gzip"}))
    assert encoded["cache-control"] == "no-transform, public, max-age=0, must-revalidate"
    private = fields(site.get("/a.txt", {"accept-encoding": "gzip", "authorization": "x"}))
    assert private["cache-control"] == "no-transform"


@pytest.mark.parametrize(
    ("coding", "decode"),
    [("br", brotli.decompress), ("gzip", gzip.decompress), ("zstd", zstandard.ZstdDecompressor().decompress)],
)
def test_difference_6_each_stored_form_is_a_representation_of_its_own(make_site: MakeSite, coding, decode) -> None:  # type: ignore[no-untyped-def]
    site = make_site({"/a.txt": LONG})
    response = site.get("/a.txt", {"accept-encoding": coding})
    assert decode(bytes(response.body)).decode() == LONG
    head = fields(response)
    assert head["content-encoding"] == coding
    assert head["vary"].lower() == "accept-encoding"
    assert head["etag"] == f'"{site.key("/a.txt")}-{coding}"'
    assert int(head["content-length"]) == len(response.body) < len(LONG)
    assert "accept-ranges" not in head


def test_difference_6_every_representation_and_every_status_of_it_varies(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": LONG, "/404.html": LONG})
    plain = site.get("/a.txt")
    for response in (
        plain,
        site.get("/a.txt", {"accept-encoding": "identity;q=0, deflate"}),
        site.get("/a.txt", {"if-none-match": fields(plain)["etag"]}),
        site.get("/a.txt", {"range": "bytes=0-0"}),
        site.get("/x"),
    ):
        assert fields(response)["vary"].lower() == "accept-encoding", response.status


def test_if_none_match_is_compared_with_the_representation_that_was_selected(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": LONG})
    key = site.key("/a.txt")
    assert site.get("/a.txt", {"accept-encoding": "br", "if-none-match": f'"{key}"'}).status == 200
    assert site.get("/a.txt", {"accept-encoding": "br", "if-none-match": f'"{key}-br"'}).status == 304
    assert site.get("/a.txt", {"if-none-match": f'"{key}-br"'}).status == 200


@pytest.mark.parametrize("value", ["*", 'W/"{}"', '"x", "{}"', '"x",,\tW/"{}" '])
@pytest.mark.pages("6.2 row 2", "12 row 5")
def test_difference_1_lists_star_and_weak_tags_are_304(make_site: MakeSite, value: str) -> None:
    site = make_site({"/a.txt": "text"})
    assert site.get("/a.txt", {"if-none-match": value.format(site.key("/a.txt"))}).status == 304


@pytest.mark.pages("6.2 row 5")
def test_6_2_if_modified_since_is_ignored(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "text"})
    date = "Fri, 01 Jan 2100 00:00:00 GMT"
    assert site.get("/a.txt", {"if-modified-since": date, "if-unmodified-since": date}).status == 200
    assert site.get("/a.txt", {"if-modified-since": date, "if-none-match": '"x"'}).status == 200


@pytest.mark.pages("6.2 row 5")
def test_6_2_if_match_is_ignored(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "text"})
    assert site.get("/a.txt", {"if-match": '"x"'}).status == 200


@pytest.mark.pages("6.2 row 6")
def test_difference_5_a_range_is_206(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "0123456789"})
    response = site.get("/a.txt", {"range": "bytes=2-4"})
    assert (response.status, response.body) == (206, b"234")
    head = fields(response)
    assert head["content-range"] == "bytes 2-4/10"
    assert head["content-length"] == "3"
    assert head["etag"] == f'"{site.key("/a.txt")}"'
    assert head["accept-ranges"] == "bytes"
    assert head["content-type"] == "text/plain; charset=utf-8"


def test_difference_5_ranges_are_of_the_identity_bytes(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": LONG})
    response = site.get("/a.txt", {"range": "bytes=0-9", "accept-encoding": "br, gzip"})
    assert (response.status, response.body) == (206, LONG[:10].encode())
    assert "content-encoding" not in fields(response)


def test_a_client_that_refuses_identity_gets_no_range_of_it(make_site: MakeSite) -> None:
    response = make_site({"/a.txt": LONG}).get("/a.txt", {"range": "bytes=0-9", "accept-encoding": "br, identity;q=0"})
    assert response.status == 200
    assert brotli.decompress(response.body).decode() == LONG


def test_difference_5_a_range_past_the_end_is_416(make_site: MakeSite) -> None:
    response = make_site({"/a.txt": "0123456789"}).get("/a.txt", {"range": "bytes=10-"})
    assert (response.status, response.body) == (416, b"")
    assert fields(response) == ALWAYS | {"content-range": "bytes */10", "content-length": "0"}


def test_difference_5_if_range_with_another_tag_gets_the_whole(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "0123456789"})
    assert site.get("/a.txt", {"range": "bytes=0-0", "if-range": '"stale"'}).status == 200
    assert site.get("/a.txt", {"range": "bytes=99-", "if-range": '"stale"'}).status == 200
    assert site.get("/a.txt", {"range": "bytes=0-0", "if-range": f'"{site.key("/a.txt")}"'}).status == 206


def test_difference_5_several_ranges_are_multipart(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "".join(str(n % 10) for n in range(500))})
    response = site.get("/a.txt", {"range": "bytes=1-2, -3"})
    kind, _, boundary = fields(response)["content-type"].partition("; boundary=")
    assert (response.status, kind) == (206, "multipart/byteranges")
    parts = bytes(response.body).split(f"--{boundary}".encode())
    assert parts[1].endswith(b"content-range: bytes 1-2/500\r\n\r\n12\r\n")
    assert parts[2].endswith(b"content-range: bytes 497-499/500\r\n\r\n789\r\n")
    assert b"content-type: text/plain; charset=utf-8" in parts[1]
    assert parts[3] == b"--\r\n"
    assert "content-range" not in fields(response)


def test_difference_5_a_boundary_is_that_of_its_body_and_the_same_each_time(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "a" * 500, "/b.txt": "b" * 500})
    answers = [site.get(path, {"range": "bytes=1-2, -3"}) for path in ("/a.txt", "/b.txt", "/a.txt")]
    boundaries = [fields(answer)["content-type"].partition("boundary=")[2] for answer in answers]
    assert boundaries[0] == boundaries[2] != boundaries[1]
    # It follows from the asset's key, without a look at the body: the same bytes under another extension have another.
    copies = make_site({"/d.txt": "d" * 500, "/d.css": "d" * 500})
    assert (
        len({fields(copies.get(path, {"range": "bytes=1-2, -3"}))["content-type"] for path in ("/d.txt", "/d.css")})
        == 2
    )
    # Who has seen one boundary can't write it into a file, and have its part end where the file's author likes.
    known = make_site({"/c.txt": f"--{boundaries[0]}--" + "c" * 500}).get("/c.txt", {"range": "bytes=0-99, -3"})
    assert fields(known)["content-type"].partition("boundary=")[2] not in boundaries


@pytest.mark.parametrize("value", ["bytes=0-0", "bytes=1-2, -3", "bytes=9999-"])
def test_hardening_39_a_head_with_a_range_is_that_of_the_whole(make_site: MakeSite, value: str) -> None:
    site = make_site({"/a.txt": "a" * 500})
    head, whole = site.get("/a.txt", {"range": value}, method="HEAD"), fields(site.get("/a.txt"))
    del whole["cache-control"]  # 6.1: left out with Range
    assert (head.status, head.body, fields(head)) == (200, b"", whole)  # RFC 9110 14.2: a range is a GET's


APP_HEADERS = "/assets/*\n  Cache-Control: public, max-age=31536000, immutable\n  X-A: b"


def test_difference_19_a_front_page_is_never_kept_for_ever_under_a_missing_files_name(make_site: MakeSite) -> None:
    site = make_site({"/index.html": "app", "/assets/app.1.js": "js"}, headers=APP_HEADERS)
    there, missing = fields(site.get("/assets/app.1.js")), fields(site.get("/assets/app.0.js"))
    assert there["cache-control"] == "public, max-age=31536000, immutable"
    assert (missing["cache-control"], missing["x-a"]) == ("public, max-age=0, must-revalidate", "b")
    revalidated = site.get("/assets/app.0.js", {"if-none-match": missing["etag"]})
    assert (revalidated.status, fields(revalidated)["cache-control"]) == (304, missing["cache-control"])


def test_difference_19_any_other_cache_control_and_the_front_page_itself_are_the_sites(make_site: MakeSite) -> None:
    site = make_site({"/index.html": "app"}, headers=f"{APP_HEADERS}\n/r/*\n Cache-Control: max-age=60")
    assert fields(site.get("/r/missing"))["cache-control"] == "max-age=60"
    own = make_site({"/index.html": "app"}, headers="/*\n Cache-Control: immutable")
    for target in ("/", "/some/route", "/a.page.html"):  # what a route of the app shows is its front page by right
        assert fields(own.get(target))["cache-control"] == "immutable", target
    assert fields(own.get("/app.js"))["cache-control"] != "immutable"


def test_304_comes_before_range(make_site: MakeSite) -> None:
    assert make_site({"/a.txt": "text"}).get("/a.txt", {"range": "bytes=0-0", "if-none-match": "*"}).status == 304


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/a.txt", {}),
        ("/a.txt", {"accept-encoding": "br"}),
        ("/a.txt", {"if-none-match": "*"}),
        ("/a.txt", {"if-match": '"x"'}),
        ("/a.txt", {"accept-encoding": "*;q=0"}),
        ("/", {}),
        ("/p.html", {}),
        ("/x/missing", {}),
        ("/old", {}),
        ("/spa", {}),
        ("/kept.js", {}),
    ],
)
@pytest.mark.pages("6.3 row 2")
def test_hardening_39_head_is_get_without_the_body(make_site: MakeSite, target: str, headers: dict[str, str]) -> None:
    site = make_site(
        {"/a.txt": LONG, "/index.html": "<link rel=preload href=/a.css>", "/p.html": "p", "/x/404.html": LONG},
        redirects="/old /new",
        headers="/*\n  X-A: b",
        kept={"/kept.js": LONG},
    )
    got, head = site.get(target, headers), site.get(target, headers, method="HEAD")
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


@pytest.mark.pages("6.4 row 2", "6.4 row 3", "6.4 row 4", "6.4 row 7", "12 row 27")
def test_6_4_difference_18_link_comes_with_the_first_answer_before_header_rules(make_site: MakeSite) -> None:
    files = {"/index.html": "<link rel=preload href=/a.css as=style>", "/a.txt": "<link rel=preload href=/a.css>"}
    link = '</a.css>; rel="preload"; as=style'
    site = make_site(files)
    assert fields(site.get("/", method="HEAD"))["link"] == link
    assert fields(site.get("/any/app/route"))["link"] == link
    assert "link" not in fields(site.get("/a.txt"))
    assert "link" not in fields(site.get("/", {"if-none-match": "*"}))
    assert fields(make_site(files, headers="/\n  Link: </b>; rel=x").get("/"))["link"] == "</b>; rel=x"
    assert "link" not in fields(make_site(files, headers="/\n  ! Link").get("/"))


@pytest.mark.pages("5.3 row 6", "0 step 10")
def test_5_3_header_rules_apply_to_every_status_below_500(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "text", "/p.html": "p"}, headers="/*\n  X-A: b", redirects="/old /new")
    for response in (
        site.get("/a.txt"),
        site.get("/a.txt", {"if-none-match": "*"}),
        site.get("/a.txt", {"accept-encoding": "*;q=0"}),
        site.get("/p.html"),
        site.get("/old"),
        site.get("/missing"),
        site.get("/a.txt", method="POST"),
        site.get("/a.txt", {"range": "bytes=99-"}),
    ):
        assert fields(response)["x-a"] == "b", response.status


@pytest.mark.pages("12 row 18")
def test_0_step_11_a_404_is_no_store_whatever_the_rules_say(make_site: MakeSite) -> None:
    site = make_site({"/404.html": "gone"}, headers="/*\n  Cache-Control: public, max-age=31536000, immutable")
    assert fields(site.get("/assets/app.123.js"))["cache-control"] == "no-store"
    assert "immutable" in fields(site.get("/404"))["cache-control"]


@pytest.mark.pages("12 row 19")
def test_6_2_an_etag_of_the_rules_is_shown_but_not_compared(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "text"}, headers='/*\n  ETag: "mine"')
    assert fields(site.get("/a.txt"))["etag"] == '"mine"'
    assert site.get("/a.txt", {"if-none-match": '"mine"'}).status == 200


def test_difference_21_rules_cannot_mix_the_forms_up(make_site: MakeSite) -> None:
    """A site may add to Vary or take it away: caches still learn that Accept-Encoding matters."""
    for rule in ("Vary: Origin", "! Vary"):
        head = fields_joined(make_site({"/a.txt": LONG}, headers=f"/*\n  {rule}").get("/a.txt"), "vary")
        assert "accept-encoding" in head.lower(), rule
    star = make_site({"/a.txt": LONG}, headers="/*\n  Vary: *").get("/a.txt")
    assert fields(star)["vary"] == "*"


def fields_joined(response: Response, name: str) -> str:
    return ", ".join(value.decode() for key, value in response.headers if key.decode() == name)


def test_difference_21_a_site_that_names_its_own_content_encoding_gets_its_bytes_as_they_are(
    make_site: MakeSite,
) -> None:
    site = make_site({"/a.txt": LONG}, headers="/*\n  Content-Encoding: x-own")
    response = site.get("/a.txt", {"accept-encoding": "br, gzip"})
    assert response.body == LONG.encode()
    assert fields(response)["content-encoding"] == "x-own"
    assert fields(response)["etag"] == f'"{site.key("/a.txt")}"'


def test_difference_25_rules_cannot_change_the_length(make_site: MakeSite) -> None:
    response = make_site({"/a.txt": "text"}, headers="/*\n  Content-Length: 1").get("/a.txt")
    assert fields(response)["content-length"] == "4"


def test_1_row_2_rules_match_the_encoded_path_verbatim_and_never_the_query(make_site: MakeSite) -> None:
    site = make_site({"/index.html": "x"}, redirects="/old /new\n/w/* /v/:splat", headers="/old\n  X-Old: 1")
    for target in ("/old", "/old?a=b", "/old?"):
        assert fields(site.get(target))["x-old"] == "1"
        assert site.get(target).status == 302
    for target in ("/Old", "/%6fld", "/x?/old"):
        assert "x-old" not in fields(site.get(target))
        assert site.get(target).status == 200
    assert fields(site.get("/w/a%2Fb?/w/c"))["location"] == "/v/a%2Fb?/w/c"


def test_12_row_33_a_kept_asset_is_found_by_its_path_whatever_the_query(make_site: MakeSite) -> None:
    site = make_site({"/404.html": "gone"}, kept={"/old.css": "old"})
    assert site.get("/old.css?v=3").body == site.get("/old.css").body == b"old"


def test_12_row_34_a_header_rule_for_the_404_page_never_affects_a_404(make_site: MakeSite) -> None:
    site = make_site({"/404.html": "gone"}, headers="/404.html\n  X-A: 1\n/404\n  X-B: 1")
    assert not {"x-a", "x-b"} & fields(site.get("/missing")).keys()


def test_12_row_36_a_rule_above_everything_shadows_every_file(make_site: MakeSite) -> None:
    site = make_site({"/index.html": "front", "/a.txt": "a"}, redirects="/* / 200")
    assert site.get("/a.txt").body == site.get("/missing").body == b"front"


PREVIEW_ANSWERS = [
    ("/a.txt", {}, 200),
    ("/a.txt", {"if-none-match": "*"}, 304),
    ("/a.txt", {"range": "bytes=0-0"}, 206),
    ("/a.txt", {"range": "bytes=99999-"}, 416),
    ("/a.txt", {"accept-encoding": "*;q=0"}, 406),
    ("/p.html", {}, 308),
    ("/old", {}, 302),
    ("/x/missing", {}, 404),
    ("/app/route", {}, 200),
    ("/kept.js", {}, 200),
]


@pytest.mark.parametrize(("target", "headers", "status"), PREVIEW_ANSWERS)
def test_difference_17_hardening_84_preview_hosts_are_noindex_on_every_answer(
    make_site: MakeSite, target: str, headers: dict[str, str], status: int
) -> None:
    site = make_site(
        {"/a.txt": LONG, "/p.html": "p", "/x/404.html": "gone", "/index.html": "app"},
        redirects="/old /new",
        kept={"/kept.js": "old"},
    )
    preview = site.get(target, headers, is_preview=True)
    assert preview.status == status
    assert fields(preview)["x-robots-tag"] == "noindex"
    assert fields(site.get(target, headers, method="POST", is_preview=True))["x-robots-tag"] == "noindex"
    production = fields(site.get(target, headers))
    assert production.get("x-robots-tag") == ("noindex" if target == "/kept.js" else None)


def test_hardening_84_a_bare_404_of_a_preview_is_noindex(make_site: MakeSite) -> None:
    assert fields(make_site({}).get("/x", is_preview=True))["x-robots-tag"] == "noindex"


@pytest.mark.pages("6.1 row 6")
def test_6_1_noindex_is_the_sites_to_remove(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "x"}, headers="/*\n  ! X-Robots-Tag")
    assert "x-robots-tag" not in fields(site.get("/a.txt", is_preview=True))


@pytest.mark.pages("8")
def test_difference_16_a_replaced_asset_is_still_answered(make_site: MakeSite) -> None:
    site = make_site({"/index.html": "app", "/404.html": "gone"}, kept={"/app.1.js": "old"}, headers="/*\n  X-A: b")
    response = site.get("/app.1.js")
    assert (response.status, response.body) == (200, b"old")
    head = fields(response)
    assert head["cache-control"] == "public, s-maxage=604800"
    assert head["x-robots-tag"] == "noindex"
    assert head["x-a"] == "b"
    assert site.get("/app.1.js", {"if-none-match": head["etag"]}).status == 304


@pytest.mark.pages("0 step 8", "3 step 1")
def test_difference_16_the_new_deployment_goes_first(make_site: MakeSite) -> None:
    assert make_site({"/a.js": "new"}, kept={"/a.js": "old"}).get("/a.js").body == b"new"
    assert make_site({"/a.html": "new"}, kept={"/a": "old"}).get("/a").body == b"new"


def test_difference_16_a_deleted_page_is_gone(make_site: MakeSite) -> None:
    site = make_site({"/404.html": "gone"}, kept={"/page.html": "old", "/page.xhtml": "old", "/index.html": "old"})
    for path in ("/page", "/page.html", "/page.xhtml", "/", "/index.html"):
        assert site.get(path).status in (404, 308), path


def test_difference_16_ends_with_the_days_that_assets_are_kept(make_site: MakeSite) -> None:
    site = make_site({}, kept={"/a.js": "old"}, kept_until_s=NOW_S + 10)
    assert site.get("/a.js").status == 200
    site.now_s[0] = NOW_S + 10
    assert site.get("/a.js").status == 404


def test_hardening_41_a_missing_chunk_of_a_single_page_app_is_the_kept_one(make_site: MakeSite) -> None:
    response = make_site({"/index.html": "app"}, kept={"/app.1.js": "old"}).get("/app.1.js")
    assert (response.body, fields(response)["content-type"]) == (b"old", "application/javascript")


@pytest.mark.parametrize(
    "name",
    ["x-forwarded-host", "x-original-url", "x-rewrite-url", "x-http-method-override", "cookie", "host", "accept"],
)
def test_hardening_40_an_answer_depends_on_no_other_field(make_site: MakeSite, name: str) -> None:
    site = make_site({"/a.txt": LONG, "/b.txt": "x"}, redirects="/old /new")
    for target in ("/a.txt", "/old", "/missing", "/a.txt;x", "/a.txt%3Fx"):
        assert site.get(target, {name: "/b.txt"}) == site.get(target)


def test_hardening_59_damage_is_raised_and_never_served(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": "text", "/b.txt": "other"})
    site.store.remove(site.key("/a.txt"))
    with pytest.raises(BlobMissing):
        site.get("/a.txt")
    with pytest.raises(BlobMissing):
        site.get("/a.txt", method="HEAD")
    assert site.get("/b.txt").status == 200


def test_a_form_that_the_blob_lacks_is_damage(make_site: MakeSite) -> None:
    site = make_site({"/a.txt": LONG})
    path = next(site.store._blobs.path.glob("*/*.blob"))
    short = path.read_bytes()[:-1]
    path.write_bytes(short)
    with pytest.raises(BlobCorrupt):
        site.get("/a.txt", {"accept-encoding": "br"})
