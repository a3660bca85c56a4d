import gc
import os
import signal
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asset_server.asset_keys import asset_key
from asset_server.blobs import BlobCorrupt, BlobMissing, BlobsExhausted, BlobStore, Collected, Upload, UploadRefused
from asset_server.durable import StoreFull
from asset_server.manifest import ASSET_BYTES_MAX, Asset, Encodings
from tests.descriptors import no_descriptor_left
from tests.real_parts import small_disk

PAGE = b"<title>A page</title><link rel=preload href=/a.css as=style>" + b"<p>text\n" * 200
SITE, OTHER_SITE = "1", "2"
NONE = Encodings.NONE


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def upload(content: bytes, extension: str, content_type: str) -> Upload:
    return Upload(asset_key(content, extension), content, content_type)


def put_page(store: BlobStore, content: bytes = PAGE, scope: str = SITE) -> Asset:
    page = upload(content, "html", "text/html")
    store.put_many([page], scope=scope)
    return store.claim([("/index.html", page.key)], scope=scope).assets["/index.html"]


def blob_of(tmp_path: Path, asset: Asset) -> Path:
    key = asset.key.hex()
    return tmp_path / "blobs" / key[:2] / f"{key}.blob"


@pytest.mark.parametrize(
    ("content", "extension", "key"),
    [
        (b"about\n", "html", "d65501f778275d731c37957dc39b95ff"),
        (b"hello\n", "txt", "56638d01375d9d28c49e281774cfd32f"),
        (b"hello\n", "", "a304da4b4a88dc5288e58ab9307a3e3e"),
        (b"<h1>hi</h1>\n", "html", "17453d0cfb9bacc76d9f30d3cb9ca048"),
        (b"", "txt", "f9bc91770fa5e997cbd47fba833629fc"),
        (b"{}", "json", "ec47da64e7da6749028b38bc647d8a22"),
        (b"x", "", "c89c27f28e24f706b72c408fe1d6537a"),
    ],
)
def test_10_row_10_asset_key_is_what_clients_compute(content: bytes, extension: str, key: str) -> None:
    assert asset_key(content, extension) == key


def test_what_was_put_can_be_claimed_and_opened(store: BlobStore) -> None:
    asset = put_page(store)
    assert asset.size_bytes == len(PAGE)
    assert asset.content_type == "text/html; charset=utf-8"
    assert asset.encodings == Encodings.BR | Encodings.GZIP | Encodings.ZSTD
    assert store.open(asset, NONE).body == PAGE
    assert store.open(asset, NONE).links == '</a.css>; rel="preload"; as=style'


def test_missing_names_each_absent_key_once_and_in_order(store: BlobStore) -> None:
    page = upload(PAGE, "html", "text/html")
    store.put_many([page], scope=SITE)
    absent = ["f" * 32, "0" * 32]
    assert store.missing([absent[0], page.key, absent[1], absent[0]], scope=OTHER_SITE) == absent


@pytest.mark.parametrize("key", ["", "../../../etc/passwd", "A" * 32, "0" * 31, "0" * 33, "0" * 32 + "\n", "١" * 32])
def test_a_malformed_key_is_missing_and_cannot_be_put_or_claimed(store: BlobStore, key: str) -> None:
    assert store.missing([key], scope=SITE) == [key]
    with pytest.raises(UploadRefused, match="32 lower-case hex"):
        store.put_many([Upload(key, b"x", "text/plain")], scope=SITE)
    assert [refusal.key for refusal in store.claim([("/x", key)], scope=SITE).refusals] == [key]


@pytest.mark.parametrize("scope", ["", "../x", "a/b", "tmp", "x" * 65])
def test_a_scope_is_a_plain_name(store: BlobStore, scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        store.missing([], scope=scope)


def test_an_upload_over_the_limit_is_refused_before_anything_is_written(store: BlobStore, tmp_path: Path) -> None:
    large = Upload("0" * 32, bytes(ASSET_BYTES_MAX + 1), "image/png")
    with pytest.raises(UploadRefused, match="26214401 bytes"):
        store.put_many([upload(PAGE, "html", "text/html"), large], scope=SITE)
    assert list(store.keys()) == []


def test_bytes_that_do_not_match_their_key_are_refused_with_path_and_key(store: BlobStore) -> None:
    key = asset_key(PAGE, "html")
    store.put_many([Upload(key, b"something else", "text/html")], scope=SITE)
    claim = store.claim([("/index.html", key)], scope=SITE)
    assert [(refusal.path, refusal.key) for refusal in claim.refusals] == [("/index.html", key)]
    assert "isn't the hash of the bytes" in claim.refusals[0].reason
    assert store.missing([key], scope=SITE) == [key]  # so that the next try sends the right bytes


def test_nobody_can_occupy_anothers_key(store: BlobStore) -> None:
    key = asset_key(PAGE, "html")
    store.put_many([Upload(key, b"something else", "text/html")], scope=OTHER_SITE)
    assert store.missing([key], scope=SITE) == [key]
    assert store.open(put_page(store), NONE).body == PAGE


@pytest.mark.parametrize("extension", ["vue", "TsX", "é", "x" * 200])
def test_an_unlikely_extension_is_proven_by_the_path(store: BlobStore, extension: str) -> None:
    unlikely = upload(b"content", extension, "application/octet-stream")
    store.put_many([unlikely], scope=SITE)
    assert store.missing([unlikely.key], scope=SITE) == []
    assert store.missing([unlikely.key], scope=OTHER_SITE) == [unlikely.key]
    claim = store.claim([(f"/a.{extension}", unlikely.key), (f"/b.{extension}", unlikely.key)], scope=SITE)
    assert claim.refusals == []
    assert store.open(claim.assets[f"/b.{extension}"], NONE).body == b"content"
    assert store.missing([unlikely.key], scope=OTHER_SITE) == []


@pytest.mark.parametrize("extension", ["html", "HTML", "Htm", "htm"])
def test_extensions_of_the_type_are_tried_in_any_usual_case(store: BlobStore, extension: str) -> None:
    page = upload(PAGE, extension, "text/html")
    store.put_many([page], scope=SITE)
    assert store.missing([page.key], scope=OTHER_SITE) == []


def test_a_key_proven_for_one_extension_is_not_one_for_another(store: BlobStore) -> None:
    put_page(store)
    claim = store.claim([("/index.txt", asset_key(PAGE, "html"))], scope=SITE)
    assert claim.assets == {}
    assert "another extension" in claim.refusals[0].reason


def test_bytes_that_share_a_key_live_side_by_side(store: BlobStore) -> None:
    """base64 text and extension are hashed as one text, so it can be read in two ways."""
    page = PAGE[: len(PAGE) // 3 * 3]
    key = asset_key(page, "html")
    twin = page + b64decode("html")
    assert asset_key(twin, "") == key
    store.put_many([Upload(key, twin, "application/octet-stream")], scope=OTHER_SITE)
    twin_asset = store.claim([("/twin", key)], scope=OTHER_SITE).assets["/twin"]

    assert store.missing([key], scope=SITE) == []
    assert "deploy again" in store.claim([("/index.html", key)], scope=SITE).refusals[0].reason
    assert store.missing([key], scope=SITE) == [key]
    page_asset = put_page(store, page)
    assert store.missing([key], scope=SITE) == []

    assert store.open(page_asset, NONE).body == page
    assert store.open(twin_asset, NONE).body == twin
    assert store.verify(key) is None
    assert list(store.keys()) == [key, key]


def test_claim_refuses_names_that_could_escape(store: BlobStore) -> None:
    asset = put_page(store)
    claim = store.claim([("/../index.html", asset.key.hex())], scope=SITE)
    assert [(refusal.path, refusal.reason) for refusal in claim.refusals] == [
        ("/../index.html", "holds the segment '..'")
    ]


def test_claim_of_bytes_that_never_came_says_so(store: BlobStore) -> None:
    assert "not uploaded" in store.claim([("/a.html", "0" * 32)], scope=SITE).refusals[0].reason


def test_put_is_idempotent_and_leaves_no_temporary_files(store: BlobStore, tmp_path: Path) -> None:
    first = blob_of(tmp_path, put_page(store)).stat().st_ino
    assert blob_of(tmp_path, put_page(store)).stat().st_ino == first
    assert list((tmp_path / "uploads" / "tmp").iterdir()) == []


def test_many_threads_may_put_the_same_keys(store: BlobStore, tmp_path: Path) -> None:
    uploads = [upload(b"content %d" % n, "txt", "text/plain") for n in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: BlobStore(tmp_path).put_many(uploads, scope=str(n % 3)), range(16)))
    assert sorted(store.keys()) == sorted(each.key for each in uploads)
    assert [store.verify(each.key) for each in uploads] == [None] * 20


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 300_000])
def test_bodies_of_every_size_come_back(store: BlobStore, size: int) -> None:
    content = os.urandom(size)
    picture = upload(content, "png", "image/png")
    store.put_many([picture], scope=SITE)
    asset = store.claim([("/a.png", picture.key)], scope=SITE).assets["/a.png"]
    body = store.open(asset, NONE).body
    assert body == content
    assert isinstance(body, memoryview) == (size > 64 * 1024)


def test_a_mapped_body_outlives_its_file(store: BlobStore) -> None:
    asset = put_page(store, b"x" * 100_000)
    body = store.open(asset, NONE).body
    store.remove(asset.key.hex())
    assert body == b"x" * 100_000


def test_one_map_serves_all_who_ask_for_the_same_body(store: BlobStore) -> None:
    asset = put_page(store, b"x" * 100_000)
    before = open_files_count()
    bodies = [store.open(asset, NONE).body for _ in range(50)]
    assert open_files_count() == before + 2
    assert len(set(bodies)) == 1
    del bodies
    gc.collect()
    assert open_files_count() == before


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_without_a_descriptor_left_blobs_are_exhausted_and_not_damaged(store: BlobStore, size: int) -> None:
    asset = put_page(store, b"x" * size)
    with no_descriptor_left(), pytest.raises(BlobsExhausted, match="Too many open files"):
        store.open(asset, NONE)
    assert store.open(asset, NONE).body == b"x" * size


def open_files_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_an_absent_blob_is_blob_missing(store: BlobStore) -> None:
    with pytest.raises(BlobMissing, match=f"blob {'00' * 16} is missing"):
        store.open(Asset(bytes(16), 1, "text/plain; charset=utf-8"), NONE)


@pytest.mark.parametrize("size", [1_000, 100_000])
@pytest.mark.parametrize("place", [0, 20, 60, -1, -500])
def test_hardening_59_a_flipped_bit_is_never_served(store: BlobStore, tmp_path: Path, size: int, place: int) -> None:
    content = os.urandom(size)
    picture = upload(content, "png", "image/png")
    store.put_many([picture], scope=SITE)
    asset = store.claim([("/a.png", picture.key)], scope=SITE).assets["/a.png"]
    path = blob_of(tmp_path, asset)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(BlobCorrupt):
        store.open(asset, NONE)
    assert store.verify(asset.key.hex()) is not None


def test_hardening_59_a_truncated_blob_is_never_served(store: BlobStore, tmp_path: Path) -> None:
    asset = put_page(store)
    path = blob_of(tmp_path, asset)
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BlobCorrupt):
            store.open(asset, NONE)


def test_a_damaged_blob_is_mended_by_uploading_it_again(store: BlobStore, tmp_path: Path) -> None:
    asset = put_page(store)
    path = blob_of(tmp_path, asset)
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert store.verify(asset.key.hex()) is not None
    assert store.open(put_page(store), Encodings.ZSTD).body
    assert store.verify(asset.key.hex()) is None


def test_the_collector_takes_only_what_is_unused_and_old(store: BlobStore, tmp_path: Path) -> None:
    used, unused = put_page(store), put_page(store, PAGE + b"unused")
    fresh = put_page(store, PAGE + b"fresh")
    store.put_many([upload(b"content", "vue", "application/octet-stream")], scope=SITE)
    (tmp_path / "uploads" / "tmp" / "left-behind").write_bytes(b"x")
    old = time.time() - 1_000
    for path in [*tmp_path.glob("blobs/*/*"), *tmp_path.glob("uploads/*/*")]:
        if fresh.key.hex() not in path.name:
            os.utime(path, (old, old))
    with store.collecting():
        assert store.collect({used.key}, before_s=old + 1, is_dry_run=True) == Collected(removed=3, young=1)
        assert store.collect({used.key}, before_s=old + 1) == Collected(removed=3, young=1)
    assert set(store.keys()) == {used.key.hex(), fresh.key.hex()}
    with pytest.raises(BlobMissing):
        store.open(unused, NONE)


def test_hardening_68_asking_whether_a_blob_is_missing_keeps_it_from_the_collector(
    store: BlobStore, tmp_path: Path
) -> None:
    asset = put_page(store)
    old = time.time() - 1_000
    os.utime(blob_of(tmp_path, asset), (old, old))
    assert store.missing([asset.key.hex()], scope=SITE) == []
    with store.collecting():
        assert store.collect(set(), before_s=old + 500) == Collected(removed=0, young=1)


def test_hardening_68_the_collector_waits_for_claims_under_way(store: BlobStore, tmp_path: Path) -> None:
    order: list[str] = []

    def collect() -> None:
        with BlobStore(tmp_path).collecting():
            order.append("collected")

    collector = threading.Thread(target=collect)
    with store.claiming(), BlobStore(tmp_path).claiming():
        collector.start()
        store.claim([], scope=SITE)
        order.append("claimed")
    collector.join()
    assert order == ["claimed", "collected"]


def test_names_that_are_no_blobs_are_passed_over(store: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "blobs" / "00" / "note.txt").write_text("x")
    assert list(store.keys()) == []


def test_removing_what_is_not_there_is_no_error(store: BlobStore) -> None:
    store.remove("0" * 32)
    assert store.verify("0" * 32) == "is missing"


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", size_bytes=8 * 1024 * 1024) as folder:
        yield folder


def test_hardening_60_a_full_disk_refuses_the_upload_and_keeps_what_is_there(small_folder: Path) -> None:
    store = BlobStore(small_folder)
    asset = put_page(store)
    large = [upload(os.urandom(1024 * 1024), "png", "image/png") for _ in range(12)]
    with pytest.raises(StoreFull, match="onehop gc"):
        store.put_many(large, scope=SITE)
    assert list((small_folder / "uploads" / "tmp").iterdir()) == []
    assert list(store.keys()) == [asset.key.hex()]
    assert store.open(asset, NONE).body == PAGE
    store.put_many(large[:4], scope=SITE)
    assert store.missing([each.key for each in large], scope=SITE) == [each.key for each in large[4:]]


def test_hardening_60_a_disk_that_fills_while_a_claim_is_proven_refuses_the_claim(small_folder: Path) -> None:
    store = BlobStore(small_folder)
    unlikely = upload(os.urandom(3 * 1024 * 1024), "vue", "application/octet-stream")
    store.put_many([unlikely], scope=SITE)
    (small_folder / "filler").write_bytes(bytes(4 * 1024 * 1024))
    with pytest.raises(StoreFull):
        store.claim([("/a.vue", unlikely.key)], scope=SITE)
    (small_folder / "filler").unlink()
    assert store.claim([("/a.vue", unlikely.key)], scope=SITE).refusals == []


def test_57_a_process_killed_while_it_stores_leaves_whole_blobs_or_none(tmp_path: Path) -> None:
    """SIGKILL at several moments; what is there then verifies, and the same upload then succeeds."""
    uploads = [upload(b"%d " % n + PAGE * 20, "html", "text/html") for n in range(40)]
    for moment in range(6):
        folder = tmp_path / str(moment)
        store = BlobStore(folder)
        child = os.fork()
        if child == 0:
            try:
                store.put_many(uploads, scope=SITE)
            finally:
                os._exit(0)
        deadline = time.monotonic() + 10
        temporary, wanted = folder / "uploads" / "tmp", moment * 8
        while len(list(temporary.iterdir())) < wanted and not any(store.keys()) and time.monotonic() < deadline:
            pass
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        stored = list(store.keys())
        assert [store.verify(key) for key in stored] == [None] * len(stored)
        store.put_many(uploads, scope=SITE)
        assert store.claim([(f"/{n}.html", each.key) for n, each in enumerate(uploads)], scope=SITE).refusals == []
