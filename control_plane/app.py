"""The API as an ASGI app: what a client comes to first, and the ways to the rest.

Pages' API is mounted at /client/v4, where clients look for it, and at the root, for those that are given a bare
address as base URL. What Pages has no word for is under /onehop/v1, workflows are beside Pages' API. No cookies, no
CORS: a browser can hold no authority here, whatever page it shows; but below /dashboard, where people look.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Route

from control_plane import accounts, projects
from control_plane.endpoints import AccountHandler, for_account, for_anyone
from control_plane.envelope import TRANSLATED, answer_error
from control_plane.health import tell_health
from control_plane.late_routes import LateRoutes
from control_plane.late_workflows import LateWorkflows
from control_plane.metrics import tell_metrics
from control_plane.plane import ControlPlane
from control_plane.route_table import PAGES_API, PROJECT, PROJECTS, AccountRow, SiteRow, Table
from control_plane.tokens import Access

ANY_TOKEN_ROUTES: Final[list[tuple[str, str, AccountHandler]]] = [
    ("GET", "/memberships", accounts.list_memberships),
    ("GET", "/accounts", accounts.list_accounts),
    ("GET", "/user", accounts.show_user),
    ("GET", "/user/tokens/verify", accounts.verify_token),
    ("GET", PROJECTS, projects.list_projects),
]
ACCOUNT_ROUTES: Final[list[AccountRow]] = [
    ("POST", PROJECTS, Access.DEPLOY, projects.create_project),
]
SITE_ROUTES: Final[list[SiteRow]] = [
    ("GET", PROJECT, Access.READ, projects.show_project),
    ("PATCH", PROJECT, Access.ADMIN, projects.change_project),
    ("DELETE", PROJECT, Access.ADMIN, projects.delete_project),
    ("POST", PROJECT + "/purge_build_cache", Access.DEPLOY, projects.purge_build_cache),
    ("GET", PROJECT + "/upload-token", Access.DEPLOY, projects.issue_upload_token),
]


def create_app(plane: ControlPlane, workflows: LateWorkflows | None = None) -> Starlette:
    """With `workflows`, their API too, and the pages for people. The app closes it when the server stops."""
    pages = Table()
    for method, path, account_handler in ANY_TOKEN_ROUTES:
        pages.add(method, path, for_account(plane, account_handler, needs=Access.READ, whole_account=False))
    pages.add_account_routes(plane, ACCOUNT_ROUTES)
    pages.add_site_routes(plane, SITE_ROUTES)
    app = Starlette(
        routes=[
            Route("/healthz", for_anyone(plane, tell_health), methods=["GET"]),
            Route("/metrics", for_anyone(plane, partial(tell_metrics, workflows)), methods=["GET"]),
            *pages.routes(below=PAGES_API),
            *pages.routes(below=""),
            *([workflows.route()] if workflows is not None else ()),
            late_endpoints_route(plane),
        ],
        lifespan=closing(workflows) if workflows is not None else None,
        exception_handlers=dict.fromkeys(TRANSLATED, answer_error),
    )
    app.router.redirect_slashes = False  # a redirect would name whatever host the client said it wants
    return app


def late_endpoints_route(plane: ControlPlane) -> BaseRoute:
    def load() -> Sequence[BaseRoute]:
        from control_plane.late_endpoints import late_endpoints

        return late_endpoints(plane)

    return LateRoutes(load, lambda _path: Match.PARTIAL)


def closing(workflows: LateWorkflows) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await workflows.close()

    return lifespan
