import pytest
from blake3 import blake3

from asset_server.content_type import CONTENT_TYPES, OCTET_STREAM, content_type_of, extension_of, extensions_of


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/index.html", "text/html; charset=utf-8"),
        ("/a.css", "text/css; charset=utf-8"),
        ("/a.js", "application/javascript"),
        ("/a.mjs", "application/javascript"),
        ("/a.json", "application/json"),
        ("/a.map", "application/json"),
        ("/a.svg", "image/svg+xml"),
        ("/a.webmanifest", "application/manifest+json"),
        ("/a.manifest", "text/cache-manifest; charset=utf-8"),
        ("/a.ico", "image/vnd.microsoft.icon"),
        ("/a.ts", "video/mp2t"),
        ("/a.key", "application/vnd.apple.keynote"),
        ("/a.wasm", "application/wasm"),
        ("/a.woff2", "font/woff2"),
        ("/a.conf", "text/plain; charset=utf-8"),
        ("/a.rs", "application/rls-services+xml"),
        ("/a.bat", "application/x-msdownload"),
        ("/a.hqx", "application/mac-binhex40"),
        ("/a.kmz", "application/vnd.google-earth.kmz"),
    ],
)
@pytest.mark.pages("7 row 2", "7 row 5", "12 row 31")
def test_7_row_1_type_goes_by_the_extension_as_observed_on_pages(path: str, content_type: str) -> None:
    assert content_type_of(path) == content_type


@pytest.mark.parametrize(
    "name",
    [
        "none",
        ".dotfile",
        "a.tgz",
        "a.jxl",
        "a.cur",
        "a.tsx",
        "a.vue",
        "a.py",
        "a.rb",
        "a.go",
        "a.topojson",
        "a.ndjson",
        "a.ipynb",
        "a.lock",
        "a.env",
        "a.db",
        "a.sqlite",
        "a.bin",
        "a.dat",
        "a.exe",
        "a.dmg",
        "a.iso",
        "a.deb",
        "a.kt",
        "a.swift",
        "a.bib",
        "a.",
        ".html",
    ],
)
@pytest.mark.pages("7 row 3")
def test_7_row_1_whatever_the_table_lacks_is_octet_stream(name: str) -> None:
    assert content_type_of(f"/folder.html/{name}") == OCTET_STREAM == "application/octet-stream"


def test_7_row_5_case_of_the_extension_does_not_matter() -> None:
    assert content_type_of("/A.TXT") == content_type_of("/a.txt")


@pytest.mark.parametrize(
    ("path", "extension"),
    [("/a.TXT", "TXT"), ("/x.tar.gz", "gz"), ("/.hidden", ""), ("/a.b/noext", ""), ("/a.", ""), ("/..x", "x")],
)
def test_extension_is_nodes_extname(path: str, extension: str) -> None:
    assert extension_of(path) == extension


def test_numbers_of_the_types_never_move() -> None:
    """Manifests on disk hold them. A new type goes to the end of the table; this covers the first 930."""
    assert len(CONTENT_TYPES) == len(set(CONTENT_TYPES)) >= 930
    assert blake3("\n".join(CONTENT_TYPES[:930]).encode()).hexdigest(length=8) == "bbe6cf1356370e31"


def test_extensions_of_a_type_give_that_type() -> None:
    for content_type in CONTENT_TYPES:
        for extension in extensions_of(content_type):
            assert content_type_of(f"/file.{extension}") == content_type
    assert extensions_of("text/html; charset=utf-8") == extensions_of("Text/HTML") != ()
    assert extensions_of("no/such") == ()
