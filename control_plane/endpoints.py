"""A request on its way to its handler: who calls, for which site, with which body.

Three kinds of routes, and each does its checking here, once. Those of the account and of a site take an API token;
those of the assets take an upload token, which says for which site. A site's handler gets the site and can't get
another: about a site that isn't the token's, the answer is that there is no such site.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from control_plane.catalogue import find_site, read_site
from control_plane.errors import BodyUnreadable, Forbidden, Unauthenticated, UnknownProject
from control_plane.plane import ControlPlane
from control_plane.tokens import Access, TokenRecord
from control_plane.upload_token import UploadGrant
from envelope.answers import render_success
from envelope.bodies import JSON_BYTES_MAX, Held, parse_json, read_body
from envelope.paging import PER_PAGE_MAX, parse_paging
from router.kv.store import Snapshot
from router.records import JsonObject, Site


@dataclass(frozen=True, slots=True)
class Call:
    """What every handler gets: the request, and the budget that its body counts against."""

    request: Request
    held: Held

    async def body(self, *, bytes_max: int) -> bytes:
        return await read_body(self.request, self.held, bytes_max=bytes_max)

    async def json_object(self) -> JsonObject:
        """Raises BodyUnreadable unless the body is a JSON object; no body at all counts as an empty one."""
        value = parse_json(await self.body(bytes_max=JSON_BYTES_MAX))
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise BodyUnreadable("the body must be a JSON object")
        return value

    def path(self, name: str) -> str:
        value: str = self.request.path_params[name]
        return value

    def query(self, name: str) -> str:
        """Empty when absent."""
        return self.request.query_params.get(name, "")

    def paging(self, *, per_page_max: int = PER_PAGE_MAX) -> tuple[int, int]:
        """(page, items per page). Raises ValueRefused."""
        return parse_paging(self.request.query_params, per_page_max=per_page_max)


@dataclass(frozen=True, slots=True)
class AccountCall(Call):
    caller: TokenRecord


@dataclass(frozen=True, slots=True)
class SiteCall(Call):
    """`site` is as it was when the request came in: whoever writes reads it again in the transaction."""

    caller: TokenRecord
    site: Site


@dataclass(frozen=True, slots=True)
class UploadCall(Call):
    grant: UploadGrant
    site: Site


Endpoint = Callable[[Request], Awaitable[Response]]
AccountHandler = Callable[[ControlPlane, AccountCall], Awaitable[object]]
SiteHandler = Callable[[ControlPlane, SiteCall], Awaitable[object]]
UploadHandler = Callable[[ControlPlane, UploadCall], Awaitable[object]]


def for_account(plane: ControlPlane, handler: AccountHandler, *, needs: Access, whole_account: bool) -> Endpoint:
    """`whole_account`: a site's token isn't enough. Where it is, the handler shows that site alone."""

    async def endpoint(request: Request) -> Response:
        caller = authenticate(plane, request)
        if not caller.may(needs, site_no=None if whole_account else caller.site_no):
            raise Forbidden(f"this needs a token for the whole account with {needs.word} access")
        with plane.bodies.holding() as held:
            return render_success(await handler(plane, AccountCall(request, held, caller)))

    return endpoint


def for_site(plane: ControlPlane, handler: SiteHandler, *, needs: Access) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        caller = authenticate(plane, request)
        with plane.store.read() as snapshot:
            site = visible_site(snapshot, caller, request.path_params["project"])
        if site is None:
            raise UnknownProject
        if not caller.may(needs, site_no=site.site_no):
            raise Forbidden(f"this needs a token with {needs.word} access, yours has {caller.access.word} access")
        with plane.bodies.holding() as held:
            return render_success(await handler(plane, SiteCall(request, held, caller, site)))

    return endpoint


def visible_site(snapshot: Snapshot, caller: TokenRecord, name: str) -> Site | None:
    """The site of that name, if the caller may see it. A site's token never looks another site up: what isn't its own
    costs the same whether it exists or not."""
    if caller.site_no is None:
        return find_site(snapshot, name)
    own = read_site(snapshot, caller.site_no)
    return own if own.name == name else None


def for_upload(plane: ControlPlane, handler: UploadHandler) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        grant = plane.upload_tokens.read(bearer(request) or "")
        with plane.store.read() as snapshot:
            site = read_site(snapshot, grant.site_no)
        with plane.bodies.holding() as held:
            return render_success(await handler(plane, UploadCall(request, held, grant, site)))

    return endpoint


def for_anyone(plane: ControlPlane, handler: Callable[[ControlPlane, Request], Awaitable[Response]]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await handler(plane, request)

    return endpoint


def authenticate(plane: ControlPlane, request: Request) -> TokenRecord:
    """Raises Unauthenticated. Global keys don't exist here: clients that only know of those send a token in place."""
    text = bearer(request) or request.headers.get("x-auth-key")
    if text is None:
        raise Unauthenticated
    with plane.store.read() as snapshot:
        caller = plane.tokens.recognise(snapshot, text)
    if caller is None:
        raise Unauthenticated
    return caller


def bearer(request: Request) -> str | None:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None
