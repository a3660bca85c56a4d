"""The workflows API and the pages for people, loaded when one of their paths is first asked for.

They are half of all that the control plane is made of: a start would wait 150 ms for them, and most servers' are never
asked for.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from starlette.routing import BaseRoute, Match

from control_plane.late_routes import LateRoutes
from control_plane.plane import ControlPlane

if TYPE_CHECKING:
    from workflows.rest.app import WorkflowsApi

PATHS: Final = re.compile(
    r"/dashboard(?:/.*)?|(?:/client/v4)?/accounts/[^/]+/workflows.*|/onehop/v1/workflow-(?:gc|metrics)", re.DOTALL
)


class LateWorkflows:
    """`make_api` is called once, at most."""

    def __init__(self, plane: ControlPlane, make_api: "Callable[[], WorkflowsApi]") -> None:
        self._plane = plane
        self._make_api = make_api
        self._api: WorkflowsApi | None = None

    def route(self) -> BaseRoute:
        """The one that stands for all of theirs."""
        return LateRoutes(self._load, lambda path: Match.FULL if PATHS.fullmatch(path) is not None else Match.NONE)

    def _load(self) -> Sequence[BaseRoute]:
        from control_plane.dashboard import create_dashboard
        from control_plane.workflow_routes import workflow_routes

        self._api = self._make_api()
        return [*workflow_routes(self._plane, self._api), *create_dashboard(self._plane, self._api).routes()]

    def end_streams(self) -> None:
        if self._api is not None:
            self._api.end_streams()

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()
