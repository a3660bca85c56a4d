"""The path and query of a request target as a WHATWG URL parser sees them, and paths as text and back.

    target bytes → parse_target → Target.path, still encoded: rules match it
                                  Target.path → decode_path → text: assets are found by it → encode_path → a Location

Bytes in, ASCII text out: what isn't ASCII is percent-encoded byte for byte, so that no guess at an encoding is made.
The sections are those of https://url.spec.whatwg.org/; "special" is its word for schemes such as http. What differs
for the URLs in rule files is in rule_url.py.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

CANONICAL: Final = re.compile(
    rb"""( (?: / (?! (?:\.|%2[Ee]){1,2} (?:[/?]|\Z) )      # no segment of dots
               [!$&-.0-;=@A-Z\[\]_a-z|~]*+ (?: %(?!00) [!$&-.0-;=@A-Z\[\]_a-z|~]*+ )*+
           )++ )
         (?: \? ([!$-&(-;=?-~]*+) )?""",
    re.VERBOSE,
)
"""A target that normalises to itself: what all but a few clients send. One match decides (1 µs for 60 bytes)."""
REFUSED_BYTES: Final = re.compile(rb"[\x00-\x1f\x7f]")
ESCAPED_NUL: Final = b"%00"
PATH_ENCODED: Final = re.compile(rb'[\x00-\x20"#<>?^`{}\x7f-\xff]')
"""1.3, the path percent-encode set. It has "^" since 2024."""
QUERY_ENCODED: Final = re.compile(rb'[\x00-\x20"#<>\x7f-\xff]')
SPECIAL_QUERY_ENCODED: Final = re.compile(rb'[\x00-\x20"#<>\'\x7f-\xff]')
DOT_SEGMENTS: Final = {
    b".": 1, b"%2e": 1,
    b"..": 2, b".%2e": 2, b"%2e.": 2, b"%2e%2e": 2,
}  # fmt: skip
"""4.4, "single-dot" and "double-dot URL path segment", in lower case."""
MALFORMED_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
PATH_TEXT_KEPT: Final = "/!$&'()*+,;=:@"
"""RFC 3986 3.3: what a path may hold beside letters, digits and "-._~"; encode_path escapes the rest."""


class TargetRefused(ValueError):
    """No asset can have this request target: not a path, or with a NUL or another control byte in it."""


@dataclass(frozen=True, slots=True)
class Target:
    """`path` begins with "/" and is still encoded; `query` is "" or "?" and at least one character."""

    path: str
    query: str


def parse_target(target: bytes) -> Target:
    """`target` is in origin form; a second leading "/" begins no host. Raises TargetRefused."""
    match = CANONICAL.fullmatch(target)
    if match is not None:
        path, query = match.groups()
        return Target(path.decode("ascii"), f"?{query.decode('ascii')}" if query else "")
    target = target.partition(b"#")[0]
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/") or REFUSED_BYTES.search(target) is not None or ESCAPED_NUL in path:
        raise TargetRefused(target)
    # In a special scheme a backslash parts segments too.
    return Target(normalise_path(path.replace(b"\\", b"/"), PATH_ENCODED), normalise_special_query(query))


def normalise_path(path: bytes, encoded: re.Pattern[bytes]) -> str:
    """4.4, "path state": dot segments, also escaped ones, are resolved and the bytes of `encoded` are encoded."""
    segments = path[1:].split(b"/")
    kept: list[bytes] = []
    for segment in segments:
        dots = DOT_SEGMENTS.get(segment.lower())
        if dots is None:
            kept.append(segment)
        elif dots == 2 and kept:
            kept.pop()
    if segments[-1].lower() in DOT_SEGMENTS:
        kept.append(b"")
    return percent_encode(b"/" + b"/".join(kept), encoded)


def normalise_special_query(query: bytes) -> str:
    """`query` without its "?". An empty one vanishes, as from the `search` of a URL object."""
    return f"?{percent_encode(query, SPECIAL_QUERY_ENCODED)}" if query else ""


def percent_encode(data: bytes, encoded: re.Pattern[bytes]) -> str:
    """Existing escapes stay as they are, even malformed ones."""
    return encoded.sub(lambda match: b"%%%02X" % match[0][0], data).decode("ascii")


def decode_path(path: str) -> str:
    """JavaScript's decodeURIComponent over the whole path; the path itself if any part of it can't be decoded."""
    if "%" not in path:
        return path
    if MALFORMED_ESCAPE.search(path) is not None:
        return path
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return path


def encode_path(path: str) -> str:
    """The URI path that names the decoded `path`."""
    return quote_from_bytes(path.encode("utf-8"), safe=PATH_TEXT_KEPT)
