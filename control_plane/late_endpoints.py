"""Routes of the API that a client comes to after others: deployments and uploads, domains, namespaces, and what Pages
has no word for. The first request for one of them loads all, and waits some 80 ms longer."""

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute, Route

from control_plane import assets, deployments, domains, function_events, key_values, operator
from control_plane.endpoints import UploadHandler, for_upload
from control_plane.plane import ControlPlane
from control_plane.route_table import PAGES_API, PROJECT, AccountRow, SiteRow, Table
from control_plane.tokens import Access

READ, DEPLOY, ADMIN = Access.READ, Access.DEPLOY, Access.ADMIN

DEPLOYMENTS: Final = PROJECT + "/deployments"
DEPLOYMENT: Final = DEPLOYMENTS + "/{deployment}"
DOMAINS: Final = PROJECT + "/domains"
OWN_SITE: Final = "/sites/{project}"
NAMESPACES: Final = "/accounts/{account}/storage/kv/namespaces"
NAMESPACE: Final = NAMESPACES + "/{namespace}"

ANY_TOKEN_ROUTES: Final[list[AccountRow]] = [
    ("GET", NAMESPACES, READ, key_values.list_namespaces),
    ("GET", NAMESPACE, READ, key_values.show_namespace),
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
ACCOUNT_ROUTES: Final[list[AccountRow]] = [
    ("POST", NAMESPACES, DEPLOY, key_values.create_namespace),
    ("PUT", NAMESPACE, DEPLOY, key_values.rename_namespace),
    ("DELETE", NAMESPACE, DEPLOY, key_values.delete_namespace),
]
SITE_ROUTES: Final[list[SiteRow]] = [
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


def late_endpoints(plane: ControlPlane) -> Sequence[BaseRoute]:
    pages = Table()
    pages.add_any_token_routes(plane, ANY_TOKEN_ROUTES)
    pages.add_account_routes(plane, ACCOUNT_ROUTES)
    pages.add_site_routes(plane, SITE_ROUTES)
    for method, path, upload_handler in UPLOAD_ROUTES:
        pages.add(method, path, for_upload(plane, upload_handler))
    own = Table()
    own.add_account_routes(plane, OWN_ACCOUNT_ROUTES)
    own.add_site_routes(plane, OWN_SITE_ROUTES)
    return [
        Route(function_events.TAILS_PATH + "{tail}", function_events.TailSocket(plane)),
        *pages.routes(below=PAGES_API),
        *own.routes(below="/onehop/v1"),
        *pages.routes(below=""),
    ]
