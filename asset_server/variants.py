"""The compressed forms of an asset, made once, when its bytes arrive (differences 6)."""

import zlib
from collections.abc import Mapping
from typing import Final

import brotli  # type: ignore[import-untyped]  # it ships no types
import zstandard

from asset_server.manifest import ASSET_BYTES_MAX, Encodings

COMPRESSED_BYTES_MIN: Final = 256  # below this the head is most of the answer
SAVING_MIN: Final = 0.05  # a form that saves less isn't worth its place on disk and in the ready cache
SMALL_BYTES_MAX: Final = 256 * 1024  # up to here the slower levels are worth their time

BROTLI_QUALITY: Final = 5
BROTLI_QUALITY_LARGE: Final = 4
ZSTD_LEVEL: Final = 6
ZSTD_LEVEL_LARGE: Final = 3
GZIP_LEVEL: Final = 6
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
    is_small = len(content) <= SMALL_BYTES_MAX
    forms = {
        Encodings.BR: brotli.compress(content, quality=BROTLI_QUALITY if is_small else BROTLI_QUALITY_LARGE),
        Encodings.GZIP: zlib.compress(content, GZIP_LEVEL, GZIP_WINDOW_BITS),
        Encodings.ZSTD: zstandard.ZstdCompressor(level=ZSTD_LEVEL if is_small else ZSTD_LEVEL_LARGE).compress(content),
    }
    worth_bytes = int(len(content) * (1 - SAVING_MIN))
    return {encoding: form for encoding, form in forms.items() if len(form) <= worth_bytes}
