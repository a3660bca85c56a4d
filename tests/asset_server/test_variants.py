import gzip
from hashlib import sha256

import brotli
import pytest
import zstandard

from asset_server.manifest import Encodings
from asset_server.variants import COMPRESSED_BYTES_MIN, is_compressible, variants_of

TEXT = b"".join(b"line %d of a page\n" % n for n in range(400))


def test_each_form_decodes_to_the_bytes() -> None:
    forms = variants_of(TEXT, "text/html; charset=utf-8")
    assert list(forms) == [Encodings.BR, Encodings.GZIP, Encodings.ZSTD]
    assert brotli.decompress(forms[Encodings.BR]) == TEXT
    assert gzip.decompress(forms[Encodings.GZIP]) == TEXT
    assert zstandard.ZstdDecompressor().decompress(forms[Encodings.ZSTD]) == TEXT


def test_forms_are_deterministic_and_gzip_has_no_time() -> None:
    forms = variants_of(TEXT, "text/css; charset=utf-8")
    assert forms == variants_of(TEXT, "text/css; charset=utf-8")
    assert forms[Encodings.GZIP][4:8] == bytes(4)


@pytest.mark.parametrize("content_type", ["image/png", "video/mp4", "application/zip", "font/woff2", "image/jpeg"])
def test_packed_types_are_left_alone(content_type: str) -> None:
    assert not is_compressible(content_type)
    assert variants_of(TEXT, content_type) == {}


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain; charset=utf-8",
        "application/javascript",
        "application/json",
        "image/svg+xml",
        "application/manifest+json",
        "application/wasm",
        "font/ttf",
        "application/rss+xml",
    ],
)
def test_texts_and_their_kin_are_compressed(content_type: str) -> None:
    assert variants_of(TEXT, content_type)


def test_what_saves_too_little_is_not_kept() -> None:
    noise = b"".join(sha256(b"%d" % n).digest() for n in range(200))
    assert variants_of(noise, "text/plain; charset=utf-8") == {}


def test_short_files_are_left_alone() -> None:
    assert variants_of(b"a" * (COMPRESSED_BYTES_MIN - 1), "text/plain; charset=utf-8") == {}
    assert variants_of(b"a" * COMPRESSED_BYTES_MIN, "text/plain; charset=utf-8")
