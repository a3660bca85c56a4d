import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asset_server.content_type import CONTENT_TYPES
from asset_server.manifest import (
    ENTRIES_OFFSET,
    ENTRY,
    HEADER,
    INTERPOLATIONS_MAX,
    PATH_BYTES_MAX,
    Asset,
    Encodings,
    Manifest,
    ManifestCorrupt,
    encode_manifest,
    find_twins,
    manifest_id,
    path_hash,
    validate_manifest_path,
)

HTML = "text/html; charset=utf-8"

names = st.text(st.characters(exclude_characters="/\\\x7f", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
paths = (
    st.lists(names.filter(lambda name: name not in (".", "..")), min_size=1, max_size=4).map("/".join).map("/".__add__)
)
assets = st.builds(
    Asset,
    key=st.binary(min_size=16, max_size=16),
    size_bytes=st.integers(0, 26_214_400),
    content_type=st.sampled_from(CONTENT_TYPES),
    encodings=st.integers(0, 7).map(Encodings),
    expires_s=st.integers(0, 2**32 - 1),
)


def numbered(count: int) -> dict[str, Asset]:
    return {f"/page-{n}.html": Asset(n.to_bytes(16), n, HTML) for n in range(count)}


@given(st.dictionaries(paths, assets, max_size=60), st.lists(paths, max_size=10))
@settings(max_examples=60, deadline=None)
def test_find_agrees_with_a_dict(model: dict[str, Asset], others: list[str]) -> None:
    manifest = Manifest(encode_manifest(model))
    assert dict(manifest.assets()) == model
    assert len(manifest) == len(model)
    assert set(manifest.keys()) == {asset.key for asset in model.values()}
    for path in [*model, *others]:
        assert manifest.find(path) == model.get(path)
    manifest.verify()


@given(
    st.dictionaries(paths, assets, max_size=8), st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=9)
)
@settings(max_examples=30, deadline=None)
def test_sections_come_back_whole(
    model: dict[str, Asset], redirects: bytes, headers: bytes, function_routes: bytes
) -> None:
    encoded = encode_manifest(model, redirects=redirects, headers=headers, function_routes=function_routes)
    manifest = Manifest(memoryview(encoded))
    assert (manifest.redirects, manifest.headers, manifest.function_routes) == (redirects, headers, function_routes)


@given(st.dictionaries(paths, assets, min_size=1, max_size=8), st.data())
@settings(max_examples=200, deadline=None)
def test_damage_is_manifest_corrupt_and_changes_the_id(model: dict[str, Asset], data: st.DataObject) -> None:
    encoded = encode_manifest(model, redirects=b"r", headers=b"h")
    damaged = bytearray(encoded)
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged) - 1)) :]
    else:
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert manifest_id(damaged) != manifest_id(encoded)
    try:
        manifest = Manifest(bytes(damaged))
        for path in model:
            manifest.find(path)
        manifest.verify()
    except ManifestCorrupt:
        pass  # the only error it may raise; damage to an entry's plain values is the id's to find


@pytest.mark.parametrize("length", range(HEADER.size + 2))
def test_cut_off_manifest_is_refused_at_every_length(length: int) -> None:
    with pytest.raises(ManifestCorrupt):
        Manifest(encode_manifest(numbered(1))[:length])


def test_other_version_is_refused_with_both_numbers() -> None:
    encoded = bytearray(encode_manifest({}))
    struct.pack_into(">H", encoded, 4, 9)
    with pytest.raises(ManifestCorrupt, match="version 9, this release reads 1"):
        Manifest(encoded)


def test_longer_than_its_header_says_is_refused() -> None:
    with pytest.raises(ManifestCorrupt):
        Manifest(encode_manifest(numbered(3)) + b"\0")


def with_entries(change: "list[int]", count: int = 3) -> bytes:
    """A manifest whose entries were put in the order `change` names; the header is untouched."""
    encoded = encode_manifest(numbered(count))
    rows = [encoded[ENTRIES_OFFSET + n * ENTRY.size :][: ENTRY.size] for n in range(count)]
    body = b"".join(rows[n] for n in change)
    return encoded[:ENTRIES_OFFSET] + body + encoded[ENTRIES_OFFSET + count * ENTRY.size :]


def test_verify_names_a_repeated_entry() -> None:
    with pytest.raises(ManifestCorrupt, match="repeated"):
        Manifest(with_entries([0, 0, 2])).verify()


def test_verify_names_unsorted_entries() -> None:
    with pytest.raises(ManifestCorrupt, match="order"):
        Manifest(with_entries([1, 0, 2])).verify()


def test_unsorted_entries_end_every_search() -> None:
    manifest = Manifest(with_entries(list(reversed(range(50))), 50))
    for path in numbered(60):
        manifest.find(path)


def test_unknown_content_type_number_is_corrupt_not_a_guess() -> None:
    encoded = bytearray(encode_manifest({"/a": Asset(bytes(16), 1, HTML)}))
    struct.pack_into(">H", encoded, ENTRIES_OFFSET + 40, 0xFFFF)
    with pytest.raises(ManifestCorrupt, match="content type number 65535"):
        Manifest(encoded).find("/a")


def test_path_table_that_claims_another_size_is_corrupt() -> None:
    encoded = bytearray(encode_manifest(numbered(2)))
    magic, version, depth, count, packed, table, *rest = HEADER.unpack_from(encoded)
    HEADER.pack_into(encoded, 0, magic, version, depth, count, packed, table + 1, *rest)
    with pytest.raises(ManifestCorrupt, match="path table"):
        list(Manifest(encoded).assets())


def test_equal_content_has_one_encoding_whatever_the_order() -> None:
    model = numbered(20)
    assert encode_manifest(model) == encode_manifest(dict(reversed(model.items())))


def test_twenty_thousand_files_take_a_mebibyte() -> None:
    model = {f"/docs/part-{n % 97}/page-{n}.html": Asset(n.to_bytes(16), n, HTML) for n in range(20_000)}
    assert len(encode_manifest(model)) < 1024 * 1024


def test_a_path_is_found_in_few_probes() -> None:
    class Counting(bytes):
        probes = 0

        def __getitem__(self, index: object) -> bytes:  # type: ignore[override]
            Counting.probes += 1
            return super().__getitem__(index)  # type: ignore[index]

    model = numbered(5_000)
    manifest = Manifest(encode_manifest(model))
    manifest._buffer = Counting(manifest._buffer)  # type: ignore[assignment]
    for path in list(model)[:500]:
        manifest.find(path)
    assert Counting.probes / 500 < INTERPOLATIONS_MAX * 0.75


def test_paths_with_neighbouring_hashes_are_still_found() -> None:
    """Hashes chosen to defeat interpolation end in a binary search."""
    close = sorted(numbered(20_000), key=path_hash)[:40]
    far = max(numbered(20_000), key=path_hash)
    model = {path: Asset(bytes(16), n, HTML) for n, path in enumerate([*close, far])}
    manifest = Manifest(encode_manifest(model))
    assert all(manifest.find(path) == asset for path, asset in model.items())
    assert manifest.find("/other") is None


def test_lone_surrogates_of_a_request_are_a_miss() -> None:
    assert Manifest(encode_manifest(numbered(3))).find("/\ud800") is None


@pytest.mark.parametrize(
    ("files", "depth"),
    [([], 0), (["/a/b/x.html"], 0), (["/404.html"], 1), (["/404.html", "/a/b/404.html"], 3), (["/a/x404.html"], 0)],
)
def test_not_found_depth_is_that_of_the_deepest_404_page(files: list[str], depth: int) -> None:
    model = {path: Asset(bytes(16), 0, HTML) for path in files}
    assert Manifest(encode_manifest(model)).not_found_depth == depth


def test_hardening_43_names_that_could_escape_are_refused_with_the_reason() -> None:
    refused = {
        "/../x": "segment",
        "/a/../x": "segment",
        "/a/./x": "segment",
        "/a/..": "segment",
        "x": "begin",
        "": "begin",
        "C:\\x": "begin",
        "/C:\\x": "backslash",
        "/a\\..\\b": "backslash",
        "//x": "empty",
        "/a//b": "empty",
        "/a/": "empty",
        "/": "empty",
        "/a\0b": "control",
        "/a\nb": "control",
        "/a\x7f": "control",
        "/" + "x" * 5_000: "5001 bytes long",
        "/\ud800": "Unicode",
    }
    for path, word in refused.items():
        reason = validate_manifest_path(path)
        assert reason is not None, path
        assert word in reason


@pytest.mark.parametrize("twins", [("/é", "/e\u0301"), ("/a/ﬁ-Å", "/a/ﬁ-\u212b"), ("/K", "/\u212a")])
def test_hardening_43_difference_28_one_name_in_two_unicode_forms_is_found(twins: tuple[str, str]) -> None:
    assert find_twins(["/a", *twins, "/b"]) == twins
    assert find_twins(reversed(twins)) == twins[::-1]


def test_hardening_43_names_that_only_look_alike_or_differ_in_case_are_no_twins() -> None:
    assert find_twins(["/é", "/É", "/e", "/a", "/A", "/ﬁ", "/fi", "/а", "/README", "/readme"]) is None


@pytest.mark.pages("1 row 7")
def test_hardening_43_keys_are_exact_in_case_and_unicode_form() -> None:
    model = {path: Asset(n.to_bytes(16), 0, HTML) for n, path in enumerate(["/é", "/e\u0301", "/É", "/A", "/a"])}
    manifest = Manifest(encode_manifest(model))
    assert {path: manifest.find(path) for path in model} == model


@pytest.mark.parametrize("path", ["/.well-known/x", "/..a", "/a..", "/...", "/" + "x" * (PATH_BYTES_MAX - 1), "/a b/é"])
def test_usual_and_odd_names_are_taken(path: str) -> None:
    assert validate_manifest_path(path) is None


def test_hardening_82_over_the_limit_is_refused_at_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asset_server.manifest.ENTRIES_MAX", 2)
    with pytest.raises(ValueError, match="at most 2"):
        encode_manifest(numbered(3))


def test_hardening_82_over_the_limit_does_not_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = encode_manifest(numbered(3))
    monkeypatch.setattr("asset_server.manifest.ENTRIES_MAX", 2)
    with pytest.raises(ManifestCorrupt, match="limits"):
        Manifest(encoded).verify()
