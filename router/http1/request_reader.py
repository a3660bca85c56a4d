"""A connection's bytes cut into messages: head, body, next head. The cut depends on the bytes alone, not on how TCP
delivered them. Pulled, not pushed: what isn't asked for stays here unexamined, so answers keep their order."""

from http import HTTPStatus

from router.http1.chunked import ChunkedBody, body_too_large
from router.http1.field_lines import LINE_FAULT
from router.http1.head import RequestHead, compose_head, parse_field_block
from router.http1.limits import HttpLimits
from router.http1.refusal import Refused, bad_request
from router.http1.request_line import (
    LINE_BYTES_BESIDE_TARGET_MAX,
    RequestLine,
    parse_request_line,
    target_too_long,
)

HEAD_END = b"\r\n\r\n"
EMPTY_LINE = b"\r\n"


class RequestReader:
    """Reads one connection's requests. Once it raised Refused it must not be asked again."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._data = b""
        self._line: RequestLine | None = None
        self._skipped_empty_line = False
        self._searched_bytes = 0  # of the field block; keeps a head that trickles in linear
        self._body_bytes_left = 0
        self._chunked: ChunkedBody | None = None

    @property
    def buffered_bytes(self) -> int:
        return len(self._data)

    @property
    def in_head(self) -> bool:
        """A part of a head, and nothing but that, has arrived."""
        return self.body_is_complete and bool(self._data or self._line or self._skipped_empty_line)

    @property
    def body_is_complete(self) -> bool:
        return self._body_bytes_left == 0 and self._chunked is None

    @property
    def method(self) -> bytes | None:
        """Of the request whose head is being read, as soon as it is known."""
        return self._line.method if self._line is not None else None

    def receive(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data

    def next_head(self) -> RequestHead | None:
        """None until all of it is there. Only after the body before it is complete. Raises Refused."""
        if self._line is None:
            self._line = self._read_request_line()
            if self._line is None:
                return None
        block = self._read_field_block()
        if block is None:
            return None
        limits = self._limits
        head = compose_head(self._line, parse_field_block(block, count_max=limits.header_count_max))
        self._searched_bytes, self._skipped_empty_line = 0, False
        if head.content_length is None:
            self._chunked = ChunkedBody(limits)
        elif head.content_length > limits.body_bytes_max:
            raise body_too_large(limits)
        else:
            self._body_bytes_left = head.content_length
        self._line = None
        return head

    def next_body_part(self) -> bytes:
        """Empty when nothing more has arrived. Raises Refused."""
        if self._chunked is not None:
            part, self._data = self._chunked.decode(self._data)
            if self._chunked.is_complete:
                self._chunked = None
            return part
        part, self._data = self._data[: self._body_bytes_left], self._data[self._body_bytes_left :]
        self._body_bytes_left -= len(part)
        return part

    def take_rest(self) -> bytes:
        """What follows the last head, unread: it belongs to another protocol."""
        rest, self._data = self._data, b""
        return rest

    def _read_request_line(self) -> RequestLine | None:
        limits = self._limits
        if not self._skipped_empty_line and self._data.startswith(EMPTY_LINE):
            # RFC 9112 2.2: one empty line in front, as old clients send after a body.
            self._data, self._skipped_empty_line = self._data[len(EMPTY_LINE) :], True
        data = self._data
        if not data or (data == b"\r" and not self._skipped_empty_line):
            return None
        if not data[:1].isupper():
            raise bad_request("the request line is malformed")  # TLS on the plain port learns so at once
        end = data.find(b"\n") + 1
        if end == 0:
            if len(data) > limits.target_bytes_max + LINE_BYTES_BESIDE_TARGET_MAX:
                raise target_too_long(limits.target_bytes_max)
            return None
        line = parse_request_line(data[:end], target_bytes_max=limits.target_bytes_max)
        self._data = data[end:]
        return line

    def _read_field_block(self) -> bytes | None:
        data, bytes_max = self._data, self._limits.header_bytes_max
        if data.startswith(EMPTY_LINE):
            self._data = data[len(EMPTY_LINE) :]
            return b""
        end = data.find(HEAD_END, max(0, self._searched_bytes - len(HEAD_END))) + len(EMPTY_LINE)
        if len(EMPTY_LINE) <= end <= bytes_max:
            self._data = data[end + len(EMPTY_LINE) :]
            return data[:end]
        if LINE_FAULT.search(data, max(0, self._searched_bytes - 2), bytes_max) is not None:
            raise bad_request("a header line is malformed")
        if len(data) > bytes_max:
            raise Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {bytes_max} bytes of headers")
        self._searched_bytes = len(data)
        return None
