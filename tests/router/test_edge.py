"""The request handler: host to pipeline to answer, and what damage does to one request and to no other."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from asset_server.url import Target
from functions.routes_json import RoutesJson
from router.edge import FunctionFirst, with_arm
from router.event_log import event_log
from router.hashed import put_route
from router.hostname import Hostname
from router.kv.schema import Database
from router.metrics.catalogue import DAMAGED_ANSWERS
from tests.descriptors import no_descriptor_left
from tests.router.edge_builder import BuiltEdge, built_edge


@pytest.fixture
def site(tmp_path: Path) -> Iterator[BuiltEdge]:
    with built_edge(tmp_path) as edge:
        yield edge


def test_each_host_gets_its_own_deployment(site: BuiltEdge) -> None:
    site.publish("a.pages.test", {"/index.html": b"<h1>a</h1>"})
    site.publish("b.pages.test", {"/index.html": b"<h1>b</h1>"}, site_no=2)
    assert site.get("a.pages.test").body == b"<h1>a</h1>"
    assert site.get("B.Pages.Test.:8787").body == b"<h1>b</h1>"


def test_an_unknown_host_is_a_404_that_says_how_to_claim_it(site: BuiltEdge) -> None:
    answer = site.get("nobody.pages.test")
    assert answer.status == 404
    assert b"onehop deploy" in bytes(answer.body)
    assert b"nobody.pages.test" in bytes(answer.body)


@pytest.mark.parametrize("host", ["nobody.pages.test", "2b469e16.nobody.pages.test"])
def test_a_host_below_the_pages_domain_is_claimed_by_a_deploy_alone(site: BuiltEdge, host: str) -> None:
    page = bytes(site.get(host).body)
    assert b"onehop deploy DIR --project nobody" in page
    assert b"domain add" not in page


def test_any_other_host_is_claimed_as_a_custom_domain(site: BuiltEdge) -> None:
    assert b"onehop site domain add NAME nobody.example" in bytes(site.get("nobody.example").body)


@pytest.mark.parametrize("host", ["pages.test", "a.b.c.pages.test"])
def test_a_host_that_nobody_can_have_is_not_to_be_claimed(site: BuiltEdge, host: str) -> None:
    answer = site.get(host)
    assert answer.status == 404
    assert b"onehop " not in bytes(answer.body)


def test_a_host_becomes_known_with_its_deploy_and_unknown_with_its_deletion(site: BuiltEdge) -> None:
    assert site.get("late.pages.test").status == 404
    site.publish("late.pages.test", {"/index.html": b"here"})
    assert site.get("late.pages.test").body == b"here"
    site.unpublish("late.pages.test")
    assert site.get("late.pages.test").status == 404


def test_a_redeploy_is_seen_by_the_next_look(site: BuiltEdge) -> None:
    site.publish("a.pages.test", {"/index.html": b"one"})
    assert site.get("a.pages.test").body == b"one"
    site.publish("a.pages.test", {"/index.html": b"two"})
    assert site.get("a.pages.test").body == b"two"


@pytest.mark.parametrize("host", ["", "a b", "a..b", "u@a.test", "[::1]", "a.test:99999", "é.test", "x" * 64 + ".test"])
def test_a_host_that_cannot_name_a_site_is_400_and_closes(site: BuiltEdge, host: str) -> None:
    answer = site.get(host)
    assert answer.status == 400
    assert (b"connection", b"close") in answer.headers


@pytest.mark.parametrize("target", ["/%00", "/a%00b"])
def test_a_nul_in_the_path_is_400(site: BuiltEdge, target: str) -> None:
    site.publish("a.pages.test", {"/index.html": b"a"})
    assert site.get("a.pages.test", target).status == 400


@pytest.mark.parametrize("target", ["/", "/absent", "/index.html"])
def test_head_is_get_without_the_body(site: BuiltEdge, target: str) -> None:
    site.publish("a.pages.test", {"/index.html": b"a" * 2000, "/404.html": b"gone"})
    got, head = site.get("a.pages.test", target), site.get("a.pages.test", target, method="HEAD")
    assert (head.status, head.headers, bytes(head.body)) == (got.status, got.headers, b"")


@pytest.mark.pages("4.7")
def test_pages_0_step_1_a_function_route_is_the_functions_and_the_assets_are_served(site: BuiltEdge) -> None:
    routes = RoutesJson.parse('{"version":1,"include":["/api/*"],"exclude":[]}').encode()
    files = {"/index.html": b"page"}
    pipeline = site.publish("f.pages.test", files, function_routes=routes, redirects="/* /elsewhere 302")
    assert site.get("f.pages.test", "/there").status == 302
    asked = site.edge.handle(site.request("f.pages.test", "/api/a/../b?q='"))
    assert asked == FunctionFirst(pipeline, Target("/api/b", "?q=%27"), ("hashed", "default"))


def test_a_function_gets_its_own_deployments_assets_by_any_host(site: BuiltEdge) -> None:
    pipeline = site.publish("mine.pages.test", {"/index.html": b"mine"})
    site.publish("theirs.pages.test", {"/index.html": b"theirs"}, site_no=2)
    for host in ("theirs.pages.test", "elsewhere.example", "[::1", ""):
        assert site.edge.answer_from_assets(pipeline, site.request(host)).body == b"mine"
    assert site.counted().requests_count == 0


def test_hardening_59_a_bit_flipped_manifest_is_that_hosts_500_counted_and_logged_once(site: BuiltEdge) -> None:
    pipeline = site.publish("broken.pages.test", {"/index.html": b"x"})
    site.publish("whole.pages.test", {"/index.html": b"fine"}, site_no=2)
    with site.store.write() as transaction:
        manifest = bytearray(transaction.get(Database.MANIFESTS, pipeline.manifest.encode()) or b"")
        manifest[len(manifest) // 2] ^= 1
        transaction.put(Database.MANIFESTS, pipeline.manifest.encode(), bytes(manifest))
    with capture_logs() as logs:
        assert [site.get("broken.pages.test").status for _ in range(3)] == [500, 500, 500]
        assert site.get("whole.pages.test").body == b"fine"
    assert site.counted().count(DAMAGED_ANSWERS) == 3
    assert [entry["event"] for entry in logs] == ["deployment.damaged"]
    assert "onehop check" in logs[0]["cure"]


def test_hardening_59_whichever_byte_of_a_manifest_flips_the_answer_is_500(tmp_path: Path) -> None:
    with built_edge(tmp_path) as first:
        pipeline = first.publish("a.pages.test", {"/index.html": b"x", "/about.html": b"y"})
        with first.store.read() as snapshot:
            sound = snapshot.get(Database.MANIFESTS, pipeline.manifest.encode()) or b""
        assert first.get("a.pages.test").status == 200
        for position in range(len(sound)):
            flipped = sound[:position] + bytes([sound[position] ^ 1]) + sound[position + 1 :]
            with first.store.write() as transaction:
                transaction.put(Database.MANIFESTS, pipeline.manifest.encode(), flipped)
            fresh = first.another_process()
            assert fresh.get("a.pages.test").status == 500, f"byte {position}"


def test_hardening_59_an_unreadable_route_is_that_hosts_500(site: BuiltEdge) -> None:
    site.publish("broken.pages.test", {"/index.html": b"x"})
    hostname = Hostname.parse(b"broken.pages.test")
    site.publish("whole.pages.test", {"/index.html": b"fine"}, site_no=2)
    with site.store.write() as transaction:
        transaction.put(Database.ROUTES, site.keys.route_key(hostname), b'{"v":1,"s":1,"a":"short"}')
    with capture_logs() as logs:
        assert [site.get("broken.pages.test").status for _ in range(3)] == [500, 500, 500]
        assert site.get("whole.pages.test").body == b"fine"
    assert site.counted().count(DAMAGED_ANSWERS) == 3
    assert [(entry["event"], entry["host"]) for entry in logs] == [("deployment.damaged", "broken.pages.test")]


def test_hardening_82_a_truncated_manifest_is_that_hosts_500_and_others_are_served(site: BuiltEdge) -> None:
    pipeline = site.publish("broken.pages.test", {"/index.html": b"x", "/about.html": b"y"})
    site.publish("whole.pages.test", {"/index.html": b"fine"}, site_no=2)
    with site.store.read() as snapshot:
        sound = snapshot.get(Database.MANIFESTS, pipeline.manifest.encode()) or b""
    for length in range(len(sound)):
        with site.store.write() as transaction:
            transaction.put(Database.MANIFESTS, pipeline.manifest.encode(), sound[:length])
        fresh = site.another_process()
        with capture_logs() as logs:
            assert [fresh.get("broken.pages.test").status for _ in range(2)] == [500, 500], f"{length} bytes"
        assert fresh.get("whole.pages.test").body == b"fine"
        assert (fresh.counted().count(DAMAGED_ANSWERS), [entry["event"] for entry in logs]) == (
            2,
            ["deployment.damaged"],
        )


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
@pytest.mark.pages("0 step 9", "6.1 column 500")
def test_hardening_59_a_damaged_blob_is_that_requests_500_and_others_are_served(site: BuiltEdge, damage: str) -> None:
    site.publish("a.pages.test", {"/index.html": b"fine", "/bad.bin": bytes(range(256)) * 8})
    blob = max(site.folder.glob("blobs/*/*.blob"), key=lambda path: path.stat().st_size)
    content = bytearray(blob.read_bytes())
    if damage == "missing":
        blob.unlink()
    elif damage == "truncated":
        blob.write_bytes(content[:-10])
    else:
        content[-10] ^= 1
        blob.write_bytes(content)
    site.publish("b.pages.test", {"/index.html": b"another"}, site_no=2)
    with capture_logs() as logs:
        assert [site.get("a.pages.test", "/bad.bin").status for _ in range(3)] == [500, 500, 500]
        assert site.get("a.pages.test").body == b"fine"
        assert site.get("b.pages.test").body == b"another"
    assert site.counted().count(DAMAGED_ANSWERS) == 3
    assert [entry["event"] for entry in logs] == ["deployment.damaged"]


def test_without_a_descriptor_left_a_file_is_503_and_that_is_said_once(site: BuiltEdge) -> None:
    site.publish("a.pages.test", {"/index.html": b"fine", "/long.bin": bytes(100_000)})
    with capture_logs() as logs:
        event_log()  # what it loads takes descriptors
        with no_descriptor_left():
            answers = [site.get("a.pages.test", path) for path in ("/", "/long.bin") * 5]
    assert {(answer.status, dict(answer.headers)[b"retry-after"]) for answer in answers} == {(503, b"1")}
    assert [entry["event"] for entry in logs] == ["edge.exhausted"]
    assert site.get("a.pages.test").status == 200
    assert site.counted().count(DAMAGED_ANSWERS) == 0


def test_hardening_59_each_damaged_thing_is_logged_once_for_itself(site: BuiltEdge) -> None:
    site.publish("a.pages.test", {"/1.bin": b"one", "/2.bin": b"two"})
    for blob in site.folder.glob("blobs/*/*.blob"):
        blob.unlink()
    with capture_logs() as logs:
        for target in ("/1.bin", "/2.bin", "/1.bin", "/2.bin"):
            assert site.get("a.pages.test", target).status == 500
    assert site.counted().count(DAMAGED_ANSWERS) == 4
    assert len({entry["what"] for entry in logs}) == len(logs) == 2


def test_a_route_moved_while_its_manifest_was_collected_is_looked_up_afresh(site: BuiltEdge) -> None:
    old = site.publish("a.pages.test", {"/index.html": b"old"})
    assert site.get("a.pages.test").body == b"old"
    new = site.publish("spare.pages.test", {"/index.html": b"new"})
    # The worker has a cached decision; a deploy and a collection pass before its next look at the feed.
    site.edge._resolver._look_at_s = float("inf")
    with site.store.write() as transaction:
        put_route(transaction, site.keys, Hostname.parse(b"a.pages.test"), new)
        transaction.delete(Database.MANIFESTS, old.manifest.encode())
    assert site.get("a.pages.test").body == b"new"


def test_hardening_84_preview_hosts_are_noindex_on_every_answer(site: BuiltEdge) -> None:
    files = {"/index.html": b"x", "/about.html": b"y", "/404.html": b"gone"}
    site.publish("abcd1234.a.pages.test", files, is_preview=True)
    site.publish("www.example.test", files)
    etag = dict(site.get("www.example.test").headers)[b"etag"].decode()
    for host, wanted in (("abcd1234.a.pages.test", [b"noindex"]), ("www.example.test", [])):
        answers = [
            site.get(host),
            site.get(host, if_none_match=etag),
            site.get(host, "/about.html"),
            site.get(host, "/absent"),
            site.get(host, method="POST"),
        ]
        assert [answer.status for answer in answers] == [200, 304, 308, 404, 405]
        for answer in answers:
            assert [value for name, value in answer.headers if name == b"x-robots-tag"] == wanted


BUCKETS = ["onehop_bucket=1", "onehop_bucket=1; Path=/a", "  onehop_bucket =1"]


@pytest.mark.parametrize("value", BUCKETS)
def test_no_site_deals_a_bucket_whether_or_not_it_is_split(site: BuiltEdge, value: str) -> None:
    rules = f"/\n  Set-Cookie: {value}\n/other\n  Set-Cookie: onehop_bucketed=1\n"
    site.publish("a.pages.test", {"/index.html": b"a", "/other.html": b"b"}, headers=rules)
    assert b"set-cookie" not in dict(site.get("a.pages.test").headers)
    assert dict(site.get("a.pages.test", "/other").headers)[b"set-cookie"] == b"onehop_bucketed=1"


def test_what_an_arm_adds_can_be_said_by_nobody_else_and_is_kept_from_shared_caches() -> None:
    headers = [
        (b"server-timing", b'onehop;dur=0.001;desc="hashed"'),
        (b"server-timing", b"db;dur=3"),
        (b"set-cookie", b"theirs=1"),
        (b"cache-control", b"public, max-age=31536000, immutable"),
    ]
    timing, cookie = (b"server-timing", b'onehop;dur=2;desc="legacy"'), (b"set-cookie", b"onehop_bucket=9272; Path=/")
    assert with_arm(headers, [timing]) == [*headers[1:], timing]
    assert with_arm(headers, [cookie]) == [
        *headers[:3], (b"cache-control", b"private, max-age=0, must-revalidate"), cookie,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["CDN-Cache-Control", "cloudflare-cdn-cache-control", "Surrogate-Control", "X-Accel-Expires", "expires"],
)
def test_no_field_of_a_site_lets_a_cache_keep_an_answer_that_deals_a_bucket(name: str) -> None:
    cookie = (b"set-cookie", b"onehop_bucket=9272; Path=/")
    headers = [(b"etag", b'"a"'), (name.encode(), b"max-age=60")]
    private = (b"cache-control", b"private, max-age=0, must-revalidate")
    assert with_arm(headers, [cookie]) == [headers[0], private, cookie]
    assert with_arm(headers, [(b"server-timing", b"onehop;dur=1")])[:2] == headers
