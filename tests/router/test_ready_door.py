"""What a warm connection sees of a change, and what ready answers don't outlive."""

import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from functions.routes_json import RoutesJson
from router.forwarded import TrustedProxies
from router.metrics.catalogue import DECISION_HITS, DECISION_MISSES, cell
from router.policy import Policy, Scheme, Split
from router.policy_record import change_policy
from router.ready import READY_BYTES_MAX
from tests.router.doors import NOW_S, Doors, Talk, built_doors, request

OLD, NEW = {"/index.html": b"old", "/a.js": b"old()"}, {"/index.html": b"new"}


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    with built_doors(tmp_path) as built:
        yield built


async def warmed(doors: Doors, data: bytes) -> Talk:
    """A connection on which `data` is answered from ready bytes."""
    talk = doors.connect()
    for _ in range(5):
        await talk.hear(data)
    assert len(doors.answers) > 0
    return talk


def set_policy(doors: Doors, policy: Policy) -> None:
    with doors.built.store.write() as transaction:
        change_policy(transaction, lambda _: policy, who="test", when="2026-11-24T00:00:00Z", why="test", what="test")


async def test_a_deploy_is_seen_by_the_next_request(doors: Doors) -> None:
    doors.built.publish("a.example", OLD)
    talk = await warmed(doors, request())
    doors.built.publish("a.example", NEW)
    doors.clock.pass_by()
    assert (await talk.hear(request())).endswith(b"\r\n\r\nnew")
    doors.built.publish("a.example", OLD)
    doors.clock.pass_by()
    assert (await talk.hear(request())).endswith(b"\r\n\r\nold")


async def test_a_deletion_is_seen_by_the_next_request(doors: Doors) -> None:
    doors.built.publish("a.example", OLD)
    talk = await warmed(doors, request())
    doors.built.unpublish("a.example")
    doors.clock.pass_by()
    assert b"There is no site at this address" in await talk.hear(request())


async def test_a_new_host_is_seen_by_the_next_request(doors: Doors) -> None:
    doors.built.publish("b.example", OLD)
    talk = await warmed(doors, request(host="b.example"))
    for _ in range(3):
        assert b" 404 " in await talk.hear(request())
    doors.built.publish("a.example", NEW)
    doors.clock.pass_by()
    assert (await talk.hear(request())).endswith(b"new")


async def test_a_hosts_first_request_is_answered_where_it_arrives_and_decided_for_once(doors: Doors) -> None:
    doors.built.publish("a.example", OLD)
    doors.built.publish("b.example", NEW)
    talk = doors.connect()
    for host, body in (("a.example", b"old"), ("b.example", b"new"), ("a.example", b"old")):
        talk.protocol.data_received(request(host=host))
        assert talk.said.endswith(body), "no task has run"
        await talk.hear(b"")
    counts = {metric: doors.cells[cell(metric)] for metric in (DECISION_HITS, DECISION_MISSES)}
    assert counts == {DECISION_HITS: 1, DECISION_MISSES: 2}


async def test_a_function_that_is_deployed_is_seen_by_the_next_request(doors: Doors) -> None:
    doors.built.publish("a.example", OLD)
    talk = await warmed(doors, request())
    doors.built.publish("a.example", OLD, function_routes=RoutesJson.everything().encode())
    doors.clock.pass_by()
    assert (await talk.hear(request())).startswith(b"HTTP/1.1 503 ")


async def test_what_routes_json_keeps_from_a_function_is_ready_and_the_rest_is_the_functions(doors: Doors) -> None:
    routes = RoutesJson.parse('{"version":1,"include":["/*"],"exclude":["/a.js"]}').encode()
    doors.built.publish("a.example", OLD, function_routes=routes)
    talk = await warmed(doors, request("/a.js"))
    assert (await talk.hear(request("/a.js"))).endswith(b"\r\n\r\nold()")
    assert (await talk.hear(request("/a.js?query"))).endswith(b"\r\n\r\nold()")
    for target in ("/", "/%61.js", "/a.js/x", "/"):
        assert (await talk.hear(request(target))).startswith(b"HTTP/1.1 503 ")


async def test_a_policy_is_seen_by_the_next_request(doors: Doors) -> None:
    pipeline = doors.built.publish("a.example", OLD)
    talk = await warmed(doors, request())
    set_policy(doors, Policy(server_timing=frozenset({pipeline.site_no})))
    doors.clock.pass_by()
    assert b"\r\nserver-timing: onehop" in await talk.hear(request())
    set_policy(doors, Policy(splits={pipeline.site_no: Split(50.0, Scheme.LEGACY, cookie=True)}))
    doors.clock.pass_by()
    answer = await talk.hear(request())
    assert b"\r\nset-cookie: onehop_bucket=" in answer
    assert b"server-timing" not in answer
    set_policy(doors, Policy())
    doors.clock.pass_by()
    assert b"set-cookie" not in await talk.hear(request())


async def test_every_request_of_a_split_is_dealt_by_its_own_cookie(doors: Doors) -> None:
    pipeline = doors.built.publish("a.example", OLD)
    set_policy(doors, Policy(splits={pipeline.site_no: Split(50.0, Scheme.LEGACY, cookie=True)}))
    talk = doors.connect()
    for number in (1, 2, 3, 9_999):
        assert b"set-cookie" not in await talk.hear(request("/", f"Cookie: onehop_bucket={number}"))
        assert b"set-cookie" in await talk.hear(request("/", f"Cookie: other={number}"))


async def test_an_asset_that_is_kept_for_a_while_is_never_ready(doors: Doors) -> None:
    until_s = int(NOW_S) + 60
    kept = {path: replace(asset, expires_s=until_s) for path, asset in doors.built.assets(OLD).items()}
    doors.built.publish("a.example", NEW, kept=kept)
    talk = await warmed(doors, request())
    for _ in range(6):
        assert (await talk.hear(request("/a.js"))).endswith(b"old()")
    doors.clock.pass_by(61)
    assert (await talk.hear(request("/a.js"))).startswith(b"HTTP/1.1 200 OK"), "the front page stands in"
    assert not (await talk.hear(request("/a.js"))).endswith(b"old()")


async def test_a_ready_answer_outlives_its_blob_but_no_request_that_needs_the_blob_does(doors: Doors) -> None:
    doors.built.publish("a.example", OLD)
    talk = await warmed(doors, request())
    for key in list(doors.built.blobs.keys()):
        doors.built.blobs.remove(key)
    assert (await talk.hear(request())).endswith(b"old")
    assert (await talk.hear(request("/a.js"))).startswith(b"HTTP/1.1 500 ")
    assert (await talk.hear(request("/a.js"))).startswith(b"HTTP/1.1 500 ")


async def test_the_date_is_the_connections_of_now(doors: Doors) -> None:
    doors.built.publish("a.example", OLD)
    talk = await warmed(doors, request())
    doors.default_fields = [(b"date", b"Tue, 24 Nov 2026 23:59:59 GMT"), (b"x-more", b"1")]
    talk.protocol._server_state.default_headers = doors.default_fields  # type: ignore[attr-defined]
    doors.clock.pass_by()
    for data in (request(), request("/", "Connection: close")):
        answer = await talk.hear(data)
        assert answer.startswith(
            b"HTTP/1.1 200 OK\r\ndate: Tue, 24 Nov 2026 23:59:59 GMT\r\nx-more: 1\r\naccess-control"
        )
        assert answer.endswith(b"old")


async def test_a_trusted_proxys_scheme_is_in_the_answer_and_nobody_elses(tmp_path: Path) -> None:
    proxies = TrustedProxies((ipaddress.ip_network("192.0.2.0/24"),))
    with built_doors(tmp_path, proxies=proxies) as doors:
        doors.built.publish("a.example", OLD, redirects="/to /there 301")
        for peer, expected in (("192.0.2.1", b"https"), ("198.51.100.1", b"http")):
            talk = doors.connect(peer=peer)
            for scheme in ("http", "https", "http", "https", "https", "https"):
                said = await talk.hear(request("/to", f"X-Forwarded-Proto: {scheme}"))
                wanted = scheme.encode() if expected == b"https" else b"http"
                assert b"\r\nlocation: " + wanted + b"://a.example/there" in said or b"\r\nlocation: /there" in said


async def test_a_scan_of_cold_files_leaves_what_is_asked_for_where_it_is(tmp_path: Path) -> None:
    files = {f"/{number}.txt": b"%d" % number * 500 for number in range(300)}
    with built_doors(tmp_path, ready_bytes_max=READY_BYTES_MAX // 1024) as doors:
        doors.built.publish("a.example", {**OLD, **files})
        talk = await warmed(doors, request())
        for target in files:
            await talk.hear(request(target))
        assert len(doors.answers) == 1, "once asked for is too seldom"
        for target in files:
            for _ in range(3):
                await talk.hear(request(target))
            await talk.hear(request())
        assert doors.answers.bytes_count <= READY_BYTES_MAX // 1024
        (terms,) = doors.answers._views
        assert b"GET / HTTP/1.1\r\n" in doors.answers.view(terms)


async def test_hosts_of_one_pipeline_share_what_no_host_is_in_and_nothing_else(doors: Doors) -> None:
    """A rule's redirect hangs on the host, which it may leave out of its Location."""
    for host in ("a.example", "b.example"):
        doors.built.publish(host, OLD, redirects="/moved /a.js 302", site_no=7)
    first, second = doors.connect(), doors.connect()
    for target in ("/", "/a.js", "/missing", "/index", "/moved"):
        for _ in range(5):
            await first.hear(request(target, host="a.example"))
    kept_count = len(doors.answers)
    for target in ("/", "/a.js", "/missing", "/index"):
        expected = await doors.connect(is_ready=False).hear(request(target, host="b.example"))
        for _ in range(5):
            assert await second.hear(request(target, host="b.example")) == expected
    assert len(doors.answers) == kept_count
    for talk, host in ((second, "b.example"), (first, "a.example")):
        expected = await doors.connect(is_ready=False).hear(request("/moved", host=host))
        for _ in range(5):
            assert await talk.hear(request("/moved", host=host)) == expected
    assert len(doors.answers) == kept_count + 1


async def test_where_a_rule_names_a_host_its_answers_are_not_shared(doors: Doors) -> None:
    for host in ("a.example", "b.example"):
        doors.built.publish(host, OLD, headers="https://a.example/*\n  X-Host: a", site_no=7)
    for _ in range(5):
        assert b"x-host: a" in (await doors.connect().hear(request("/a.js", host="a.example"))).lower()
        assert b"x-host" not in (await doors.connect().hear(request("/a.js", host="b.example"))).lower()
