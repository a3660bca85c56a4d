"""Why a connection is given up, and the last answer that it gets."""

from collections.abc import Iterable
from http import HTTPStatus


class Refused(Exception):
    """These bytes are no request that Onehop reads, or too much of one. No byte after them is looked at."""

    def __init__(self, status: HTTPStatus, reason: str, *, limit: str | None = None) -> None:
        """`limit` names the field of HttpLimits that was passed, where the status doesn't say which it was."""
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.limit = limit


def bad_request(reason: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, reason)


def render_refusal(refused: Refused, default_headers: Iterable[tuple[bytes, bytes]], *, with_body: bool) -> bytes:
    """`reason` is ours, never the client's bytes. A HEAD gets the same head `with_body` False (RFC 9110 9.3.2)."""
    body = f"{refused.status.value} {refused.status.phrase}: {refused.reason}\n".encode("ascii")
    lines = [f"HTTP/1.1 {refused.status.value} {refused.status.phrase}\r\n".encode("ascii")]
    lines += [b"%b: %b\r\n" % field for field in default_headers]
    lines.append(
        b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\ncache-control: no-store\r\n"
        b"connection: close\r\n\r\n" % len(body)
    )
    if with_body:
        lines.append(body)
    return b"".join(lines)
