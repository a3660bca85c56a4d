"""A posted form to a deployment that is live: prove the assets, store the function, commit all of it at once.

Everything heavy comes before the transaction, in a thread, while the blobs are held against collection. Until the
commit nothing is visible; after it everything is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from asset_server.header_rules import HeaderRules
from asset_server.manifest import encode_manifest
from asset_server.redirects import RedirectRules
from asset_server.rule_problem import RuleProblem
from control_plane.activation import Activation, Published, put_manifest
from control_plane.assets import scope_of
from control_plane.catalogue import next_order, put_site, read_site
from control_plane.clock import Clock
from control_plane.deploy_form import DeployForm
from control_plane.errors import FunctionRefused, FunctionUnstarted, ManifestRefused, ProductionBranchChanged
from control_plane.namespace_access import refuse_unreachable
from control_plane.plane import ControlPlane
from control_plane.tokens import TokenRecord
from functions.bundle import BundleRefused, StoredBundle, parse_bundle
from functions.routes_json import RoutesJson, RoutesJsonRefused
from functions.worker_code import DEPLOYMENT, kv_namespaces, refuse_unsupported
from router.kv.store import Transaction
from router.records import Deployment, Environment, JsonObject, Site

PROBLEMS_LOGGED_MAX: Final = 200
PROBLEM_CHARACTERS_MAX: Final = 400
REFUSALS_SHOWN_MAX: Final = 5
SHORT_ID_TRIES_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """A deployment's rule files, compiled, and what its log says of them."""

    redirects: bytes
    headers: bytes
    function_routes: bytes
    log: tuple[str, ...]


def deploy(
    plane: ControlPlane, site: Site, form: DeployForm, *, caller: TokenRecord, begun_order: int | None
) -> Published:
    """Blocks: call it in a thread. `begun_order` is what the uploads told of when this deploy began."""
    rules = compile_rules(form)
    environment = environment_of(site, form)
    deployment_id = plane.clock.new_id()
    with plane.blobs.claiming():
        claim = plane.blobs.claim(form.manifest.items(), scope=scope_of(site))
        if claim.refusals:
            shown = "; ".join(
                f"{each.path[:200]} ({each.key}) {each.reason}" for each in claim.refusals[:REFUSALS_SHOWN_MAX]
            )
            raise ManifestRefused(f"{len(claim.refusals)} of {len(form.manifest)} files can't be deployed: {shown}")
        encoded = encode_manifest(
            claim.assets, redirects=rules.redirects, headers=rules.headers, function_routes=rules.function_routes
        )
        draft = Deployment(
            site_no=site.site_no,
            seq=0,
            id=deployment_id,
            created_on=plane.clock.now(),
            manifest="",
            environment=environment,
            branch=form.branch or site.production_branch,
            order=form.order or begun_order or 0,
            bundle=store_function(plane, site, form, environment, deployment_id, caller),
            commit_hash=form.commit_hash,
            commit_message=form.commit_message,
            commit_dirty=form.commit_dirty,
            files_count=len(claim.assets),
            bytes_count=sum(asset.size_bytes for asset in claim.assets.values()),
            log=rules.log,
            env_vars=variables_of(site, environment),
            build_config=site.build_config,
            details=form.details,
        )

        def commit(transaction: Transaction) -> Published:
            fresh = read_site(transaction, site.site_no)
            if environment_of(fresh, form) != environment:
                raise ProductionBranchChanged(fresh.production_branch)
            stored = replace(draft, manifest=put_manifest(transaction, encoded))
            return add_deployment(plane, transaction, fresh, stored, is_forced=form.is_forced)

        return plane.commit_from_thread(commit)


def add_deployment(
    plane: ControlPlane, transaction: Transaction, site: Site, draft: Deployment, *, is_forced: bool
) -> Published:
    """Gives the draft its place in the site's history and makes it live. An order of 0, one that the site never gave
    out, or force: the deploy counts as begun now."""
    if is_forced or not 0 < draft.order <= site.order_last:
        site = next_order(transaction, site)
        draft = replace(draft, order=site.order_last)
    site = replace(site, seq_last=site.seq_last + 1)
    put_site(transaction, site)
    activation = plane.activation(transaction)
    return activation.publish(
        site, replace(draft, seq=site.seq_last, id=free_id(activation, site, draft.id, plane.clock))
    )


def free_id(activation: Activation, site: Site, wanted: str, clock: Clock) -> str:
    """An id whose first eight digits, the deployment's host, no other deployment of the site has."""
    for _ in range(SHORT_ID_TRIES_MAX):
        if activation.is_free(site, wanted[:8]):
            return wanted
        wanted = clock.new_id()
    raise AssertionError(f"{SHORT_ID_TRIES_MAX} random ids in a row were taken")


def environment_of(site: Site, form: DeployForm) -> Environment:
    return "production" if form.branch in (None, site.production_branch) else "preview"


def variables_of(site: Site, environment: Environment) -> JsonObject:
    """As they are now, secrets sealed: a deployment keeps the environment that it was made with."""
    variables: JsonObject = site.deployment_configs.get(environment, {}).get("env_vars", {})
    return variables


def compile_rules(form: DeployForm) -> Rules:
    """Raises FunctionRefused. Lines of `_redirects` and `_headers` that can't be used are left out and logged."""
    redirects = headers = b""
    log: list[str] = []
    if form.redirects is not None:
        redirect_rules, problems = RedirectRules.parse(form.redirects)
        redirects = redirect_rules.encode()
        log += problem_lines("_redirects", problems)
    if form.headers is not None:
        header_rules, problems = HeaderRules.parse(form.headers)
        headers = header_rules.encode()
        log += problem_lines("_headers", problems)
    function_routes = b""
    if form.worker is not None:
        function_routes = parse_routes(form.routes).encode()
    elif form.routes is not None:
        log.append("_routes.json: not used, since there is no function")
    return Rules(redirects=redirects, headers=headers, function_routes=function_routes, log=tuple(log))


def parse_routes(text: str | None) -> RoutesJson:
    if text is None:
        return RoutesJson.everything()
    try:
        return RoutesJson.parse(text)
    except RoutesJsonRefused as error:
        raise FunctionRefused(f"_routes.json: {error}") from None


def problem_lines(name: str, problems: list[RuleProblem]) -> list[str]:
    lines = [
        f"{name}{f' line {each.line_number}' if each.line_number is not None else ''}: {each.message}"[
            :PROBLEM_CHARACTERS_MAX
        ]
        for each in problems[:PROBLEMS_LOGGED_MAX]
    ]
    left_out = len(problems) - len(lines)
    return [*lines, f"{name}: {left_out} more lines with problems"] if left_out else lines


def store_function(
    plane: ControlPlane,
    site: Site,
    form: DeployForm,
    environment: Environment,
    deployment_id: str,
    caller: TokenRecord,
) -> str | None:
    """The bundle's id, once it is stored for good. Raises FunctionRefused, FunctionUnstarted, Forbidden."""
    if form.worker is None:
        return None
    settings = function_settings(plane, site, form, environment, deployment_id)
    try:
        bundle = parse_bundle(form.worker)
        refuse_unsupported(bundle, settings)
        namespaces = kv_namespaces(bundle, settings)
        for name, namespace in namespaces:
            if not plane.key_values.has_namespace(namespace):
                raise BundleRefused(
                    f"the binding {name[:100]!r} names the KV namespace {namespace[:64]!r}, which doesn't exist; "
                    "'wrangler kv namespace create' makes one"
                )
        refuse_unreachable(plane, caller, (namespace for _, namespace in namespaces))
        if (problem := plane.start_problem(StoredBundle(bundle, settings), site.site_no)) is not None:
            raise FunctionUnstarted(problem)
        for _, namespace in namespaces:
            plane.key_values.bind(site.site_no, namespace)
        return plane.bundles.put(form.worker, settings)
    except BundleRefused as error:
        raise FunctionRefused(f"_worker.bundle: {error}") from None


def function_settings(
    plane: ControlPlane, site: Site, form: DeployForm, environment: Environment, deployment_id: str
) -> Mapping[str, object]:
    """What the bundle itself may leave open, from the project's settings, and what a function may know of its
    deployment. Secrets stay sealed."""
    deployment = {
        "branch": form.branch or site.production_branch,
        "commit_hash": form.commit_hash,
        "url": plane.renderer.url.of(plane.names.deployment(site.name, deployment_id[:8]).name),
        "project_created_on": site.created_on,
    }
    return {**site.deployment_configs.get(environment, {}), DEPLOYMENT: deployment}
