"""Door 1 and door 2 say the same, to the byte: what is kept ready or made where its bytes arrive is no other answer."""

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.routes_json import RoutesJson
from router.http1.limits import HttpLimits
from router.http1.refusal import Refused
from router.http1.request_reader import RequestReader
from router.metrics.catalogue import COUNTED, READY_HITS, REQUESTS, STATUS_CLASSES, Kind
from tests.hardening.payloads import REFUSED, SMUGGLED, Payload
from tests.router.doors import Doors, built_doors, request

BROWSER = (
    'sec-ch-ua: "Chromium";v="130"',
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cookie: session=1; theme=dark",
)
FILES = {
    "/index.html": b"<h1>front</h1>" * 300,
    "/about.html": b"about " * 100,
    "/dir/index.html": b"dir",
    "/404.html": b"gone " * 50,
    "/a.txt": b"plain text " * 200,
    "/empty.txt": b"",
    "/photo.png": bytes(range(256)) * 40,
    "/large.bin": bytes(range(256)) * 1024,
    "/caf\u00e9.txt": b"name",
    "/own.css": b"p{}" * 100,
}
REDIRECTS = "/old /new\n/query/* /to/:splat?x=1 301\n/perm /about 308\n/alias /a.txt 200\n/far https://b.example/:x 302"
HEADERS = """/*
  X-All: yes
/a.txt
  ETag: "mine"
  Cache-Control: public, max-age=60
https://a.example/about
  X-Host: a
/own.css
  Content-Encoding: br
"""
TARGETS = (
    "/", "/about", "/about.html", "/dir", "/dir/", "/a.txt", "/empty.txt", "/photo.png", "/large.bin", "/caf%C3%A9.txt",
    "/caf\u00e9.txt", "/own.css", "/missing", "/dir/missing/x", "/old", "/old?a=b", "/query/a/b?c=d", "/perm?",
    "/alias", "/far", "/a.txt?v=1", "/?", "/about.html?x=%0d%0a", "//evil.example/%2e%2e", "/%2e%2e/a.txt", "/../a.txt",
    "/a.txt%00", "/a%2Etxt", "/index", "/index.html?q", "/a.txt;x", "/%", "/%zz", "/\\a.txt", "/a.txt?" + "q" * 3000,
    "http://a.example/a.txt", "http://b.example/?x", "*",
)  # fmt: skip
FIELD_SETS = (
    (),
    BROWSER,
    ("Accept-Encoding: br",),
    ("Accept-Encoding: identity;q=0, *;q=0",),
    ("Accept-Encoding: gzip;q=0.5, br;q=0.4",),
    ("If-None-Match: *",),
    ('If-None-Match: "x", W/"y"', "If-None-Match: broken"),
    ("Range: bytes=0-9",),
    ("Range: bytes=0-9,50-59", "If-Range: nothing"),
    ("Authorization: Basic eDp5",),
    ("Connection: close",),
    ("Content-Length: 0",),
    ("X-Forwarded-Host: evil.example", "X-Original-URL: /about", "X-HTTP-Method-Override: DELETE"),
    ("Upgrade-Insecure-Requests: 1", "Cookie: a=\x7f\u00e9"),
)
METHODS = ("GET", "HEAD", "POST", "OPTIONS")
HOSTS = ("a.example", "A.Example:80", "b.example", "preview.example", "unknown.example", "fn.example", "a..example")


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    with built_doors(tmp_path_factory.mktemp("doors")) as built:
        publish = built.built.publish
        publish("a.example", FILES, redirects=REDIRECTS, headers=HEADERS)
        publish("b.example", {"/index.html": b"app", "/a.txt": b"b's"}, site_no=2)
        publish("preview.example", FILES, is_preview=True, site_no=3)
        publish("fn.example", {"/index.html": b"x"}, function_routes=RoutesJson.everything().encode())
        yield built


WELL_FORMED = [
    request(target, *fields, method=method, host=host)
    for target, fields, (method, host) in product(
        TARGETS,
        FIELD_SETS,
        [("GET", "a.example"), ("HEAD", "a.example"), ("GET", "preview.example"), ("GET", "b.example")],
    )
] + [
    request(target, *fields, method=method, host=host, version=version)
    for target, fields, method, host, version in product(
        ("/", "/a.txt", "/missing", "/old?x"), ((), BROWSER), METHODS, HOSTS, ("1.1", "1.0")
    )
]


def test_there_are_enough_requests() -> None:
    assert len(set(WELL_FORMED)) + len(REFUSED) > 2000


async def test_a_request_gets_the_same_answer_fresh_made_and_ready(doors: Doors) -> None:
    """Each five times on its connection: without a decision, made, kept, found, found by bytes alone."""
    ready_before = len(doors.answers)
    for data in WELL_FORMED:
        expected = await doors.say([data] * 5, is_ready=False)
        assert await doors.say([data] * 5, is_ready=True) == expected, data
        assert await doors.say([data * 5], is_ready=True) == expected, data
    assert len(doors.answers) - ready_before > 200, "most of these were answered from ready bytes"


@pytest.mark.parametrize("payload", REFUSED, ids=str)
async def test_what_is_refused_is_refused_on_a_connection_that_is_warm(doors: Doors, payload: Payload) -> None:
    """After the same header lines were known and ready, at once with them and apart, alone and with more behind."""
    warm = request("/a.txt", *BROWSER) + request() * 4
    for pieces in ([warm, payload.data + SMUGGLED], [warm + payload.data, SMUGGLED], [payload.data]):
        expected = await doors.say(pieces, is_ready=False)
        said, has_ended = await doors.say(pieces, is_ready=True)
        assert (said, has_ended) == expected
        assert has_ended
        assert b"HTTP/1.1 %d " % payload.status in said


def read_to_refusal(reader: RequestReader) -> tuple[int, int]:
    heads_count = 0
    try:
        while reader.next_head() is not None:
            heads_count += 1
            reader.next_body_part()
    except Refused as refused:
        return heads_count, refused.status
    raise AssertionError("it was read to its end")


@pytest.mark.parametrize("payload", REFUSED, ids=str)
async def test_a_refusal_is_the_strict_parsers(doors: Doors, payload: Payload) -> None:
    reader = RequestReader(HttpLimits())
    reader.receive(payload.data)
    heads_count, status = read_to_refusal(reader)
    said, _ = await doors.say([payload.data], is_ready=True)
    statuses = STATUS.findall(said)
    assert int(statuses[-1]) == status
    assert len(statuses) <= heads_count + 1


REFUSED_HEADS = [
    payload.data for payload in REFUSED if len(payload.data) < 4000 and not payload.data.startswith(b"POST")
]
"""Without those whose fault lies in a body: an answer may well go out before that has arrived."""
CUT_CORPUS = [*WELL_FORMED[::37], *REFUSED_HEADS]


@given(data=st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_79_the_cut_of_the_bytes_changes_nothing(doors: Doors, data: st.DataObject) -> None:
    parts = data.draw(st.lists(st.sampled_from(CUT_CORPUS), min_size=1, max_size=6))
    parts = [part for part in parts for _ in range(data.draw(st.integers(1, 3)))]
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True) if start < end]
    expected = await doors.say([whole], is_ready=False)
    assert await doors.say([whole], is_ready=True) == expected
    assert await doors.say(pieces, is_ready=True) == expected


@given(
    edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=3)
)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_79_damaged_bytes_after_a_warm_request_mean_what_they_mean_to_the_strict_parser(
    doors: Doors, edits: list[tuple[int, bytes, int]]
) -> None:
    good = request("/a.txt?v=1", *BROWSER)
    damaged = good
    for position, added, removed in edits:
        position %= len(damaged) + 1
        damaged = damaged[:position] + added + damaged[position + removed :]
    pieces = [good, good, good, good.replace(b"session=1", b"session=2"), damaged, SMUGGLED]
    expected = await doors.say(pieces, is_ready=False)
    assert await doors.say(pieces, is_ready=True) == expected


@given(data=st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_40_no_answer_crosses_hosts_encodings_or_methods(doors: Doors, data: st.DataObject) -> None:
    """Many clients' requests in any order through one process's ready answers, each held against a fresh answer."""
    asked = st.builds(
        request,
        st.sampled_from(TARGETS[:20]),
        st.sampled_from([*(field for fields in FIELD_SETS for field in fields), "X-Nothing: 1"]),
        host=st.sampled_from(HOSTS),
        method=st.sampled_from(("GET", "HEAD")),
    )
    talks = [doors.connect(), doors.connect()]
    for one in data.draw(st.lists(asked, min_size=2, max_size=12)):
        talk = data.draw(st.sampled_from(talks))
        if talk.transport.has_ended:
            continue
        expected, _ = await doors.say([one], is_ready=False)
        assert await talk.hear(one) == expected
        assert talk.transport.has_ended or await talk.hear(one) == expected


STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
COOKIES = [*[request("/", "Cookie: a")] * 3, request("/", "Cookie: b")]
"""After these a connection knows its header block, and that the cookie in it changes."""
LIMITED = [
    (HttpLimits(requests_count_max=5), [request()] * 8),
    (HttpLimits(requests_count_max=5), [request() * 8]),
    (HttpLimits(target_bytes_max=100), [*[request("/a.txt?v=1")] * 4, request("/a.txt?" + "v" * 100)]),
    (HttpLimits(header_bytes_max=200), [*COOKIES, request("/", "Cookie: " + "b" * 300)]),
    (HttpLimits(header_count_max=3), [*[request("/", "X: a")] * 4, request("/", "X: a", "Y: b", "Z: c")]),
    (HttpLimits(), [*COOKIES, request("/", "Cookie: c\rX: y")]),
    (HttpLimits(), [*COOKIES, request("/", "Cookie: c\x00")]),
    (HttpLimits(), [*COOKIES, request("/", "Cookie: c\nHost: b.example")]),
    (HttpLimits(), [*COOKIES, request("/", "Cookie : c")]),
    (HttpLimits(body_bytes_max=10), [*[request()] * 4, request("/", "Content-Length: 11")]),
]  # fmt: skip


@pytest.mark.parametrize(("limits", "pieces"), LIMITED)
async def test_each_limit_holds_through_ready_answers(doors: Doors, limits: HttpLimits, pieces: list[bytes]) -> None:
    expected = await doors.say(pieces, is_ready=False, limits=limits)
    assert await doors.say(pieces, is_ready=True, limits=limits) == expected
    assert expected[1], "the connection was ended"


async def test_requests_are_counted_alike(tmp_path: Path) -> None:
    asked = [
        request(),
        request("/missing"),
        request("/a.txt", "Range: bytes=0-1"),
        request("/old"),
        request(host="no.example"),
    ]
    readings = []
    for is_ready in (False, True):
        with built_doors(tmp_path / str(is_ready)) as built:
            built.built.publish("a.example", FILES, redirects=REDIRECTS)
            for data in asked:
                await built.say([data] * 6, is_ready=is_ready)
            reading = built.counted()
            counts = {
                each.name: reading.count(each)
                for each in COUNTED
                if each.kind is Kind.COUNTER and each is not READY_HITS
            }
            by_status = {status: reading.count(REQUESTS, status=status) for status in STATUS_CLASSES}
            assert (reading.count(READY_HITS) > 0) == is_ready
            readings.append((counts, by_status, reading.request_seconds().count))
    assert readings[0] == readings[1]
