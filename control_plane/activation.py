"""The one place that turns deployments into routes, each action within the one transaction that it was made for.

Each route is written in both schemes: the hashed one here, the legacy one by `dual_write` at the transaction's end.

A site has three kinds of hosts. A deployment's own never changes. Those that change are the production host, with the
custom domains beside it, and the branch aliases; each has a Pointer, which says what it shows and since which point
in the site's history. An action that began before that point doesn't move the pointer again: the deployment is then
superseded, and has its own host only.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

from asset_server.manifest import Manifest, ManifestCorrupt, encode_manifest, manifest_id
from control_plane.branch_slug import slug_candidates
from control_plane.catalogue import (
    DeploymentName,
    StoreInconsistent,
    aliases_of,
    deployments_newest_first,
    drop_alias,
    drop_deployment,
    drop_domain,
    find_alias,
    need,
    put_alias,
    put_deployment,
    put_domain,
    put_site,
    slugs_of,
)
from control_plane.clock import Clock
from control_plane.dual_write import TableEdits, shown_in_table
from control_plane.errors import DeploymentInUse, UnknownDomain
from control_plane.kept_assets import kept_assets, still_kept
from control_plane.tokens import revoke_site_tokens
from router.event_log import event_log
from router.hashed import delete_route, put_route, read_route
from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.schema import SITE_NO, Database
from router.kv.store import Snapshot, Transaction
from router.pipeline import Pipeline, PipelineUnreadable
from router.policy_record import PolicyUnreadable, forget_sites
from router.records import Alias, CustomDomain, Deployment, Pointer, Site
from router.site_names import SiteNames


@dataclass(frozen=True, slots=True)
class Published:
    """What a deploy has come to: the site and the deployment as they were stored."""

    site: Site
    deployment: Deployment


def own_slug(snapshot: Snapshot, site_no: int, branch: str) -> str:
    """The alias slug of a branch: the one that it has, else the first that no other branch has (differences 13–15)."""
    candidates = list(slug_candidates(branch))
    owners = {slug: alias.branch for slug in candidates if (alias := find_alias(snapshot, site_no, slug)) is not None}
    for slug in candidates:
        if owners.get(slug) == branch:
            return slug
    # The last one is 64 bits of the branch's own hash: that another branch has it isn't a case to be met.
    return next((slug for slug in candidates if slug not in owners), candidates[-1])


@dataclass(frozen=True, slots=True)
class Activation:
    """The routes of one transaction. `keys` are those that are live in it."""

    transaction: Transaction
    keys: KeyRing
    names: SiteNames
    clock: Clock
    tables: TableEdits

    # -- deploying, rolling back, promoting ----------------------------------------------------------------------

    def is_free(self, site: Site, short_id: str) -> bool:
        return self._shown(site, self.names.deployment(site.name, short_id)) is None

    def publish(self, site: Site, deployment: Deployment) -> Published:
        """A new deployment: its own host, and the production host or its branch's alias, unless superseded there."""
        self._put(self.names.deployment(site.name, deployment.short_id), pipeline_of(deployment))
        if deployment.environment == "production":
            if is_superseded(site.production, deployment.order):
                deployment = replace(deployment, superseded=True)
            else:
                site = self.show_in_production(site, deployment, order=deployment.order)
        else:
            slug = own_slug(self.transaction, site.site_no, deployment.branch)
            alias = find_alias(self.transaction, site.site_no, slug)
            deployment = replace(deployment, alias=slug)
            if alias is not None and is_superseded(alias.pointer, deployment.order):
                deployment = replace(deployment, superseded=True)
            else:
                self._show_at_alias(site, alias, deployment)
        put_deployment(self.transaction, deployment)
        put_site(self.transaction, site)
        return Published(site, deployment)

    def show_in_production(self, site: Site, deployment: Deployment, *, order: int) -> Site:
        """Moves the production host and every custom domain, with the assets kept from what they showed before."""
        kept = None
        if site.production is not None:
            kept = self._keep(site, self.names.production(site.name), deployment)
        site = replace(site, production=Pointer(seq=deployment.seq, order=order))
        put_site(self.transaction, site)
        self._put_production(site, pipeline_of(deployment, kept=kept, is_preview=False))
        return site

    def _show_at_alias(self, site: Site, alias: Alias | None, deployment: Deployment) -> None:
        assert deployment.alias is not None, "publish has just given it one"
        hostname = self.names.alias(site.name, deployment.alias)
        kept = None
        if alias is not None:
            kept = self._keep(site, hostname, deployment)
        pointer = Pointer(seq=deployment.seq, order=deployment.order)
        put_alias(self.transaction, Alias(site.site_no, deployment.alias, deployment.branch, pointer))
        self._put(hostname, pipeline_of(deployment, kept=kept))

    # -- deleting ------------------------------------------------------------------------------------------------

    def delete_deployment(self, site: Site, deployment: Deployment | DeploymentName, *, force: bool) -> None:
        """Raises DeploymentInUse: always for what production shows, for what an alias shows unless forced; the alias
        then goes as well. One whose record can't be read goes by its name."""
        if site.production is not None and site.production.seq == deployment.seq:
            raise DeploymentInUse(
                f"{deployment.short_id} is what {self.names.production(site.name).name} shows; deploy or roll back to "
                "another deployment first"
            )
        alias = self._alias_that_shows(site, deployment)
        if alias is not None:
            hostname = self.names.alias(site.name, alias.slug)
            if not force:
                raise DeploymentInUse(
                    f"{deployment.short_id} is what {hostname.name} shows; add ?force=true (--force) to delete both"
                )
            self._delete(site, hostname)
            drop_alias(self.transaction, site.site_no, alias.slug)
        self._delete(site, self.names.deployment(site.name, deployment.short_id))
        drop_deployment(self.transaction, deployment)

    def _alias_that_shows(self, site: Site, deployment: Deployment | DeploymentName) -> Alias | None:
        if isinstance(deployment, DeploymentName):
            shown = (each for each in aliases_of(self.transaction, site.site_no) if each.pointer.seq == deployment.seq)
            return next(shown, None)
        alias = find_alias(self.transaction, site.site_no, deployment.alias) if deployment.alias is not None else None
        return alias if alias is not None and alias.pointer.seq == deployment.seq else None

    def delete_branch(self, site: Site, branch: str) -> tuple[int, bool]:
        """Every preview of a branch, with its alias: the count of deployments that went, whether an alias did."""
        alias = find_alias(self.transaction, site.site_no, own_slug(self.transaction, site.site_no, branch))
        doomed = [
            deployment
            for deployment in deployments_newest_first(self.transaction, site.site_no)
            if deployment.branch == branch and deployment.environment == "preview"
        ]
        for deployment in doomed:
            self.delete_deployment(site, deployment, force=True)
        # What an alias shows may have been promoted since; the deployment stays, the alias goes.
        if alias is not None and find_alias(self.transaction, site.site_no, alias.slug) is not None:
            self._delete(site, self.names.alias(site.name, alias.slug))
            drop_alias(self.transaction, site.site_no, alias.slug)
        return len(doomed), alias is not None

    def delete_site(self, site: Site) -> None:
        """The site with all its hosts, records and tokens. Manifests and blobs may be others' too: the collector's."""
        for deployment in list(deployments_newest_first(self.transaction, site.site_no)):
            self._delete(site, self.names.deployment(site.name, deployment.short_id))
            drop_deployment(self.transaction, deployment)
        self._delete_unreadable_deployments(site)
        for slug in slugs_of(self.transaction, site.site_no):
            self._delete(site, self.names.alias(site.name, slug))
            drop_alias(self.transaction, site.site_no, slug)
        for name in site.domains:
            self._drop_domain(site, name)
        self._delete(site, self.names.production(site.name))
        revoke_site_tokens(self.transaction, site.site_no)
        self.transaction.delete(Database.SITE_NAMES, site.name.encode("ascii"))
        self.transaction.delete(Database.SITES, SITE_NO.pack(site.site_no))
        with suppress(PolicyUnreadable):  # then it says nothing of any site, and deleting goes on
            forget_sites(self.transaction, is_gone=lambda site_no: site_no == site.site_no)

    def _delete_unreadable_deployments(self, site: Site) -> None:
        """What is left of a site once all that can be read is gone. Finding the ids takes a walk over everybody's."""
        left = {key for key, _ in self.transaction.scan(Database.DEPLOYMENTS, prefix=SITE_NO.pack(site.site_no))}
        ids = [raw for raw, key in self.transaction.scan(Database.DEPLOYMENT_IDS) if key in left] if left else []
        for raw in ids:
            self._delete(site, self.names.deployment(site.name, raw.hex()[:8]))
            self.transaction.delete(Database.DEPLOYMENT_IDS, raw)
        for key in left:
            self.transaction.delete(Database.DEPLOYMENTS, key)

    # -- custom domains ------------------------------------------------------------------------------------------

    def add_domain(self, site: Site, domain: CustomDomain) -> Site:
        """It shows at once what the production host shows, kept assets included; nothing before the first deploy."""
        put_domain(self.transaction, domain)
        site = replace(site, domains=(*site.domains, domain.name))
        put_site(self.transaction, site)
        shown = self._shown(site, self.names.production(site.name))
        if shown is not None:
            self._put(Hostname(domain.name), shown)
        return site

    def remove_domain(self, site: Site, name: str) -> Site:
        """Raises UnknownDomain."""
        if name not in site.domains:
            raise UnknownDomain
        self._drop_domain(site, name)
        site = replace(site, domains=tuple(each for each in site.domains if each != name))
        put_site(self.transaction, site)
        return site

    def _drop_domain(self, site: Site, name: str) -> None:
        drop_domain(self.transaction, name)
        self._delete(site, Hostname(name))

    # -- kept assets ---------------------------------------------------------------------------------------------

    def purge_kept(self, site: Site) -> None:
        """From now on, no host of the site answers with an asset that its deployment doesn't have."""
        for hostname, shown, _ in self._keeping(site):
            self._put(hostname, replace(shown, kept=None))

    def expire_kept(self, site: Site) -> None:
        """Lets go of kept assets whose time is over. Edges pass over them anyway; their blobs are then free to go."""
        for hostname, shown, kept in self._keeping(site):
            left = dict(still_kept(read_manifest(self.transaction, kept), now_s=int(self.clock.now_s())))
            content_id = put_manifest(self.transaction, encode_manifest(left)) if left else None
            if content_id != kept:
                self._put(hostname, replace(shown, kept=content_id))

    def _keeping(self, site: Site) -> list[tuple[Hostname, Pipeline, str]]:
        """Those of the site's hosts that keep anything, with their route and the manifest of what they keep."""
        slugs = [alias.slug for alias in aliases_of(self.transaction, site.site_no)]
        hostnames = [
            self.names.production(site.name),
            *(Hostname(name) for name in site.domains),
            *(self.names.alias(site.name, slug) for slug in slugs),
        ]
        routes = [(hostname, self._shown(site, hostname)) for hostname in hostnames]
        return [(hostname, shown, shown.kept) for hostname, shown in routes if shown is not None and shown.kept]

    def _keep(self, site: Site, hostname: Hostname, now: Deployment) -> str | None:
        """The manifest of what `hostname` keeps when it moves on from what it shows. Nothing, if that is damaged: a new
        deployment is the cure for it, and mustn't fail by it."""
        shown_now = read_manifest(self.transaction, now.manifest)
        try:
            shown = self._shown(site, hostname)
            if shown is None or (shown.manifest == now.manifest and shown.kept is None):
                return None
            is_other = shown.manifest != now.manifest
            kept = kept_assets(
                shown_before=read_manifest(self.transaction, shown.manifest) if is_other else None,
                kept_before=read_manifest(self.transaction, shown.kept) if shown.kept is not None else None,
                shown_now=shown_now,
                keep_days=site.keep_days,
                now_s=int(self.clock.now_s()),
            )
        except (PipelineUnreadable, ManifestCorrupt, StoreInconsistent) as error:
            event_log().warning("kept_assets.lost", hostname=hostname.name, reason=str(error))
            return None
        return put_manifest(self.transaction, encode_manifest(kept)) if kept else None

    # -- routes --------------------------------------------------------------------------------------------------

    def _put_production(self, site: Site, pipeline: Pipeline) -> None:
        self._put(self.names.production(site.name), pipeline)
        for name in site.domains:
            self._put(Hostname(name), pipeline)

    def _shown(self, site: Site, hostname: Hostname) -> Pipeline | None:
        """By its route or, on a host that only the legacy scheme has, by the site's table."""
        route = read_route(self.transaction, self.keys, hostname)
        return route if route is not None else shown_in_table(self.transaction, site.site_no, hostname)

    def _put(self, hostname: Hostname, pipeline: Pipeline) -> None:
        put_route(self.transaction, self.keys, hostname, pipeline)
        self.tables.put(hostname, pipeline)

    def _delete(self, site: Site, hostname: Hostname) -> None:
        delete_route(self.transaction, self.keys, hostname)
        self.tables.drop(site.site_no, hostname)


def is_superseded(pointer: Pointer | None, order: int) -> bool:
    return pointer is not None and order < pointer.order


def pipeline_of(deployment: Deployment, *, kept: str | None = None, is_preview: bool = True) -> Pipeline:
    return Pipeline(
        site_no=deployment.site_no,
        manifest=deployment.manifest,
        function=deployment.bundle,
        kept=kept,
        is_preview=is_preview,
    )


def put_manifest(transaction: Transaction, encoded: bytes) -> str:
    content_id = manifest_id(encoded)
    transaction.put(Database.MANIFESTS, content_id.encode("ascii"), encoded)
    return content_id


def read_manifest(snapshot: Snapshot, content_id: str) -> Manifest:
    return Manifest(need(snapshot, Database.MANIFESTS, content_id.encode("ascii")))
