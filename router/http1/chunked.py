"""The chunked transfer coding (RFC 9112 7.1), decoded strictly. Extensions and trailers are bounded and forgotten."""

import re
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

from router.http1.field_lines import LINE_FAULT, TOKEN, split_field_lines
from router.http1.limits import HttpLimits
from router.http1.refusal import Refused, bad_request

QUOTED: Final = rb'"(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*+"'
EXTENSION: Final = rb"[ \t]*+;[ \t]*+" + TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + TOKEN + rb"|" + QUOTED + rb"))?+"
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16}+)((?:" + EXTENSION + rb")*+)\r\n")
LINE_BYTES_BESIDE_EXTENSION_MAX: Final = 16 + len(b"\r\n")
CRLF: Final = b"\r\n"


class Awaited(Enum):
    """What comes next in the body."""

    CHUNK_LINE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER_LINE = auto()
    NOTHING = auto()


class ChunkedBody:
    """Decodes one body as it arrives."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._awaited = Awaited.CHUNK_LINE
        self._chunk_bytes_left = 0
        self._body_bytes = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0

    @property
    def is_complete(self) -> bool:
        return self._awaited is Awaited.NOTHING

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """The content that `data` holds, and what is left of it: an unfinished line, or the next message.

        What is left comes again, in front of what arrives next. Raises Refused.
        """
        content: list[bytes] = []
        position = 0
        while not self.is_complete:
            if self._awaited is Awaited.DATA:
                piece = data[position : position + self._chunk_bytes_left]
                if not piece:
                    break
                content.append(piece)
                position += len(piece)
                self._chunk_bytes_left -= len(piece)
                if self._chunk_bytes_left == 0:
                    self._awaited = Awaited.DATA_END
            elif self._awaited is Awaited.DATA_END:
                end = data[position : position + 2]
                if not CRLF.startswith(end):
                    raise bad_request("chunk data doesn't end where its size says")
                if end != CRLF:
                    break
                position += 2
                self._awaited = Awaited.CHUNK_LINE
            else:
                line = self._whole_line(data, position)
                if line is None:
                    break
                position += len(line)
                self._take_line(line)
        return b"".join(content), data[position:]

    def _whole_line(self, data: bytes, start: int) -> bytes | None:
        if self._awaited is Awaited.CHUNK_LINE:
            bytes_max = LINE_BYTES_BESIDE_EXTENSION_MAX + self._limits.chunk_extension_bytes_max - self._extension_bytes
        else:
            bytes_max = self._limits.trailer_bytes_max - self._trailer_bytes
        end = data.find(b"\n", start, start + bytes_max)
        if end >= 0:
            return data[start : end + 1]
        if len(data) - start >= bytes_max:
            raise bad_request("chunk extensions or trailers are too long")
        if LINE_FAULT.search(data, start) is not None:
            raise bad_request("a line of the chunked body is malformed")
        return None

    def _take_line(self, line: bytes) -> None:
        if self._awaited is Awaited.CHUNK_LINE:
            self._take_chunk_line(line)
            return
        self._trailer_bytes += len(line)
        if line == CRLF:
            self._awaited = Awaited.NOTHING
        else:
            split_field_lines(line)  # refuses what no field line is; trailers mean nothing to us (RFC 9110 6.5.1)

    def _take_chunk_line(self, line: bytes) -> None:
        match = CHUNK_LINE.fullmatch(line)
        if match is None:
            raise bad_request("a chunk's size line is malformed")
        size_digits, extension = match.groups()
        self._extension_bytes += len(extension)
        self._chunk_bytes_left = int(size_digits, 16)
        self._body_bytes += self._chunk_bytes_left
        if self._body_bytes > self._limits.body_bytes_max:
            raise body_too_large(self._limits)
        self._awaited = Awaited.DATA if self._chunk_bytes_left else Awaited.TRAILER_LINE


def body_too_large(limits: HttpLimits) -> Refused:
    return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limits.body_bytes_max} bytes")
