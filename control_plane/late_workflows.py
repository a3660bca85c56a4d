"""The workflows API and the pages for people, loaded when one of their paths is first asked for.

They are half of all that the control plane is made of: a start would wait 150 ms for them, and most servers' are never
asked for.
"""

import asyncio
import re
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from starlette.routing import BaseRoute, Match

from control_plane.late_routes import LateRoutes
from control_plane.plane import ControlPlane
from router.event_log import event_log

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from workflows.rest.app import WorkflowsApi

PATHS: Final = re.compile(
    r"/dashboard(?:/.*)?|(?:/client/v4)?/accounts/[^/]+/workflows.*|/onehop/v1/workflow-(?:gc|metrics)", re.DOTALL
)


class LateWorkflows:
    """`make_api` is called once, at most; `has_store` tells whether anybody ever had a workflow."""

    def __init__(
        self, plane: ControlPlane, make_api: "Callable[[], WorkflowsApi]", has_store: Callable[[], bool]
    ) -> None:
        self._plane = plane
        self._make_api = make_api
        self._has_store = has_store
        self._loading = threading.Lock()
        self._api: WorkflowsApi | None = None

    def route(self) -> BaseRoute:
        """The one that stands for all of theirs."""
        return LateRoutes(self._load, lambda path: Match.FULL if PATHS.fullmatch(path) is not None else Match.NONE)

    async def metric_families(self) -> "list[Metric]":
        """None where there is no store, or none that can be read: the rest of a scrape is worth telling."""
        if not self._has_store():
            return []
        api = await asyncio.to_thread(self._loaded)
        from workflows.errors import StoreError

        try:
            return await api.metric_families()
        except StoreError as refused:
            event_log().error("workflows.metrics_unreadable", code=refused.code)
            return []

    def _load(self) -> Sequence[BaseRoute]:
        from control_plane.dashboard import create_dashboard
        from control_plane.workflow_routes import workflow_routes

        api = self._loaded()
        return [*workflow_routes(self._plane, api), *create_dashboard(self._plane, api).routes()]

    def _loaded(self) -> "WorkflowsApi":
        """In a thread that may wait: it imports."""
        with self._loading:
            if self._api is None:
                self._api = self._make_api()
            return self._api

    def end_streams(self) -> None:
        if self._api is not None:
            self._api.end_streams()

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()
