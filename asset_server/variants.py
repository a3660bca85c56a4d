"""The compressed forms of an asset, made once, when its bytes arrive (differences 6)."""

import zlib
from collections.abc import Mapping
from typing import Final

import brotli  # type: ignore[import-untyped]  # it ships no types
import zstandard

from asset_server.manifest import ASSET_BYTES_MAX, Encodings

COMPRESSED_BYTES_MIN: Final = 256  # below this the head is most of the answer
SAVING_MIN: Final = 0.05  # a form that saves less isn't worth its place on disk and in the ready cache
SMALL_BYTES_MAX: Final = 256 * 1024  # up to here the slower level is worth its time

# Measured over 10 MB of scripts, styles, JSON and pages, in MB/s of one core and share of the size left:
# br 5: 47, 0.271 (4: 67, 0.292; 6: 36, 0.270) · gzip 5: 67, 0.290 (6: 54, 0.288) · zstd 3: 220, 0.304 (6: 79, 0.288).
# Together 2 s of one core for 50 MB. A client that takes zstd takes br, and gets it, so zstd is made cheaply.
BROTLI_QUALITY: Final = 5
BROTLI_QUALITY_LARGE: Final = 4
ZSTD_LEVEL: Final = 3
GZIP_LEVEL: Final = 5
GZIP_WINDOW_BITS: Final = 31  # 15, and 16 for a gzip wrapper: zlib writes it without time or name, so deterministic

COMPRESSIBLE_PREFIXES: Final = ("text/", "font/ttf", "font/otf", "font/collection", "image/svg+xml", "image/bmp")
COMPRESSIBLE_SUFFIXES: Final = ("+xml", "+json", "+text")
COMPRESSIBLE: Final = frozenset(
    {
        "application/javascript",
        "application/ecmascript",
        "application/node",
        "application/json",
        "application/json5",
        "application/hjson",
        "application/xml",
        "application/xml-dtd",
        "application/wasm",
        "application/rtf",
        "application/sql",
        "application/toml",
        "application/postscript",
        "application/vnd.apple.mpegurl",
        "application/vnd.ms-fontobject",
        "application/x-sh",
        "application/x-sql",
        "application/x-tex",
        "application/x-httpd-php",
        "application/x-perl",
        "application/x-subrip",
        "application/x-tar",
        "image/vnd.microsoft.icon",
        "model/obj",
        "model/stl",
        "model/gltf-binary",
    }
)


def is_compressible(content_type: str) -> bool:
    kind = content_type.partition(";")[0]
    return kind in COMPRESSIBLE or kind.startswith(COMPRESSIBLE_PREFIXES) or kind.endswith(COMPRESSIBLE_SUFFIXES)


def variants_of(content: bytes, content_type: str) -> Mapping[Encodings, bytes]:
    """The forms worth keeping, in ascending order of encoding. The same content gives the same bytes.

    All three libraries let go of the interpreter lock, so that a deploy's files are compressed in parallel.
    """
    if not COMPRESSED_BYTES_MIN <= len(content) <= ASSET_BYTES_MAX or not is_compressible(content_type):
        return {}
    worth_bytes = int(len(content) * (1 - SAVING_MIN))
    zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content)
    if len(zstd) > worth_bytes:
        return {}  # the cheapest has tried; the others find no more in bytes that are packed already
    quality = BROTLI_QUALITY if len(content) <= SMALL_BYTES_MAX else BROTLI_QUALITY_LARGE
    forms = {
        Encodings.BR: brotli.compress(content, quality=quality),
        Encodings.GZIP: zlib.compress(content, GZIP_LEVEL, GZIP_WINDOW_BITS),
        Encodings.ZSTD: zstd,
    }
    return {encoding: form for encoding, form in forms.items() if len(form) <= worth_bytes}
