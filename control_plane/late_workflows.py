"""The workflows API and the pages for people, loaded when one of their paths is first asked for.

They are half of all that the control plane is made of: a start would wait 150 ms for them, and most servers' are never
asked for. The first request waits that long instead, in a thread, while others are answered.
"""

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound, Router
from starlette.types import Receive, Scope, Send

from control_plane.plane import ControlPlane

if TYPE_CHECKING:
    from workflows.rest.app import WorkflowsApi

PATHS: Final = re.compile(
    r"/dashboard(?:/.*)?|(?:/client/v4)?/accounts/[^/]+/workflows.*|/onehop/v1/workflow-(?:gc|metrics)", re.DOTALL
)


class LateWorkflows(BaseRoute):
    """One route that stands for all of theirs. `make_api` is called once, at most."""

    def __init__(self, plane: ControlPlane, make_api: "Callable[[], WorkflowsApi]") -> None:
        self._plane = plane
        self._make_api = make_api
        self._loading = asyncio.Lock()
        self._api: WorkflowsApi | None = None
        self._router: Router | None = None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_ours = scope["type"] == "http" and PATHS.fullmatch(scope["path"]) is not None
        return (Match.FULL, {}) if is_ours else (Match.NONE, {})

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._router is None:
            async with self._loading:
                if self._router is None:
                    self._router = await asyncio.to_thread(self._load)
        await self._router(scope, receive, send)

    def _load(self) -> Router:
        from control_plane.dashboard import create_dashboard
        from control_plane.workflow_routes import workflow_routes

        self._api = self._make_api()
        routes = [*workflow_routes(self._plane, self._api), *create_dashboard(self._plane, self._api).routes()]
        return Router(routes, redirect_slashes=False)

    def end_streams(self) -> None:
        if self._api is not None:
            self._api.end_streams()

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()
