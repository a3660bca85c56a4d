"""What enters and leaves the asset server: one request's parts that matter to assets, and one answer.

Neither knows a socket or a framework. The router's edge builds the request after the strict HTTP layer has
accepted it, and whoever holds the connection writes the answer out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

HeaderFields = list[tuple[bytes, bytes]]
"""Field lines in order; names lower case; values without outer whitespace."""


@dataclass(frozen=True, slots=True)
class AssetRequest:
    """A request that reached a deployment's assets.

    `path` and `query` come from `asset_server.url.parse_target`: WHATWG-normalised and still percent-encoded;
    `query` is "" or begins with "?". `origin` is what the client used, e.g. "http://a.pages.localhost:8787";
    `hostname` is its normal form without a port. `is_preview` marks hosts that search engines must not index.
    """

    method: str
    path: str
    query: str
    origin: str
    hostname: str
    is_preview: bool
    headers: Sequence[tuple[bytes, bytes]]

    def field_lines(self, name: bytes) -> list[bytes]:
        """Every value that came under `name` (lower case), in order of arrival."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer.

    `headers` holds neither Date nor Connection nor (for bodies that are sent) Transfer-Encoding: those are the
    connection's. Content-Length is always there where RFC 9110 8.6 allows it, also for HEAD, whose `body` is
    empty. A `memoryview` body is a slice of a memory map that lives as long as the view does.
    `lasts`: whoever asks the same of the same pipeline gets this answer for ever. `validator` is the entity tag that
    turns a 200 into a 304, whatever the site's rules made of the ETag field; empty for other answers.
    `is_for_any_host`: neither the host nor the scheme that was asked for is in it, nor chose anything of it.
    """

    status: int
    headers: HeaderFields
    body: bytes | memoryview = b""
    lasts: bool = False
    validator: bytes = b""
    is_for_any_host: bool = False
