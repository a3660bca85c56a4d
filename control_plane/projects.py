"""Projects: list, create, show, change, delete; and the upload tokens that deploys begin with."""

import asyncio
import re
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Final

from control_plane.catalogue import (
    find_site,
    next_order,
    next_site_no,
    put_site,
    put_site_name,
    read_site,
    site_numbers,
)
from control_plane.endpoints import AccountCall, SiteCall
from control_plane.errors import NameTaken, ValueRefused, not_shown
from control_plane.namespace_access import named_in, refuse_unreachable
from control_plane.plane import ControlPlane
from control_plane.project_settings import merge, patch_build_config, patch_deployment_configs
from control_plane.shown import shown_site
from control_plane.upload_token import UploadGrant
from envelope.answers import Page
from router.hostname import Hostname, HostRefused
from router.kv.schema import Database
from router.kv.store import Snapshot, Transaction
from router.records import JsonObject, RecordUnreadable, Site

NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,56}[a-z0-9])?")
BRANCH_CHARACTERS_MAX: Final = 255
PRODUCTION_BRANCH_DEFAULT: Final = "main"
LONGEST_SLUG: Final = "a" * 28


async def list_projects(plane: ControlPlane, call: AccountCall) -> Page:
    page, per_page = call.paging()

    def read() -> Page:
        with plane.store.read() as snapshot:
            if call.caller.site_no is not None:
                numbers, total = [call.caller.site_no][: 1 if page == 1 else 0], 1
            else:
                wanted = islice(site_numbers(snapshot), (page - 1) * per_page, page * per_page)
                numbers, total = [site_no for _, site_no in wanted], snapshot.count(Database.SITE_NAMES)
            documents = []
            for site_no in numbers:
                with suppress(RecordUnreadable):
                    documents.append(project_document(plane, snapshot, read_site(snapshot, site_no)))
        messages = not_shown(len(numbers) - len(documents), "projects")
        return Page(documents, page=page, per_page=per_page, total_count=total, messages=messages)

    return await plane.heavily(read)


async def create_project(plane: ControlPlane, call: AccountCall) -> JsonObject:
    body = await call.json_object()
    name, branch = parse_name(plane, body), parse_branch(body, default=PRODUCTION_BRANCH_DEFAULT)
    refuse_source(body)

    def create(transaction: Transaction) -> JsonObject:
        if find_site(transaction, name) is not None:
            raise NameTaken(name)
        site_no, created_on = next_site_no(transaction), plane.clock.now()
        # What runs on a date stays on it: a function without one of its own gets the day on which its project began.
        dated = {environment: {"compatibility_date": created_on[:10]} for environment in ("production", "preview")}
        site = Site(
            site_no=site_no,
            id=plane.clock.new_id(),
            name=name,
            production_branch=branch,
            created_on=created_on,
            build_config=patch_build_config({}, body.get("build_config")),
            deployment_configs=merge(dated, sealed_configs(plane, site_no, {}, body)),
        )
        put_site(transaction, site)
        put_site_name(transaction, site)
        return project_document(plane, transaction, site)

    return await plane.commit(create)


async def show_project(plane: ControlPlane, call: SiteCall) -> JsonObject:
    with plane.store.read() as snapshot:
        return project_document(plane, snapshot, read_site(snapshot, call.site.site_no))


async def change_project(plane: ControlPlane, call: SiteCall) -> JsonObject:
    body = await call.json_object()
    refuse_source(body)
    configs = body.get("deployment_configs")
    named = list(named_in(configs)) if isinstance(configs, dict) else []
    await asyncio.to_thread(refuse_unreachable, plane, call.caller, named)
    if body.get("name") not in (None, call.site.name):
        raise ValueRefused("a project can't be renamed: every deployment's address has its name in it; create another")

    def change(transaction: Transaction) -> JsonObject:
        site = read_site(transaction, call.site.site_no)
        site = replace(
            site,
            production_branch=parse_branch(body, default=site.production_branch),
            build_config=patch_build_config(site.build_config, body.get("build_config")),
            deployment_configs=sealed_configs(plane, site.site_no, site.deployment_configs, body),
        )
        put_site(transaction, site)
        return project_document(plane, transaction, site)

    return await plane.commit(change)


async def delete_project(plane: ControlPlane, call: SiteCall) -> None:
    await plane.commit(
        lambda transaction: plane.activation(transaction).delete_site(read_site(transaction, call.site.site_no))
    )


async def issue_upload_token(plane: ControlPlane, call: SiteCall) -> JsonObject:
    """Each takes the next order of the site: it stands for the moment at which a deploy began."""
    site = await plane.commit(lambda transaction: next_order(transaction, read_site(transaction, call.site.site_no)))
    account = call.path("account")
    grant = UploadGrant(account=account, site_no=site.site_no, order=site.order_last)
    return {"jwt": plane.upload_tokens.issue(grant)}


async def purge_build_cache(plane: ControlPlane, call: SiteCall) -> None:
    """Nothing is built here, so there is nothing to purge; clients may ask all the same."""


def project_document(plane: ControlPlane, snapshot: Snapshot, site: Site) -> JsonObject:
    return plane.renderer.project(shown_site(snapshot, site))


def sealed_configs(plane: ControlPlane, site_no: int, current: JsonObject, body: JsonObject) -> JsonObject:
    return patch_deployment_configs(
        current,
        body.get("deployment_configs"),
        lambda name, value: plane.seal.seal(value, site_no=site_no, name=name),
    )


def parse_name(plane: ControlPlane, body: JsonObject) -> str:
    name = body.get("name")
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise ValueRefused(
            "name must be 1 to 58 characters of a-z, 0-9 and -, beginning and ending with a letter or a digit"
        )
    try:
        Hostname.parse(plane.names.alias(name, LONGEST_SLUG).name.encode("ascii"))
    except HostRefused:
        raise ValueRefused(f"no valid host name can be made of {name}; choose another, or a shorter one") from None
    return name


def parse_branch(body: JsonObject, *, default: str) -> str:
    branch = body.get("production_branch")
    if branch is None:
        return default
    if not isinstance(branch, str) or not 1 <= len(branch) <= BRANCH_CHARACTERS_MAX:
        raise ValueRefused(f"production_branch must be 1 to {BRANCH_CHARACTERS_MAX} characters")
    return branch


def refuse_source(body: JsonObject) -> None:
    if body.get("source"):
        raise ValueRefused("projects are deployed by upload here; leave out 'source', builds belong to your CI")
