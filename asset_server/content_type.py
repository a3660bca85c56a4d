"""The Content-Type of a path: by its extension alone, without looking at the bytes (pages-serving 7)."""

from typing import Final

from asset_server.content_type_table import CONTENT_TYPE_LINES

_LINES: Final = [line.split(" ") for line in CONTENT_TYPE_LINES.splitlines()]

CHARSET: Final = "; charset=utf-8"
CONTENT_TYPES: Final = tuple(kind + CHARSET if kind.startswith("text/") else kind for kind, *_ in _LINES)
"""As sent. Append-only: a manifest stores the position."""

OCTET_STREAM: Final = CONTENT_TYPES[0]
_TYPE_OF: Final = {
    extension: CONTENT_TYPES[number] for number, (_, *extensions) in enumerate(_LINES) for extension in extensions
}
_NUMBER_OF: Final = {kind: number for number, kind in enumerate(CONTENT_TYPES)}
_EXTENSIONS_OF: Final = {kind: tuple(extensions) for kind, *extensions in _LINES}


def extension_of(path: str) -> str:
    """The text after the last dot of the last segment, its case kept; "" when the name's only dot is its first
    character, or when there is none (Node's `extname` without the dot)."""
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return extension if dot and stem else ""


def content_type_of(path: str) -> str:
    return _TYPE_OF.get(extension_of(path).lower(), OCTET_STREAM)


def content_type_number(content_type: str) -> int:
    """Raises KeyError for what `content_type_of` doesn't return."""
    return _NUMBER_OF[content_type]


def extensions_of(content_type: str) -> tuple[str, ...]:
    """Lower-case extensions that give this type; parameters are ignored, an unknown type has none."""
    return _EXTENSIONS_OF.get(content_type.partition(";")[0].strip().lower(), ())
