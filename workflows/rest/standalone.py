"""The API on its own, for whoever runs workflows without the rest of Onehop: behind one token, or behind none.

    create_app(WorkflowsApi(Desk(path)), token=…)       an ASGI app; every client of the API can use it

Without a token it is as open as a local development session, whose paths and dialect it then speaks too: it belongs on
a loopback address. A web page can reach such an address as well, so what a browser sends is refused, and so is any
host but this machine's: a name that an attacker lets point here is no name of ours.
"""

import hmac
import logging
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from envelope.answers import render_error
from envelope.bodies import BodyBudget
from envelope.errors import Forbidden, Unauthenticated
from workflows.rest.app import Endpoint, WorkflowsApi, in_envelopes, path_below
from workflows.rest.errors import translate
from workflows.rest.handlers import Call
from workflows.rest.paths import find_target

BASES: Final = ("/client/v4/accounts/{account}", "/accounts/{account}", "")
LOCAL_BASES: Final = ("/cdn-cgi/explorer/api", "/cdn-cgi/local/explorer/api")
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
OWN_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

log = logging.getLogger("workflows.rest")


def create_app(api: WorkflowsApi, *, token: str | None = None) -> Starlette:
    """`token` None: open, and for this machine alone. Whoever serves it closes `api`."""
    bases = [(base, False) for base in BASES] + [(base, True) for base in LOCAL_BASES if token is None]
    budget = BodyBudget()
    routes = [
        Route(
            f"{base}/workflows{{rest:path}}",
            in_envelopes(endpoint(api, budget, base.count("/"), token=token, is_local=is_local), report),
            methods=METHODS,
        )
        for base, is_local in bases
    ]
    routes.append(Route("/metrics", in_envelopes(metrics(api, token=token), report), methods=["GET"]))
    app = Starlette(routes=routes, exception_handlers={HTTPException: answer_elsewhere})
    app.router.redirect_slashes = False
    return app


async def answer_elsewhere(request: Request, error: Exception) -> Response:
    """For paths and methods that the router itself turns away."""
    return render_error(translate(error))


def endpoint(
    api: WorkflowsApi, budget: BodyBudget, segments_before: int, *, token: str | None, is_local: bool
) -> Endpoint:
    async def answer(request: Request) -> Response:
        admit(request, token)
        target = find_target(request.method, path_below(request, segments_before))
        with budget.holding() as held:
            return await api.answer(Call(request, target, held, is_local=is_local))

    return answer


def metrics(api: WorkflowsApi, *, token: str | None) -> Endpoint:
    async def answer(request: Request) -> Response:
        admit(request, token)
        return await api.tell_metrics(request)

    return answer


def admit(request: Request, token: str | None) -> None:
    """Raises Unauthenticated, Forbidden."""
    if token is not None:
        refuse_strangers(request, token)
    else:
        refuse_pages(request)


def refuse_strangers(request: Request, token: str) -> None:
    """Raises Unauthenticated."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Unauthenticated


def refuse_pages(request: Request) -> None:
    """Raises Forbidden."""
    host = request.headers.get("host", "").rpartition(":")
    name = host[0] if host[1] and host[2].isdigit() else "".join(host)
    if name.lower() not in OWN_HOSTS:
        raise Forbidden("without a token this API answers to this machine alone: ask it as localhost or 127.0.0.1")
    if "origin" in request.headers or request.headers.get("sec-fetch-site", "none") != "none":
        raise Forbidden("without a token this API answers no web page")


def report(request: Request, error: Exception) -> None:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
