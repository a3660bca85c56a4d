"""The API as an ASGI app: the route table, and nothing else.

Pages' API is mounted at /client/v4, where clients look for it, and at the root, for those that are given a bare
address as base URL. What Pages has no word for is under /onehop/v1, workflows are beside Pages' API. No cookies, no
CORS: a browser can hold no authority here, whatever page it shows; but below /dashboard, where people look.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from control_plane import accounts, assets, deployments, domains, function_events, key_values, operator, projects
from control_plane.endpoints import (
    AccountHandler,
    Endpoint,
    SiteHandler,
    UploadHandler,
    for_account,
    for_anyone,
    for_site,
    for_upload,
)
from control_plane.envelope import TRANSLATED, answer_error
from control_plane.health import tell_health
from control_plane.late_workflows import LateWorkflows
from control_plane.metrics import tell_metrics
from control_plane.plane import ControlPlane
from control_plane.tokens import Access

AccountRow = tuple[str, str, Access, AccountHandler]
SiteRow = tuple[str, str, Access, SiteHandler]

READ, DEPLOY, ADMIN = Access.READ, Access.DEPLOY, Access.ADMIN

PROJECTS: Final = "/accounts/{account}/pages/projects"
PROJECT: Final = PROJECTS + "/{project}"
DEPLOYMENTS: Final = PROJECT + "/deployments"
DEPLOYMENT: Final = DEPLOYMENTS + "/{deployment}"
DOMAINS: Final = PROJECT + "/domains"
OWN_SITE: Final = "/sites/{project}"
NAMESPACES: Final = "/accounts/{account}/storage/kv/namespaces"
NAMESPACE: Final = NAMESPACES + "/{namespace}"

ANY_TOKEN_ROUTES: Final[list[tuple[str, str, AccountHandler]]] = [
    ("GET", "/memberships", accounts.list_memberships),
    ("GET", "/accounts", accounts.list_accounts),
    ("GET", "/user", accounts.show_user),
    ("GET", "/user/tokens/verify", accounts.verify_token),
    ("GET", PROJECTS, projects.list_projects),
]
ACCOUNT_ROUTES: Final[list[AccountRow]] = [
    ("POST", PROJECTS, DEPLOY, projects.create_project),
    ("GET", NAMESPACES, READ, key_values.list_namespaces),
    ("POST", NAMESPACES, DEPLOY, key_values.create_namespace),
    ("GET", NAMESPACE, READ, key_values.show_namespace),
    ("PUT", NAMESPACE, DEPLOY, key_values.rename_namespace),
    ("DELETE", NAMESPACE, DEPLOY, key_values.delete_namespace),
    ("GET", NAMESPACE + "/keys", READ, key_values.list_keys),
    ("PUT", NAMESPACE + "/bulk", DEPLOY, key_values.write_many),
    ("DELETE", NAMESPACE + "/bulk", DEPLOY, key_values.delete_many),
    ("POST", NAMESPACE + "/bulk/delete", DEPLOY, key_values.delete_many),
    ("POST", NAMESPACE + "/bulk/get", READ, key_values.read_many),
    ("GET", NAMESPACE + "/metadata/{key:path}", READ, key_values.read_metadata),
    ("GET", NAMESPACE + "/values/{key:path}", READ, key_values.read_value),
    ("PUT", NAMESPACE + "/values/{key:path}", DEPLOY, key_values.write_value),
    ("DELETE", NAMESPACE + "/values/{key:path}", DEPLOY, key_values.delete_value),
]
SITE_ROUTES: Final[list[SiteRow]] = [
    ("GET", PROJECT, READ, projects.show_project),
    ("PATCH", PROJECT, ADMIN, projects.change_project),
    ("DELETE", PROJECT, ADMIN, projects.delete_project),
    ("POST", PROJECT + "/purge_build_cache", DEPLOY, projects.purge_build_cache),
    ("GET", PROJECT + "/upload-token", DEPLOY, projects.issue_upload_token),
    ("GET", DEPLOYMENTS, READ, deployments.list_deployments),
    ("POST", DEPLOYMENTS, DEPLOY, deployments.create_deployment),
    ("GET", DEPLOYMENT, READ, deployments.show_deployment),
    ("DELETE", DEPLOYMENT, DEPLOY, deployments.delete_deployment),
    ("POST", DEPLOYMENT + "/retry", DEPLOY, deployments.retry_deployment),
    ("POST", DEPLOYMENT + "/rollback", DEPLOY, deployments.roll_back),
    ("GET", DEPLOYMENT + "/history/logs", READ, deployments.show_log),
    ("POST", DEPLOYMENT + "/tails", DEPLOY, function_events.begin_tail),
    ("DELETE", DEPLOYMENT + "/tails/{tail}", DEPLOY, function_events.end_tail),
    ("GET", DOMAINS, READ, domains.list_domains),
    ("POST", DOMAINS, ADMIN, domains.add_domain),
    ("GET", DOMAINS + "/{domain}", READ, domains.show_domain),
    ("PATCH", DOMAINS + "/{domain}", ADMIN, domains.show_domain),
    ("DELETE", DOMAINS + "/{domain}", ADMIN, domains.remove_domain),
]
UPLOAD_ROUTES: Final[list[tuple[str, str, UploadHandler]]] = [
    ("POST", "/pages/assets/check-missing", assets.check_missing),
    ("POST", "/pages/assets/upload", assets.upload),
    ("POST", "/pages/assets/upsert-hashes", assets.upsert_hashes),
]
OWN_ACCOUNT_ROUTES: Final[list[AccountRow]] = [
    ("GET", "/tokens", ADMIN, operator.list_tokens),
    ("POST", "/tokens", ADMIN, operator.create_token),
    ("DELETE", "/tokens/{token}", ADMIN, operator.delete_token),
    ("POST", "/gc", ADMIN, operator.collect_garbage),
]
OWN_SITE_ROUTES: Final[list[SiteRow]] = [
    ("GET", OWN_SITE, READ, operator.show_settings),
    ("PATCH", OWN_SITE, ADMIN, operator.change_settings),
    ("POST", OWN_SITE + "/purge", DEPLOY, operator.purge_kept_assets),
    ("GET", OWN_SITE + "/alias", READ, operator.tell_alias),
    ("DELETE", OWN_SITE + "/branch", DEPLOY, operator.delete_branch),
    ("GET", OWN_SITE + "/deployments/{deployment}/files", READ, operator.list_files),
    ("POST", OWN_SITE + "/deployments/{deployment}/promote", DEPLOY, deployments.promote),
    ("GET", OWN_SITE + "/deployments/{deployment}/events", DEPLOY, function_events.list_events),
]


def create_app(plane: ControlPlane, workflows: LateWorkflows | None = None) -> Starlette:
    """With `workflows`, their API too, and the pages for people. The app closes it when the server stops."""
    pages = Table()
    for method, path, account_handler in ANY_TOKEN_ROUTES:
        pages.add(method, path, for_account(plane, account_handler, needs=READ, whole_account=False))
    pages.add_account_routes(plane, ACCOUNT_ROUTES)
    pages.add_site_routes(plane, SITE_ROUTES)
    for method, path, upload_handler in UPLOAD_ROUTES:
        pages.add(method, path, for_upload(plane, upload_handler))
    own = Table()
    own.add_account_routes(plane, OWN_ACCOUNT_ROUTES)
    own.add_site_routes(plane, OWN_SITE_ROUTES)
    app = Starlette(
        routes=[
            Route("/healthz", for_anyone(plane, tell_health), methods=["GET"]),
            Route("/metrics", for_anyone(plane, partial(tell_metrics, workflows)), methods=["GET"]),
            Route(function_events.TAILS_PATH + "{tail}", function_events.TailSocket(plane)),
            *pages.routes(below="/client/v4"),
            *own.routes(below="/onehop/v1"),
            *pages.routes(below=""),
            *([workflows] if workflows is not None else ()),
        ],
        lifespan=closing(workflows) if workflows is not None else None,
        exception_handlers=dict.fromkeys(TRANSLATED, answer_error),
    )
    app.router.redirect_slashes = False  # a redirect would name whatever host the client said it wants
    return app


def closing(workflows: LateWorkflows) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await workflows.close()

    return lifespan


class Table:
    """Endpoints by path, then by method, so that a refused method is told all those that the path has."""

    def __init__(self) -> None:
        self._endpoints: dict[str, dict[str, Endpoint]] = {}

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        self._endpoints.setdefault(path, {})[method] = endpoint

    def add_account_routes(self, plane: ControlPlane, rows: Sequence[AccountRow]) -> None:
        for method, path, needs, handler in rows:
            self.add(method, path, for_account(plane, handler, needs=needs, whole_account=True))

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
