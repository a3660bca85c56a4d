"""Rows of method, path, access and handler, made into routes."""

from collections.abc import Mapping, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from control_plane.endpoints import AccountHandler, Endpoint, SiteHandler, for_account, for_site
from control_plane.plane import ControlPlane
from control_plane.tokens import Access

AccountRow = tuple[str, str, Access, AccountHandler]
SiteRow = tuple[str, str, Access, SiteHandler]

PAGES_API: Final = "/client/v4"
PROJECTS: Final = "/accounts/{account}/pages/projects"
PROJECT: Final = PROJECTS + "/{project}"


class Table:
    """Endpoints by path, then by method, so that a refused method is told all those that the path has."""

    def __init__(self) -> None:
        self._endpoints: dict[str, dict[str, Endpoint]] = {}

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        self._endpoints.setdefault(path, {})[method] = endpoint

    def add_account_routes(self, plane: ControlPlane, rows: Sequence[AccountRow]) -> None:
        for method, path, needs, handler in rows:
            self.add(method, path, for_account(plane, handler, needs=needs, whole_account=True))

    def add_any_token_routes(self, plane: ControlPlane, rows: Sequence[AccountRow]) -> None:
        """A site's token gets what is its site's: the handlers see to that."""
        for method, path, needs, handler in rows:
            self.add(method, path, for_account(plane, handler, needs=needs, whole_account=False))

    def add_site_routes(self, plane: ControlPlane, rows: Sequence[SiteRow]) -> None:
        for method, path, needs, handler in rows:
            self.add(method, path, for_site(plane, handler, needs=needs))

    def routes(self, *, below: str) -> list[BaseRoute]:
        return [
            Route(below + path, by_method(endpoints), methods=list(endpoints))
            for path, endpoints in self._endpoints.items()
        ]


def by_method(endpoints: Mapping[str, Endpoint]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return endpoint
