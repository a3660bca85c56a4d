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
from router.event_log import event_log

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from workflows.rest.app import WorkflowsApi

PATHS: Final = re.compile(
    r"/dashboard(?:/.*)?|(?:/client/v4)?/accounts/[^/]+/workflows.*|/onehop/v1/workflow-(?:gc|metrics)", re.DOTALL
)


class LateWorkflows(BaseRoute):
    """One route that stands for all of theirs. `make_api` is called once, at most; `has_store` tells whether anybody
    ever had a workflow."""

    def __init__(
        self, plane: ControlPlane, make_api: "Callable[[], WorkflowsApi]", has_store: Callable[[], bool]
    ) -> None:
        self._plane = plane
        self._make_api = make_api
        self._has_store = has_store
        self._loading = asyncio.Lock()
        self._parts: tuple[Router, WorkflowsApi] | None = None

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_ours = scope["type"] == "http" and PATHS.fullmatch(scope["path"]) is not None
        return (Match.FULL, {}) if is_ours else (Match.NONE, {})

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        router, _ = await self._loaded()
        await router(scope, receive, send)

    async def metric_families(self) -> "list[Metric]":
        """None where there is no store, or none that can be read: the rest of a scrape is worth telling."""
        if not self._has_store():
            return []
        _, api = await self._loaded()
        from workflows.errors import StoreError

        try:
            return await api.metric_families()
        except StoreError as refused:
            event_log().error("workflows.metrics_unreadable", code=refused.code)
            return []

    async def _loaded(self) -> "tuple[Router, WorkflowsApi]":
        async with self._loading:
            if self._parts is None:
                self._parts = await asyncio.to_thread(self._load)
        return self._parts

    def _load(self) -> "tuple[Router, WorkflowsApi]":
        from control_plane.dashboard import create_dashboard
        from control_plane.workflow_routes import workflow_routes

        api = self._make_api()
        routes = [*workflow_routes(self._plane, api), *create_dashboard(self._plane, api).routes()]
        return Router(routes, redirect_slashes=False), api

    def end_streams(self) -> None:
        if self._parts is not None:
            self._parts[1].end_streams()

    async def close(self) -> None:
        if self._parts is not None:
            await self._parts[1].close()
