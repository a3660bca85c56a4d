"""Cases of hardening.md that need a deployed site: a hostile visitor or author against a whole server."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Answer, LiveServer, exchange, serving

DOMAIN = "pages.localhost"
FILES = {
    "index.html": "<h1>front</h1>",
    "404.html": "gone",
    "about.html": "about",
    "dir/index.html": "dir",
    "secret%2e.txt": "literal",
    "data.bin": "0123456789" * 1000,
    "_worker.js.map": "map",
    "sub/_headers": "nested",
}
REDIRECTS = "\n".join(
    [
        "/old/* /:splat 301",
        "/to/:where /landing?to=:where 302",
        "/loop-a /loop-b",
        "/loop-b /loop-a",
        "/self /self",
        "/about /about.html 200",
        *(f"/p{number}/:a-:b-:c-:d-:e/* /x/:a" for number in range(90)),
    ]
)
HEADERS = """/*
  X-Fine: yes
  Transfer-Encoding: chunked
  Content-Length: 1
  Connection: close
  Set-Cookie: a=1; Domain=localhost
/404.html
  X-Never: 404
"""

Raw = Callable[[bytes], bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("hardening") / "data") as running:
        folder = tmp_path_factory.mktemp("site")
        for name, content in {**FILES, "_redirects": REDIRECTS, "_headers": HEADERS}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)
        running.cli("deploy", str(folder), "--project", "site", "--branch", "main")
        yield running


@pytest.fixture
def get(server: LiveServer) -> Callable[..., Answer]:
    return lambda target="/", **headers: server.get(f"site.{DOMAIN}", target, headers=headers)


def raw(server: LiveServer, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.edge_port), timeout=20) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("site.pages.localhost", 200),
        ("SITE.Pages.LocalHost.", 200),
        ("site.pages.localhost:1", 200),
        ("site..pages.localhost", 400),
        ("sité.pages.localhost", 400),
        ("xn--zzzzzzzzzz99999.pages.localhost", 400),
        ("xn--bcher-kva.pages.localhost", 404),
        ("a" * 63 + ".pages.localhost", 404),
        ("a" * 64 + ".pages.localhost", 400),
        (".".join(["a" * 60] * 5), 400),
    ],
)
def test_24_25_26_a_host_is_known_unknown_or_refused(server: LiveServer, host: str, status: int) -> None:
    received = raw(server, b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "target",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd", "/..\\..\\etc", "/%5c..%5cetc",
     "/%252e%252e/etc", "/%c0%ae%c0%ae/etc/passwd", "/a;/../x", "/dir/%2e%2e%2fdata.bin"],
)  # fmt: skip
def test_34_no_spelling_of_a_path_leaves_the_deployment(get: Callable[..., Answer], target: str) -> None:
    answer = get(target)
    assert answer.status == 404
    assert answer.body == b"gone"


def test_34_a_double_encoded_path_is_a_literal_name_and_a_nul_is_400(get: Callable[..., Answer]) -> None:
    assert get("/secret%252e.txt").body == b"literal"
    assert get("/%00").status == 400


@pytest.mark.parametrize(
    "target",
    ["//evil.com/%2e%2e", "/\\evil.com/index", "/%09/evil.com/index", "/%2Fevil.com/index/", "//evil.com/index",
     "/old//evil.com", "/old/%2F/evil.com", "/old/\\evil.com"],
)  # fmt: skip
def test_35_no_redirect_leaves_the_host(get: Callable[..., Answer], target: str) -> None:
    location = get(target).field("location")
    assert location is None or (location.startswith("/") and not location.startswith(("//", "/\\")))


@pytest.mark.parametrize("target", ["/to/a%0d%0aX-Evil:1", "/old/%0d%0aX-Evil:%201", "/a%0d%0aX-Evil:1/index"])
def test_36_a_line_break_never_reaches_a_header(get: Callable[..., Answer], target: str) -> None:
    answer = get(target)
    assert answer.field("x-evil") is None
    assert "\n" not in (answer.field("location") or "")


@pytest.mark.parametrize(
    ("ranges", "status"),
    [
        ("bytes=0-0", 206),
        ("bytes=-0", 416),
        ("bytes=99999999999999999999999-", 416),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(1000)), 200),
        ("bytes=٠-٥", 200),
        ("bytes=+0-5", 200),
    ],
)
def test_37_ranges_are_bounded(server: LiveServer, ranges: str, status: int) -> None:
    head = f"GET /data.bin HTTP/1.1\r\nHost: site.{DOMAIN}\r\nConnection: close\r\nRange: {ranges}\r\n\r\n"
    received = raw(server, head.encode())
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert len(received) < 20_000


def test_38_the_condition_of_a_tag_wins_over_that_of_a_date(get: Callable[..., Answer]) -> None:
    etag = get("/data.bin").field("etag") or ""
    past, future = "Mon, 01 Jan 1990 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
    assert get("/data.bin", **{"If-None-Match": f'"no", W/{etag}', "If-Modified-Since": past}).status == 304
    assert get("/data.bin", **{"If-None-Match": '"no"', "If-Modified-Since": future}).status == 200


@pytest.mark.parametrize("target", ["/", "/absent", "/about.html", "/old/x", "/dir"])
def test_39_head_has_the_headers_of_get(server: LiveServer, target: str) -> None:
    answers = [server.get(f"site.{DOMAIN}", target, method=method) for method in ("GET", "HEAD")]
    got, head = ([field for field in answer.headers if field[0] != "date"] for answer in answers)
    assert head == got
    assert answers[1].body == b""


def test_40_what_is_not_in_the_key_changes_nothing(get: Callable[..., Answer]) -> None:
    plain = get("/old/x")
    for name, value in {
        "X-Forwarded-Host": "evil.com",
        "X-Forwarded-Proto": "https",
        "X-Original-URL": "/about",
        "X-HTTP-Method-Override": "POST",
        "Forwarded": "host=evil.com;proto=https",
    }.items():
        poisoned = get("/old/x", **{name: value})
        assert (poisoned.status, poisoned.field("location")) == (plain.status, plain.field("location"))


def test_44_a_link_that_leaves_the_folder_is_not_deployed(server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("outside")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("front")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    (folder / "cycle").symlink_to(folder)
    done = server.cli("deploy", str(folder), "--project", "links", "--branch", "main", check=False)
    assert done.returncode == 1 or server.get(f"links.{DOMAIN}", "/link.txt").body != b"outside"


@pytest.mark.parametrize("target", ["/_headers", "/_redirects", "/_worker.js", "/_routes.json"])
def test_45_control_files_are_never_served_and_their_namesakes_are(get: Callable[..., Answer], target: str) -> None:
    assert get(target).status == 404
    assert get("/sub/_headers").body == b"nested"


def test_46_ninety_rules_of_five_placeholders_and_a_long_path_are_answered(get: Callable[..., Answer]) -> None:
    assert get("/p89/" + "-".join(["a" * 1500] * 5) + "!").status == 404


def test_47_rules_that_lead_in_circles_are_redirects_like_others(get: Callable[..., Answer]) -> None:
    assert [get(path).field("location") for path in ("/loop-a", "/loop-b", "/self")] == ["/loop-b", "/loop-a", "/self"]


def test_48_headers_that_would_break_the_connection_are_refused_and_the_rest_applies(server: LiveServer) -> None:
    answer = server.get(f"site.{DOMAIN}", "/data.bin")
    assert answer.field("x-fine") == "yes"
    assert answer.field("content-length") == "10000"
    assert answer.field("transfer-encoding") is None
    assert answer.field("connection") is None
    assert answer.field("set-cookie") is None


def test_50_an_unknown_host_is_escaped(server: LiveServer) -> None:
    answer = server.get("nobody.pages.localhost", "/<script>alert(1)</script>")
    assert b"<script" not in answer.body
    assert "default-src 'none'" in (answer.field("content-security-policy") or "")
    assert answer.field("x-content-type-options") == "nosniff"


def test_53_hosts_that_never_were_and_hosts_that_went_are_the_same_answer(server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("short-lived")
    server.cli("deploy", str(tmp_path), "--project", "gone", "--branch", "main")
    server.cli("site", "delete", "gone", "--yes")
    never = server.get(f"neverwas.{DOMAIN}")
    went = server.get(f"gone.{DOMAIN}")
    assert went.status == never.status == 404
    assert went.body.replace(b"gone", b"") == never.body.replace(b"neverwas", b"")
    assert [name for name, _ in went.headers] == [name for name, _ in never.headers]


def test_54_a_flood_of_unknown_hosts_leaves_real_ones_answered(server: LiveServer) -> None:
    connections = b"".join(
        b"GET / HTTP/1.1\r\nHost: flood-%d.pages.localhost\r\n\r\n" % number for number in range(500)
    )
    answers = raw(server, connections + b"GET / HTTP/1.1\r\nHost: site.pages.localhost\r\nConnection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 404 ") == 500
    assert answers.endswith(b"<h1>front</h1>")


def test_84_previews_are_noindex_whatever_the_answer_and_production_is_not(server: LiveServer, tmp_path: Path) -> None:
    for name in ("index.html", "404.html", "about.html"):
        (tmp_path / name).write_text(name)
    (tmp_path / "_redirects").write_text("/moved /about\n")
    server.cli("deploy", str(tmp_path), "--project", "indexed", "--branch", "main")
    server.cli("deploy", str(tmp_path), "--project", "indexed", "--branch", "topic")
    for host, wanted in ((f"topic.indexed.{DOMAIN}", "noindex"), (f"indexed.{DOMAIN}", None)):
        etag = server.get(host).field("etag") or ""
        answers = [
            server.get(host),
            server.get(host, headers={"If-None-Match": etag}),
            server.get(host, "/about.html"),
            server.get(host, "/moved"),
            server.get(host, "/absent"),
        ]
        assert [answer.status for answer in answers] == [200, 304, 308, 302, 404]
        assert {answer.field("x-robots-tag") for answer in answers} == {wanted}


def test_the_api_refuses_what_is_no_http_as_the_edge_does(server: LiveServer) -> None:
    assert exchange(server.api_port, "GET", "/healthz", {"Host": "127.0.0.1"}).status == 200
    with socket.create_connection(("127.0.0.1", server.api_port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\nHost: a\n\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
