"""The few pages that are Onehop's own: hosts that don't exist, requests it refuses, deployments it can't read.

Each is whole in itself (no image, no script, no second request), says what happened and what to do next, and escapes
whatever came from the client. None of them may be stored by a cache.
"""

from html import escape
from typing import Final

from asset_server.message import Response
from router.resolve import Unknown

STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.6 system-ui,sans-serif;max-width:34rem;margin:18vh auto 0;padding:0 1.5rem}"
    "h1{font-size:1.5rem;line-height:1.25;margin:0 0 .75rem}p{margin:0 0 .75rem}"
    "code{font:.9em ui-monospace,monospace;background:#8883;border-radius:.3em;padding:.1em .35em;"
    "overflow-wrap:anywhere}small{opacity:.65}"
)
POLICY: Final = b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"


def render_page(status: int, title: str, *paragraphs: str, retry_after_s: int | None = None) -> Response:
    """`title` is text; `paragraphs` are HTML whose variable parts the caller has escaped."""
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{STYLE}</style><h1>{escape(title)}</h1>"
        + "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
        + f"<p><small>{status} · Onehop</small></p></html>\n"
    ).encode()
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", POLICY),
        (b"x-content-type-options", b"nosniff"),
        (b"x-robots-tag", b"noindex"),
    ]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    return Response(status=status, headers=headers, body=body)


def unknown_host(unknown: Unknown) -> Response:
    """The one answer for a host without a route: never was, deleted, or another's; it doesn't say which."""
    hostname = escape(unknown.hostname.name)
    claim = []
    if unknown.site is not None:
        site = escape(unknown.site)
        claim.append(f"To claim it, deploy a site of that name: <code>onehop deploy DIR --project {site}</code>.")
    elif not unknown.is_below_pages_domain:
        claim.append(
            "If it is a domain of yours, add it to your site: "
            f"<code>onehop site domain add NAME {hostname}</code>; "
            "<code>onehop deploy DIR --project NAME</code> makes one."
        )
    return render_page(
        404,
        "There is no site at this address",
        f"<code>{hostname}</code> isn't the address of a deployment here.",
        *claim,
    )


def refused_host() -> Response:
    page = render_page(400, "The Host header names no host", "It is missing, repeated or malformed.")
    page.headers.append((b"connection", b"close"))
    return page


def refused_target() -> Response:
    page = render_page(400, "The request's path can't be read", "It holds a NUL or control character.")
    page.headers.append((b"connection", b"close"))
    return page


def damaged_deployment() -> Response:
    return render_page(
        500,
        "This deployment can't be read",
        "Its stored data is damaged or missing. Other sites aren't affected.",
        "The operator finds the cause and the cure with <code>onehop check</code>.",
    )


def exhausted() -> Response:
    return render_page(
        503,
        "This server is too busy to open the file",
        "It has too many open at the moment.",
        retry_after_s=1,
    )


def functions_absent() -> Response:
    return render_page(
        503,
        "This path is answered by a function",
        "This edge has no workerd, which runs functions. The deployment's assets are served.",
        "The operator brings it with <code>onehop functions install</code> and restarts the server.",
        retry_after_s=3600,
    )


def function_unavailable(status: int, reason: str, *, retry_after_s: int) -> Response:
    return render_page(status, "This function can't answer now", escape(reason), retry_after_s=retry_after_s)


def function_failed() -> Response:
    return render_page(
        500,
        "This function failed",
        "It ended with an error before it answered. Whoever deployed it sees the error with "
        "<code>onehop functions logs</code> or <code>wrangler pages deployment tail</code>.",
    )


def function_lost() -> Response:
    return render_page(
        502,
        "This function's process ended",
        "It ended while the request was under way; another one is running by now.",
        retry_after_s=1,
    )


def function_too_slow() -> Response:
    return render_page(
        504,
        "This function didn't answer",
        "It took all the time or memory that there was, and was ended.",
        retry_after_s=5,
    )


def function_loop() -> Response:
    return render_page(508, "This request goes in circles", "Functions here have passed it to each other too often.")
