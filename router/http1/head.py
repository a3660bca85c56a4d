"""A request's head: what its line and its fields mean together (RFC 9112 3.2, 6, 9.3; RFC 9110 10.1.1)."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from router.http1.field_lines import TOKEN, Fields, split_field_lines
from router.http1.refusal import Refused, bad_request
from router.http1.request_line import AUTHORITY, RequestLine

CONTENT_LENGTH: Final = re.compile(rb"[0-9]{1,15}")
CODING: Final = re.compile(TOKEN)
FRAMING_FIELDS: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"})
BLANKS: Final = b" \t"


@dataclass(frozen=True, slots=True)
class FieldBlock:
    """What one block of field lines says by itself, whatever the request line before it."""

    fields: Fields
    host: bytes | None
    content_length: int | None
    is_chunked: bool
    asks_to_close: bool
    expects_continue: bool


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request as accepted, in origin form: `fields` holds the one Host that counts. `content_length` is 0 without
    a body, None for a chunked one. `expects_continue`: the client holds its body back until it hears 100."""

    method: str
    path: bytes
    query: bytes | None
    minor_version: int
    fields: Fields
    content_length: int | None
    keep_alive: bool
    expects_continue: bool


def parse_field_block(block: bytes, *, count_max: int) -> FieldBlock:
    """`block` is empty or ends with its last line's CRLF. Raises Refused."""
    fields = split_field_lines(block)
    if len(fields) > count_max:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"more than {count_max} header lines",
            limit="header_count_max",
        )
    host: bytes | None = None
    content_length: int | None = None
    codings: list[bytes] = []
    asks_to_close = expects_continue = False
    for name, value in fields:
        if name not in FRAMING_FIELDS:
            continue
        if name == b"host":
            if host is not None or AUTHORITY.fullmatch(value) is None:
                raise bad_request("the Host header is repeated or malformed")
            host = value
        elif name == b"content-length":
            if content_length is not None or CONTENT_LENGTH.fullmatch(value) is None:
                raise bad_request("Content-Length is repeated or malformed")
            content_length = int(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"connection":
            asks_to_close = asks_to_close or b"close" in list_members(value)
        elif value.lower() == b"100-continue":
            expects_continue = True
        else:
            raise Refused(HTTPStatus.EXPECTATION_FAILED, "the only expectation known is 100-continue")
    if codings:
        refuse_other_codings(codings)
        if content_length is not None:
            raise bad_request("both Content-Length and Transfer-Encoding")
    return FieldBlock(fields, host, content_length, bool(codings), asks_to_close, expects_continue)


def list_members(value: bytes) -> list[bytes]:
    """RFC 9110 5.6.1, for lists of tokens that know no case; empty members stay, since they may matter."""
    return [member.strip(BLANKS) for member in value.lower().split(b",")]


def refuse_other_codings(values: list[bytes]) -> None:
    """Anything but one `chunked`: 501 for codings that could be, 400 for what has no reading (RFC 9112 6.1)."""
    if len(values) > 1:
        raise bad_request("Transfer-Encoding is repeated")
    codings = list_members(values[0])
    if codings == [b"chunked"]:
        return
    if b"chunked" in codings[:-1] or any(CODING.fullmatch(coding) is None for coding in codings):
        raise bad_request("Transfer-Encoding is malformed")
    raise Refused(HTTPStatus.NOT_IMPLEMENTED, "the only transfer coding known is chunked")


def compose_head(line: RequestLine, block: FieldBlock) -> RequestHead:
    """Raises Refused for what neither of the two could tell alone."""
    fields, is_modern = block.fields, line.minor_version == 1
    if block.host is None and is_modern:
        raise bad_request("the Host header is missing")
    if block.is_chunked and not is_modern:
        raise bad_request("HTTP/1.0 knows no Transfer-Encoding")
    if line.authority is not None:
        fields = [(b"host", line.authority), *(field for field in fields if field[0] != b"host")]
    content_length = None if block.is_chunked else block.content_length or 0
    return RequestHead(
        method=line.method.decode("ascii"),
        path=line.path,
        query=line.query,
        minor_version=line.minor_version,
        fields=fields,
        content_length=content_length,
        keep_alive=is_modern and not block.asks_to_close,
        expects_continue=block.expects_continue and is_modern and content_length != 0,
    )
