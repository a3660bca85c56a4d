"""A control plane with sites that change, and edges over the same store that are each forced to one arm."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

from asset_server.blobs import BlobStore, Upload, asset_key, extension_of
from asset_server.content_type import content_type_of
from asset_server.header_rules import HeaderRules
from asset_server.manifest import encode_manifest
from asset_server.message import Response
from asset_server.redirects import RedirectRules
from asset_server.server import AssetServer
from control_plane.activation import put_manifest
from control_plane.catalogue import (
    deployments_newest_first,
    find_site,
    next_order,
    next_site_no,
    put_deployment,
    put_site,
    put_site_name,
    read_site,
)
from control_plane.deploy import add_deployment
from control_plane.plane import ControlPlane
from router.edge import Edge, EdgeRequest
from router.kv.store import Transaction
from router.metrics.catalogue import Metric
from router.metrics.meter import EdgeMeter
from router.metrics.reading import Reading
from router.metrics.slot import unshared_cells
from router.policy import Policy, Scheme
from router.records import CustomDomain, Deployment, Site
from router.resolve import Resolver

VERSIONS_COUNT: Final = 4
CREATED_ON: Final = "2026-01-01T00:00:00.000000Z"


class ForcedResolver(Resolver):
    """Takes no policy from the store: one arm for every site."""

    forced: Scheme = Scheme.HASHED

    def _take_policy(self) -> None:
        self.policy = Policy(default=self.forced)


class ForcedLegacy(ForcedResolver):
    forced = Scheme.LEGACY


class ForcedCompiled(ForcedResolver):
    forced = Scheme.LEGACY_COMPILED


ARMS: Final[Mapping[str, type[Resolver]]] = {
    "by policy": Resolver,
    "hashed": ForcedResolver,
    "legacy": ForcedLegacy,
    "legacy-compiled": ForcedCompiled,
}


def files_of(version: int) -> dict[str, bytes]:
    """Two names that all versions have, one of its own, and one that wants escapes."""
    return {
        "/index.html": b"<!doctype html><title>version %d</title>" % version,
        f"/app.{version}.js": b"console.log(%d)" % version,
        "/a b/é.txt": b"version %d" % version,
        "/404.html": b"nothing in version %d" % version,
    }


@dataclass
class BothSchemes:
    plane: ControlPlane
    ids: "count[int]" = field(default_factory=count)
    manifests: dict[int, bytes] = field(default_factory=dict)
    edges: dict[str, Edge] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for version in range(VERSIONS_COUNT):
            self.manifests[version] = self._store(version)
        for name, kind in ARMS.items():
            self.edges[name] = self.edge(kind)

    def edge(self, kind: type[Resolver], *, dc: str = "local") -> Edge:
        """Whose clock passes a look's time at each request."""
        meter = EdgeMeter(unshared_cells())
        resolver = kind(
            self.plane.store,
            read_keys=self.plane.keys,
            names=self.plane.names,
            dc=dc,
            now_s=count(1).__next__,
            meter=meter,
        )
        assets = AssetServer(self.plane.blobs, self.plane.clock.now_s)
        return Edge(store=self.plane.store, resolver=resolver, assets=assets, meter=meter, now_ns=count(1).__next__)

    def counted(self, arm: str, metric: Metric, **labels: str) -> int:
        return Reading(tuple(self.edges[arm]._meter.cells)).count(metric, **labels)

    def _store(self, version: int) -> bytes:
        blobs: BlobStore = self.plane.blobs
        keys = {path: asset_key(content, extension_of(path)) for path, content in files_of(version).items()}
        uploads = [Upload(keys[path], body, content_type_of(path)) for path, body in files_of(version).items()]
        blobs.put_many(uploads, scope="1")
        claim = blobs.claim(keys.items(), scope="1")
        assert not claim.refusals
        redirects = RedirectRules.parse(f"/old/* /new/:splat 302\n/here{version} /a 301\n")[0].encode()
        headers = HeaderRules.parse(f"/*\n  x-version: {version}\n")[0].encode()
        return encode_manifest(claim.assets, redirects=redirects, headers=headers)

    # -- what people do ------------------------------------------------------------------------------------------

    def create(self, name: str) -> None:
        with self.plane.store.write() as transaction:
            if find_site(transaction, name) is None:
                site_no = next_site_no(transaction)
                site = Site(site_no=site_no, id="", name=name, production_branch="main", created_on=CREATED_ON)
                put_site(transaction, site)
                put_site_name(transaction, site)

    def deploy(self, name: str, version: int, branch: str) -> str:
        """The deployment's own host."""
        with self.plane.store.write() as transaction:
            site = need_site(transaction, name)
            draft = Deployment(
                site_no=site.site_no, seq=0, id=f"{next(self.ids):08x}" + "0" * 24, created_on=CREATED_ON,
                manifest=put_manifest(transaction, self.manifests[version]), branch=branch,
                environment="production" if branch == site.production_branch else "preview",
            )  # fmt: skip
            done = add_deployment(self.plane, transaction, site, draft, is_forced=False)
        return self.plane.names.deployment(name, done.deployment.short_id).name

    def deployments(self, name: str) -> list[Deployment]:
        with self.plane.store.read() as snapshot:
            site = find_site(snapshot, name)
            return list(deployments_newest_first(snapshot, site.site_no)) if site is not None else []

    def show_in_production(self, name: str, deployment: Deployment) -> None:
        with self.plane.store.write() as transaction:
            site = next_order(transaction, need_site(transaction, name))
            deployment = replace(deployment, environment="production", superseded=False)
            put_deployment(transaction, deployment)
            self.plane.activation(transaction).show_in_production(site, deployment, order=site.order_last)

    def delete_deployment(self, name: str, deployment: Deployment) -> None:
        """Raises DeploymentInUse."""
        with self.plane.store.write() as transaction:
            site = need_site(transaction, name)
            self.plane.activation(transaction).delete_deployment(site, deployment, force=True)

    def delete_branch(self, name: str, branch: str) -> None:
        """Raises DeploymentInUse."""
        with self.plane.store.write() as transaction:
            self.plane.activation(transaction).delete_branch(need_site(transaction, name), branch)

    def delete_site(self, name: str) -> None:
        with self.plane.store.write() as transaction:
            self.plane.activation(transaction).delete_site(need_site(transaction, name))

    def add_domain(self, name: str, domain: str) -> None:
        with self.plane.store.write() as transaction:
            site = need_site(transaction, name)
            record = CustomDomain(name=domain, site_no=site.site_no, id="0" * 32, created_on=CREATED_ON)
            self.plane.activation(transaction).add_domain(site, record)

    def remove_domain(self, name: str, domain: str) -> None:
        with self.plane.store.write() as transaction:
            self.plane.activation(transaction).remove_domain(need_site(transaction, name), domain)

    def purge(self, name: str) -> None:
        with self.plane.store.write() as transaction:
            self.plane.activation(transaction).purge_kept(need_site(transaction, name))

    def site(self, name: str) -> Site | None:
        with self.plane.store.read() as snapshot:
            return find_site(snapshot, name)

    # -- what visitors get ---------------------------------------------------------------------------------------

    def ask(
        self, edge: str, host: str, target: str = "/", *, method: str = "GET", client: str = "192.0.2.1"
    ) -> Response:
        request = EdgeRequest(
            method=method,
            target=target.encode("ascii"),
            host=host.encode("ascii"),
            scheme="http",
            headers=[],
            client=client,
            received_ns=self.edges[edge].now_ns(),
        )
        return self.edges[edge].handle(request)


def need_site(transaction: Transaction, name: str) -> Site:
    site = find_site(transaction, name)
    assert site is not None
    return read_site(transaction, site.site_no)
