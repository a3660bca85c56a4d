"""The head of an answer: how its body is framed (RFC 9112 6), and its bytes, proven to be one head and no more."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

from router.http1.field_lines import TOKEN, VALUE
from router.http1.head import CONTENT_LENGTH, list_members

FRAMING_FIELDS: Final = frozenset({b"connection", b"content-length", b"transfer-encoding"})
ANSWER_LINES: Final = re.compile(rb"(?:" + TOKEN + rb": " + VALUE + rb"\r\n)*+")
PHRASES: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
STATUS_LINES: Final = {status: b"HTTP/1.1 %d %b\r\n" % (status, PHRASES.get(status, b"")) for status in range(200, 600)}


class AnswerInvalid(ValueError):
    """The application's answer can't be sent as it is: a mistake of ours, or header bytes that would end the head."""


class BodyFraming(Enum):
    """How a client tells where the body ends."""

    ABSENT = auto()  # HEAD, 204, 304: whatever the fields say
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()  # HTTP/1.0 without a length


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """`content_length` counts with LENGTH only."""

    data: bytes
    framing: BodyFraming
    content_length: int
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class AnswerTerms:
    """What the request and its connection ask of the answer."""

    is_head: bool
    minor_version: int
    keep_alive: bool


def render_answer_head(
    status: int, fields: Sequence[tuple[bytes, bytes]], terms: AnswerTerms, *, whole_body_bytes: int | None
) -> AnswerHead:
    """`whole_body_bytes` is None while the body's end isn't known. Raises AnswerInvalid.

    Connection and Transfer-Encoding are the connection's: the first is heeded where it says close, neither is passed.
    """
    if status not in STATUS_LINES:
        raise AnswerInvalid(f"{status} is no status of a final answer")
    keep_alive = terms.keep_alive
    given_length: int | None = None
    lines: list[bytes] = []
    for name, value in fields:
        lower = name.lower()
        if lower not in FRAMING_FIELDS:
            lines.append(b"%b: %b\r\n" % (lower, value))
        elif lower == b"connection":
            keep_alive = keep_alive and b"close" not in list_members(value)
        elif lower == b"content-length":
            if given_length is not None or CONTENT_LENGTH.fullmatch(value) is None:
                raise AnswerInvalid("Content-Length is repeated or malformed")
            given_length = int(value)
    block = join_lines(lines)
    framing = choose_framing(status, terms, has_length=given_length is not None or whole_body_bytes is not None)
    content_length = given_length
    if content_length is None and (framing is BodyFraming.LENGTH or whole_body_bytes):
        content_length = whole_body_bytes
    if content_length is not None and status != HTTPStatus.NO_CONTENT:
        block += b"content-length: %d\r\n" % content_length
    if framing is BodyFraming.CHUNKED:
        block += b"transfer-encoding: chunked\r\n"
    keep_alive = keep_alive and framing is not BodyFraming.UNTIL_CLOSE
    ending = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
    return AnswerHead(STATUS_LINES[status] + block + ending, framing, content_length or 0, keep_alive)


def render_upgrade_head(fields: Sequence[tuple[bytes, bytes]]) -> AnswerHead:
    """101 to another protocol, which ends with the connection. Raises AnswerInvalid."""
    block = join_lines([b"%b: %b\r\n" % (name.lower(), value) for name, value in fields])
    head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n" + block + b"\r\n"
    return AnswerHead(head, BodyFraming.UNTIL_CLOSE, 0, keep_alive=False)


def join_lines(lines: Sequence[bytes]) -> bytes:
    """Raises AnswerInvalid."""
    block = b"".join(lines)
    if ANSWER_LINES.fullmatch(block) is None or block.count(b"\n") != len(lines):
        raise AnswerInvalid("a header would end its line")
    return block


def choose_framing(status: int, terms: AnswerTerms, *, has_length: bool) -> BodyFraming:
    if terms.is_head or status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        return BodyFraming.ABSENT
    if has_length:
        return BodyFraming.LENGTH
    return BodyFraming.CHUNKED if terms.minor_version == 1 else BodyFraming.UNTIL_CLOSE
