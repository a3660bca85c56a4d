"""The workflows API under this control plane's tokens: each of its actions with the access that it needs.

Workflows belong to the account, not to a site: a site's token sees none, nor does any token under an account that
isn't ours.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from control_plane.endpoints import Endpoint, authenticate
from control_plane.errors import Forbidden, Unauthenticated
from control_plane.plane import ControlPlane
from control_plane.tokens import Access, TokenRecord
from envelope.answers import render_success
from router.event_log import event_log
from workflows.rest.app import WorkflowsApi, in_envelopes, path_below
from workflows.rest.handlers import Call
from workflows.rest.paths import Action, find_target

BASES: Final = ("/client/v4/accounts/{account}", "/accounts/{account}")
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
COLLECT: Final = "/onehop/v1/workflow-gc"
METRICS: Final = "/onehop/v1/workflow-metrics"

READS: Final = frozenset(
    {
        Action.LIST_WORKFLOWS, Action.SHOW_WORKFLOW, Action.LIST_VERSIONS, Action.SHOW_VERSION, Action.SHOW_METRICS,
        Action.LIST_INSTANCES, Action.SHOW_INSTANCE, Action.SHOW_LOG, Action.SUBSCRIBE,
    }
)  # fmt: skip
FOR_ADMINS: Final = frozenset({Action.DELETE_WORKFLOW})


def workflow_routes(plane: ControlPlane, api: WorkflowsApi) -> list[Route]:
    routes = [
        Route(
            f"{base}/workflows{{rest:path}}",
            for_workflows(plane, api, segments_before=base.count("/")),
            methods=METHODS,
        )
        for base in BASES
    ]
    return [
        *routes,
        Route(COLLECT, for_collection(plane, api), methods=["POST"]),
        Route(METRICS, for_metrics(plane, api), methods=["GET"]),
    ]


def for_workflows(plane: ControlPlane, api: WorkflowsApi, *, segments_before: int) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        caller = authenticate(plane, request)
        refuse_unless(caller, Access.READ)
        if request.path_params["account"] != plane.account_id:
            raise Forbidden(
                "this token isn't for the account in the path; 'wrangler whoami' shows the one that it is for"
            )
        target = find_target(request.method, path_below(request, segments_before))
        refuse_unless(caller, needed_for(target.action))
        with plane.bodies.holding() as held:
            return await api.answer(Call(request, target, held, may_go_on=lambda: is_admitted(plane, request)))

    return in_envelopes(endpoint, report)


def for_collection(plane: ControlPlane, api: WorkflowsApi) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        refuse_unless(authenticate(plane, request), Access.ADMIN)
        return render_success({"removed": await api.collect()})

    return in_envelopes(endpoint, report)


def for_metrics(plane: ControlPlane, api: WorkflowsApi) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        refuse_unless(authenticate(plane, request), Access.READ)
        return await api.tell_metrics(request)

    return in_envelopes(endpoint, report)


def is_admitted(plane: ControlPlane, request: Request) -> bool:
    """Whether its token still may read: tokens are revoked while their answers last."""
    try:
        return authenticate(plane, request).may(Access.READ, site_no=None)
    except Unauthenticated:
        return False


def refuse_unless(caller: TokenRecord, needed: Access) -> None:
    """Raises Forbidden."""
    if not caller.may(needed, site_no=None):
        raise Forbidden(f"this needs a token for the whole account with {needed.word} access")


def needed_for(action: Action) -> Access:
    if action in READS:
        return Access.READ
    return Access.ADMIN if action in FOR_ADMINS else Access.DEPLOY


def report(request: Request, error: Exception) -> None:
    event_log().error("request.failed", method=request.method, path=request.url.path, exc_info=error)
