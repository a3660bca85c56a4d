"""The request line (RFC 9112 3): method, request target in each of its forms, version."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from router.http1.refusal import Refused, bad_request

METHOD_BYTES_MAX: Final = 32
LINE_BYTES_BESIDE_TARGET_MAX: Final = METHOD_BYTES_MAX + len("  HTTP/1.1\r\n")

METHOD: Final = rb"(?!CONNECT )[A-Z][A-Z-]{0,%d}+" % (METHOD_BYTES_MAX - 1)
"""Every registered method is upper case; a token with other characters is somebody's attempt. This is no proxy."""
PATH: Final = rb"/[^\x00-\x20\x7f#?]*+"
QUERY: Final = rb"[^\x00-\x20\x7f#]*+"
"""Wider than RFC 3986: raw non-ASCII and the likes of `|` arrive from real clients, and have one reading."""
HOST_NAME: Final = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})++"
AUTHORITY: Final = re.compile(rb"(?:" + HOST_NAME + rb"|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5}+)?")
"""RFC 3986 3.2 without user information, which RFC 9110 4.2.4 forbids. Which names can name a site isn't said here."""

ORIGIN_LINE: Final = re.compile(
    rb"(?P<method>"
    + METHOD
    + rb") (?P<path>"
    + PATH
    + rb")(?:\?(?P<query>"
    + QUERY
    + rb"))? HTTP/1\.(?P<minor>[01])\r\n"
)
OTHER_LINE: Final = re.compile(
    rb"(" + METHOD + rb") ([^\x00-\x20\x7f]++) HTTP/([0-9])\.([0-9])\r\n"  # method, target, major, minor
)
QUERY_AND_REST: Final = re.compile(QUERY + rb" HTTP/1\.1\r\n")
ABSOLUTE_TARGET: Final = re.compile(
    rb"(?i:https?)://(?P<authority>[^/?#]*+)(?P<path>" + PATH + rb")?(?:\?(?P<query>" + QUERY + rb"))?"
)


@dataclass(frozen=True, slots=True)
class RequestLine:
    """`path` is as sent ("*" for the server as a whole); `query` without its "?", None where there was no "?".
    `authority` is that of an absolute-form target, which wins over Host (RFC 9112 3.2.2)."""

    method: bytes
    path: bytes
    query: bytes | None
    minor_version: int
    authority: bytes | None = None


def parse_request_line(line: bytes, *, target_bytes_max: int) -> RequestLine:
    """`line` ends with LF. Raises Refused."""
    if len(line) > target_bytes_max:
        refuse_long_target(line, target_bytes_max)
    match = ORIGIN_LINE.fullmatch(line)
    if match is None:
        return parse_unusual_line(line)
    method, path, query, minor = match.groups()
    return RequestLine(method, path, query, 1 if minor == b"1" else 0)


def without_query(line: bytes) -> bytes | None:
    """An HTTP/1.1 line with its query left out; None where it has none, or what follows the "?" is no query. What comes
    before isn't looked at: it is for those who know the shorter line and so whether it is a good one."""
    before, mark, after = line.partition(b"?")
    return before + b" HTTP/1.1\r\n" if mark and QUERY_AND_REST.fullmatch(after) is not None else None


def refuse_long_target(line: bytes, target_bytes_max: int) -> None:
    parts = line.split(b" ", 2)
    target_bytes = len(parts[1]) if len(parts) > 1 else 0
    if target_bytes > target_bytes_max or len(line) > target_bytes_max + LINE_BYTES_BESIDE_TARGET_MAX:
        raise target_too_long(target_bytes_max)


def target_too_long(target_bytes_max: int) -> Refused:
    return Refused(HTTPStatus.REQUEST_URI_TOO_LONG, f"the request target is longer than {target_bytes_max} bytes")


def parse_unusual_line(line: bytes) -> RequestLine:
    match = OTHER_LINE.fullmatch(line)
    if match is None:
        raise bad_request("the request line is malformed")
    method, target, major, minor = match.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this port speaks HTTP/1.1 and HTTP/1.0")
    minor_version = int(minor)
    if target == b"*" and method == b"OPTIONS":
        return RequestLine(method, b"*", None, minor_version)
    absolute = ABSOLUTE_TARGET.fullmatch(target)
    if absolute is None or AUTHORITY.fullmatch(absolute["authority"]) is None:
        raise bad_request("the request target is malformed")
    path, query = absolute["path"], absolute["query"]
    if path is None:
        path = b"*" if method == b"OPTIONS" and query is None else b"/"  # RFC 9112 3.2.4
    return RequestLine(method, path, query, minor_version, absolute["authority"])
