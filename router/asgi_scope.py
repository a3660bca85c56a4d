"""A request's head as an ASGI application gets it (ASGI 3.0, HTTP specification 2.3)."""

import time
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from router.exchange import RECEIVED_NS, UPGRADE, Scope
from router.http1.head import RequestHead

ASGI_VERSIONS: Final = {"version": "3.0", "spec_version": "2.3"}


def scope_of(
    head: RequestHead,
    *,
    server: tuple[str, int | None] | None,
    client: tuple[str, int] | None,
    scheme: str,
    root_path: str,
    state: dict[str, Any],
) -> Scope:
    """`state` is the application's own, each request's a copy of it."""
    return {
        "type": "http",
        "asgi": ASGI_VERSIONS,
        "http_version": "1.1" if head.minor_version == 1 else "1.0",
        "server": server,
        "client": client,
        "scheme": scheme,
        "root_path": root_path,
        "method": head.method,
        "path": root_path + unquote_to_bytes(head.path).decode("utf-8", "replace"),
        "raw_path": head.path,
        "query_string": head.query or b"",
        "headers": head.fields,
        "extensions": {UPGRADE: {}},
        "state": state.copy(),
        RECEIVED_NS: time.monotonic_ns(),
    }
