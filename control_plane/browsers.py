"""What a browser may do here: only what one of our own pages asks it to.

A request that changes something counts only if the browser itself says that it comes from this very origin: by
Sec-Fetch-Site (Fetch Metadata), or by Origin where a browser doesn't send that. A request that says nothing is refused.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from envelope.errors import Forbidden


def refuse_foreign(request: Request) -> None:
    """Raises Forbidden. For every request that changes something on the strength of a cookie, and for the sign-in."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_same_site = site == "same-origin" if site is not None else origin is not None
    if not is_same_site or (origin is not None and not is_own_origin(origin, request.headers.get("host", ""))):
        raise Forbidden("this was sent by another site's page, or by no page at all; open ours and send it there")


def is_own_origin(origin: str, host: str) -> bool:
    """The scheme isn't compared: behind a proxy that speaks TLS we don't know it."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() != ""
