"""The pages for people: signing in with a token, and whose pages are shown to whom.

    /dashboard                    to the workflows
    /dashboard/sign-in, sign-out  a token for a session, and back
    /dashboard/workflows/…        workflows.pages, for whoever is signed in

A session is a cookie (see `sessions`), and counts below /dashboard only: the API takes no cookie, so that a page can't
make a browser call it. What changes something must come from one of our own pages (see `browsers`).
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from control_plane.browsers import refuse_foreign
from control_plane.endpoints import Endpoint
from control_plane.plane import ControlPlane
from control_plane.sessions import Sessions, clear_cookie, read_cookie, set_cookie
from control_plane.tokens import Access, TokenRecord, find_token
from control_plane.workflow_routes import report
from envelope.bodies import parse_form, read_body
from envelope.errors import Forbidden
from workflows.pages.app import Pages, Visitor
from workflows.pages.templating import Templates
from workflows.rest.app import WorkflowsApi
from workflows.rest.errors import translate

ROOT: Final = "/dashboard"
SIGN_IN: Final = f"{ROOT}/sign-in"
SIGN_OUT: Final = f"{ROOT}/sign-out"
WORKFLOWS: Final = f"{ROOT}/workflows"
FORM_BYTES_MAX: Final = 8 * 1024
NEXT_CHARACTERS_MAX: Final = 2048
NOT_A_TOKEN: Final = "This isn't a token that is valid here."  # noqa: S105
NOT_KEPT: Final = (
    "Your browser didn't keep the session. It keeps one only over HTTPS, or at this machine's own address: "
    "http://localhost, http://127.0.0.1."
)
NOT_THE_ACCOUNT: Final = "This token is for one site; workflows take a token for the whole account."


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the endpoints work with."""

    plane: ControlPlane
    sessions: Sessions
    templates: Templates
    pages: Pages

    def routes(self) -> list[Route]:
        methods = ["GET", "POST"]
        return [
            Route(ROOT, self._guarded(self.go_to_workflows), methods=["GET"]),
            Route(SIGN_IN, self._guarded(self.sign_in), methods=methods),
            Route(SIGN_OUT, self._guarded(self.sign_out), methods=["POST"]),
            Route(WORKFLOWS + "{rest:path}", self._guarded(self.show_workflows), methods=methods),
        ]

    async def go_to_workflows(self, request: Request) -> Response:
        return RedirectResponse(WORKFLOWS, status_code=303)

    async def sign_in(self, request: Request) -> Response:
        if request.method != "POST":
            is_back = request.query_params.get("kept") == "no"
            return self._show_form(own_path(request.query_params.get("next", "")), NOT_KEPT if is_back else "")
        with self.plane.bodies.holding() as held:
            form = parse_form(await read_body(request, held, bytes_max=FORM_BYTES_MAX))
        target = own_path(form.get("next", ""))
        with self.plane.store.read() as snapshot:
            caller = self.plane.tokens.recognise(snapshot, form.get("token", "").strip())
        if caller is None:
            return self._show_form(target, NOT_A_TOKEN, status=401)
        if not caller.may(Access.READ, site_no=None):
            return self._show_form(target, NOT_THE_ACCOUNT, status=403)
        self.sessions.end(read_cookie(request))
        answer = RedirectResponse(f"{target}{'&' if '?' in target else '?'}signed-in", status_code=303)
        set_cookie(answer, self.sessions.begin(caller.id))
        return answer

    async def sign_out(self, request: Request) -> Response:
        self.sessions.end(read_cookie(request))
        answer = RedirectResponse(SIGN_IN, status_code=303)
        clear_cookie(answer)
        return answer

    async def show_workflows(self, request: Request) -> Response:
        if (asset := self.pages.find_asset(request)) is not None:
            return asset
        caller = self._caller(request)
        if caller is None:
            return RedirectResponse(sign_in_address(request), status_code=303)
        if request.method == "POST" and not caller.may(Access.DEPLOY, site_no=None):
            raise Forbidden(f"this needs a token with deploy access, yours has {caller.access.word} access")
        visitor = Visitor(
            caller.name,
            may_change=caller.may(Access.DEPLOY, site_no=None),
            may_go_on=lambda: self._caller(request) is not None,
        )
        with self.plane.bodies.holding() as held:
            return await self.pages.answer(request, visitor, held)

    def _caller(self, request: Request) -> TokenRecord | None:
        """Whoever is signed in, with the rights that the token has at this moment."""
        token_id = self.sessions.find(read_cookie(request))
        if token_id is None:
            return None
        with self.plane.store.read() as snapshot:
            record = find_token(snapshot, token_id)
        return record if record is not None and record.may(Access.READ, site_no=None) else None

    def _show_form(self, target: str, notice: str, *, status: int = 200) -> Response:
        return self.templates.render(
            "sign_in.html", http_status=status, next=target, notice=notice, sign_in=SIGN_IN, caller=None
        )

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def guarded(request: Request) -> Response:
            try:
                if request.method not in ("GET", "HEAD"):
                    refuse_foreign(request)
                return await endpoint(request)
            except Exception as error:  # noqa: BLE001  # the root of a request: a person gets a page, the log the rest
                refusal = translate(error)
                if refusal.status >= 500:
                    report(request, error)
                return self.pages.show_refusal(refusal)

        return guarded


def create_dashboard(plane: ControlPlane, workflows: WorkflowsApi) -> Dashboard:
    templates = Templates(WORKFLOWS, sign_out=SIGN_OUT, more_packages=["control_plane"])
    return Dashboard(plane, Sessions(plane.clock.now_s), templates, Pages(workflows, templates))


def sign_in_address(request: Request) -> str:
    """Where to sign in, and to come back from. Whoever has just signed in and still isn't has no cookie to show."""
    kept = "&kept=no" if "signed-in" in request.query_params else ""
    return f"{SIGN_IN}?next={quote(request.scope['raw_path'].decode('ascii', 'replace'), safe='')}{kept}"


def own_path(text: str) -> str:
    """A path of the dashboard's, never an address elsewhere."""
    is_own = text == WORKFLOWS or text.startswith(f"{WORKFLOWS}/")
    is_plain = text.isascii() and text.isprintable() and len(text) <= NEXT_CHARACTERS_MAX and "\\" not in text
    return text if is_own and is_plain else WORKFLOWS
