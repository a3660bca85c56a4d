"""What the CLI needs beyond Pages' API, under /onehop/v1: a site's own settings, aliases before their build, promotion,
the files of a deployment, tokens, collection."""

from dataclasses import replace
from typing import Final

from control_plane.activation import own_slug, read_manifest
from control_plane.catalogue import find_alias, find_site, put_site, read_site
from control_plane.collect import CollectionReport, collect
from control_plane.deployments import addressed
from control_plane.endpoints import AccountCall, SiteCall
from control_plane.errors import UnknownProject, ValueRefused
from control_plane.plane import ControlPlane
from control_plane.tokens import NAME_CHARACTERS_MAX, Access, TokenRecord, all_tokens, revoke_token
from router.kv.store import Snapshot, Transaction
from router.records import KEEP_DAYS_MAX, JsonObject, Site

BRANCH_CHARACTERS_MAX: Final = 255


async def show_settings(plane: ControlPlane, call: SiteCall) -> JsonObject:
    return settings_document(plane, call.site)


async def change_settings(plane: ControlPlane, call: SiteCall) -> JsonObject:
    body = await call.json_object()
    keep_days = body.get("keep_days")
    if body.keys() != {"keep_days"} or type(keep_days) is not int or not 0 <= keep_days <= KEEP_DAYS_MAX:
        raise ValueRefused(f'the body must be {{"keep_days": 0 to {KEEP_DAYS_MAX}}}')
    days = keep_days

    def change(transaction: Transaction) -> JsonObject:
        site = replace(read_site(transaction, call.site.site_no), keep_days=days)
        put_site(transaction, site)
        return settings_document(plane, site)

    return await plane.commit(change)


async def purge_kept_assets(plane: ControlPlane, call: SiteCall) -> None:
    await plane.commit(
        lambda transaction: plane.activation(transaction).purge_kept(read_site(transaction, call.site.site_no))
    )


async def tell_alias(plane: ControlPlane, call: SiteCall) -> JsonObject:
    """The address that a branch has or, before its first deploy, would get."""
    branch = parse_branch(call)
    with plane.store.read() as snapshot:
        slug = own_slug(snapshot, call.site.site_no, branch)
        alias = find_alias(snapshot, call.site.site_no, slug)
    is_production = branch == call.site.production_branch
    hostname = plane.names.production(call.site.name) if is_production else plane.names.alias(call.site.name, slug)
    return {
        "branch": branch,
        "slug": None if is_production else slug,
        "hostname": hostname.name,
        "url": plane.renderer.url.of(hostname.name),
        "exists": call.site.production is not None if is_production else alias is not None,
    }


async def delete_branch(plane: ControlPlane, call: SiteCall) -> JsonObject:
    """Every preview deployment of a branch, and its alias."""
    branch = parse_branch(call)

    def delete(transaction: Transaction) -> tuple[int, bool]:
        return plane.activation(transaction).delete_branch(read_site(transaction, call.site.site_no), branch)

    deleted_count, alias_deleted = await plane.commit(delete)
    return {"deleted_count": deleted_count, "alias_deleted": alias_deleted}


async def list_files(plane: ControlPlane, call: SiteCall) -> list[JsonObject]:
    def read() -> list[JsonObject]:
        with plane.store.read() as snapshot:
            manifest = read_manifest(snapshot, addressed(snapshot, call).manifest)
            return [
                {
                    "path": path,
                    "hash": asset.key.hex(),
                    "size_bytes": asset.size_bytes,
                    "content_type": asset.content_type,
                }
                for path, asset in sorted(manifest.assets())
            ]

    return await plane.heavily(read)


async def list_tokens(plane: ControlPlane, call: AccountCall) -> list[JsonObject]:
    with plane.store.read() as snapshot:
        return [token_document(snapshot, record) for record in all_tokens(snapshot)]


async def create_token(plane: ControlPlane, call: AccountCall) -> JsonObject:
    """The only answer that ever holds a token."""
    body = await call.json_object()
    name, project, word = body.get("name"), body.get("project"), body.get("access")
    if not isinstance(name, str) or not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise ValueRefused(f"name must be 1 to {NAME_CHARACTERS_MAX} characters that say what the token is for")
    access = next((each for each in Access if each.word == word), None)
    if access is None or not (project is None or isinstance(project, str)):
        raise ValueRefused("access must be read, deploy or admin; project a project's name, or null for the account")

    def create(transaction: Transaction) -> JsonObject:
        site = find_site(transaction, project) if project is not None else None
        if project is not None and site is None:
            raise UnknownProject
        issued = plane.tokens.issue(
            transaction, name=name, access=access, site_no=site.site_no if site is not None else None
        )
        return {**token_document(transaction, issued.record), "token": issued.text}

    return await plane.commit(create)


async def delete_token(plane: ControlPlane, call: AccountCall) -> None:
    await plane.commit(lambda transaction: revoke_token(transaction, call.path("token")))


async def collect_garbage(plane: ControlPlane, call: AccountCall) -> JsonObject:
    body = await call.json_object()
    if not body.keys() <= {"dry_run"} or type(body.get("dry_run", False)) is not bool:
        raise ValueRefused('the body must be {"dry_run": true or false}')
    is_dry_run: bool = body.get("dry_run", False)

    def run() -> CollectionReport:
        return collect(plane, is_dry_run=is_dry_run)

    return (await plane.heavily(run)).document()


def settings_document(plane: ControlPlane, site: Site) -> JsonObject:
    return {
        "name": site.name,
        "site_no": site.site_no,
        "production_branch": site.production_branch,
        "keep_days": site.keep_days,
        "domains": list(site.domains),
        "url": plane.renderer.url.of(plane.names.production(site.name).name),
        "created_on": site.created_on,
    }


def token_document(snapshot: Snapshot, record: TokenRecord) -> JsonObject:
    """`project` is null for the whole account. A site's tokens go with it, so its number has a name."""
    return {
        "id": record.id,
        "name": record.name,
        "access": record.access.word,
        "site_no": record.site_no,
        "project": read_site(snapshot, record.site_no).name if record.site_no is not None else None,
        "created_on": record.created_on,
    }


def parse_branch(call: SiteCall) -> str:
    branch = call.query("branch")
    if not 1 <= len(branch) <= BRANCH_CHARACTERS_MAX:
        raise ValueRefused(f"branch must be 1 to {BRANCH_CHARACTERS_MAX} characters")
    return branch
