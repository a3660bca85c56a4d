"""GET /metrics: what all processes count, for Prometheus.

It takes a token that may read the whole account. Where a request comes from proves nothing: a proxy on this machine,
which docs/operating.md advises for TLS, makes every client look local. Prometheus sends the token with
`authorization: {credentials_file: …}`.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from control_plane.endpoints import authenticate
from control_plane.errors import Forbidden
from control_plane.plane import ControlPlane
from control_plane.tokens import Access
from router.metrics.store_info import read_store_info


async def tell_metrics(plane: ControlPlane, request: Request) -> Response:
    caller = authenticate(plane, request)
    if not caller.may(Access.READ, site_no=None):
        raise Forbidden("this needs a token for the whole account with read access")
    accept = request.headers.get("accept", "")
    text, content_type = await asyncio.to_thread(render_metrics, plane, accept)
    return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})


def render_metrics(plane: ControlPlane, accept: str) -> tuple[bytes, str]:
    # Imported when first asked for: prometheus_client takes 70 ms, a quarter of the time that a start may take.
    from router.metrics.families import render

    return render(plane.read_metrics(), read_store_info(plane.store), accept)
