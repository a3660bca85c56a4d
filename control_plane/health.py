"""GET /healthz: 200 once the edges answer, 503 until then. For probes, which have no token."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from control_plane.plane import ControlPlane

HEADERS: Final = {"cache-control": "no-store"}


async def tell_health(plane: ControlPlane, request: Request) -> Response:
    if not await asyncio.to_thread(plane.edges_answer):  # not among the heavy ones: those a deploy waits for
        return PlainTextResponse("the edges don't answer yet\n", status_code=503, headers=HEADERS)
    return PlainTextResponse("ok\n", headers=HEADERS)
