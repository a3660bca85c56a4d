"""GET /metrics: what all processes count, and what their workflows do, for Prometheus.

It takes a token that may read the whole account. Where a request comes from proves nothing: a proxy on this machine,
which docs/operating.md advises for TLS, makes every client look local. Prometheus sends the token with
`authorization: {credentials_file: …}`.
"""

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from control_plane.endpoints import authenticate
from control_plane.errors import Forbidden
from control_plane.late_workflows import LateWorkflows
from control_plane.plane import ControlPlane
from control_plane.tokens import Access
from router.metrics.store_info import read_store_info

if TYPE_CHECKING:
    from prometheus_client.core import Metric


async def tell_metrics(workflows: LateWorkflows | None, plane: ControlPlane, request: Request) -> Response:
    caller = authenticate(plane, request)
    if not caller.may(Access.READ, site_no=None):
        raise Forbidden("this needs a token for the whole account with read access")
    accept = request.headers.get("accept", "")
    families = await workflows.metric_families() if workflows is not None else []
    text, content_type = await asyncio.to_thread(render_metrics, plane, accept, families)
    return Response(text, headers={"content-type": content_type, "cache-control": "no-store"})


def render_metrics(plane: ControlPlane, accept: str, of_workflows: "list[Metric]") -> tuple[bytes, str]:
    # Imported when first asked for: prometheus_client takes 70 ms, a quarter of the time that a start may take.
    from router.metrics.families import render

    return render(plane.read_metrics(), read_store_info(plane.store), accept, of_workflows)
