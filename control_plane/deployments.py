"""Deployments: list, create, show, delete; try again, roll back; the log."""

from dataclasses import replace

from control_plane.catalogue import (
    DeploymentName,
    deployment_values_newest_first,
    find_deployment,
    find_deployment_name,
    next_order,
    outline_of,
    put_deployment,
    read_site,
)
from control_plane.deploy import add_deployment, deploy
from control_plane.deploy_form import DeployForm
from control_plane.documents import log_lines
from control_plane.endpoints import SiteCall
from control_plane.errors import NotRollbackable, ValueRefused, not_shown
from control_plane.multipart import parse_form
from control_plane.plane import ControlPlane
from control_plane.request_bodies import FORM_BYTES_MAX
from control_plane.shown import shown_deployment
from envelope.answers import Page
from router.kv.store import Snapshot, Transaction
from router.records import Deployment, JsonObject, RecordUnreadable, Site, decode_record


async def list_deployments(plane: ControlPlane, call: SiteCall) -> Page:
    """Newest first."""
    page, per_page = call.paging()
    environment = call.query("env")
    if environment not in ("", "production", "preview"):
        raise ValueRefused("env must be production or preview")

    def read() -> Page:
        first, documents, count, unreadable_count = (page - 1) * per_page, [], 0, 0
        with plane.store.read() as snapshot:
            site = read_site(snapshot, call.site.site_no)
            for value in deployment_values_newest_first(snapshot, site.site_no):
                # Without a filter, a row that another page shows is counted unread.
                try:
                    if environment and outline_of(value).environment != environment:
                        continue
                    if first <= count < first + per_page:
                        documents.append(deployment_document(plane, snapshot, site, decode_record(Deployment, value)))
                except RecordUnreadable:
                    unreadable_count += 1
                count += 1
        messages = not_shown(unreadable_count, "deployments")
        return Page(documents, page=page, per_page=per_page, total_count=count, messages=messages)

    return await plane.heavily(read)


async def create_deployment(plane: ControlPlane, call: SiteCall) -> JsonObject:
    body = await call.body(bytes_max=FORM_BYTES_MAX)
    content_type = call.request.headers.get("content-type", "")

    def create() -> JsonObject:
        form = DeployForm.parse(parse_form(body, content_type))
        begun_order = plane.orders.take(call.site.site_no, form.manifest.values())
        published = deploy(plane, call.site, form, caller=call.caller, begun_order=begun_order)
        with plane.store.read() as snapshot:
            return deployment_document(plane, snapshot, published.site, published.deployment)

    return await plane.heavily(create)


async def show_deployment(plane: ControlPlane, call: SiteCall) -> JsonObject:
    with plane.store.read() as snapshot:
        return deployment_document(plane, snapshot, call.site, addressed(snapshot, call))


async def delete_deployment(plane: ControlPlane, call: SiteCall) -> None:
    is_forced = call.query("force") == "true"

    def delete(transaction: Transaction) -> None:
        site = read_site(transaction, call.site.site_no)
        doomed: Deployment | DeploymentName
        try:
            doomed = addressed(transaction, call)
        except RecordUnreadable:
            doomed = find_deployment_name(transaction, site.site_no, call.path("deployment"))
        plane.activation(transaction).delete_deployment(site, doomed, force=is_forced)

    await plane.commit(delete)


async def retry_deployment(plane: ControlPlane, call: SiteCall) -> JsonObject:
    """The same content once more, as a new deployment of the same branch that begins now."""

    def retry(transaction: Transaction) -> JsonObject:
        site = read_site(transaction, call.site.site_no)
        draft = replace(
            addressed(transaction, call),
            id=plane.clock.new_id(),
            created_on=plane.clock.now(),
            order=0,
            alias=None,
            superseded=False,
        )
        published = add_deployment(plane, transaction, site, draft, is_forced=False)
        return deployment_document(plane, transaction, published.site, published.deployment)

    return await plane.commit_routes(retry)


async def roll_back(plane: ControlPlane, call: SiteCall) -> JsonObject:
    def show_again(transaction: Transaction) -> JsonObject:
        deployment = addressed(transaction, call)
        if deployment.environment != "production":
            raise NotRollbackable(
                f"{deployment.short_id} is a preview; only a production deployment can be rolled back to. "
                "'onehop deployment promote' makes a preview the production deployment"
            )
        return move_production(plane, transaction, call.site, deployment)

    return await plane.commit_routes(show_again)


async def promote(plane: ControlPlane, call: SiteCall) -> JsonObject:
    """Any deployment becomes what production shows, and counts as a production deployment from then on."""

    def show_in_production(transaction: Transaction) -> JsonObject:
        return move_production(plane, transaction, call.site, addressed(transaction, call))

    return await plane.commit_routes(show_in_production)


def move_production(plane: ControlPlane, transaction: Transaction, site: Site, deployment: Deployment) -> JsonObject:
    """As of now: a deploy that began before doesn't undo it."""
    site = next_order(transaction, read_site(transaction, site.site_no))
    deployment = replace(deployment, environment="production", superseded=False)
    put_deployment(transaction, deployment)
    site = plane.activation(transaction).show_in_production(site, deployment, order=site.order_last)
    return deployment_document(plane, transaction, site, deployment)


async def show_log(plane: ControlPlane, call: SiteCall) -> JsonObject:
    with plane.store.read() as snapshot:
        return log_lines(addressed(snapshot, call))


def addressed(snapshot: Snapshot, call: SiteCall) -> Deployment:
    """The deployment that the path names. Raises UnknownDeployment."""
    return find_deployment(snapshot, call.site.site_no, call.path("deployment"))


def deployment_document(plane: ControlPlane, snapshot: Snapshot, site: Site, deployment: Deployment) -> JsonObject:
    return plane.renderer.deployment(site, shown_deployment(snapshot, deployment))
