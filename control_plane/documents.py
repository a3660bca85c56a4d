"""Records to the objects that the API shows. Pure: whatever they need of the store has been read before.

Every member that a client is known to read is always there, of its type, also when we have nothing to say in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from control_plane.project_settings import shown_build_config, shown_deployment_configs, shown_variables
from router.records import CustomDomain, Deployment, JsonObject, Site
from router.site_names import SiteNames

STAGES: Final = ("queued", "initialize", "clone_repo", "build", "deploy")
CERTIFICATE_AUTHORITY: Final = "lets_encrypt"


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """How the edges are reached from outside. `port` None: the scheme's own."""

    scheme: str
    port: int | None

    def of(self, hostname: str) -> str:
        return f"{self.scheme}://{hostname}" + (f":{self.port}" if self.port is not None else "")


@dataclass(frozen=True, slots=True)
class Shown:
    """A deployment, and the slug of the alias that shows it now, if one does."""

    deployment: Deployment
    live_slug: str | None


@dataclass(frozen=True, slots=True)
class SiteView:
    """A site and the deployments that its document tells of."""

    site: Site
    latest: Shown | None
    canonical: Shown | None


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders every object of the API."""

    names: SiteNames
    url: PublicUrl

    def project(self, view: SiteView) -> JsonObject:
        site = view.site
        subdomain = self.names.production(site.name).name
        uses_functions = view.canonical is not None and view.canonical.deployment.bundle is not None
        return {
            "id": uuid_of(site.id),
            "name": site.name,
            "subdomain": subdomain,
            "domains": [subdomain, *site.domains],
            "created_on": site.created_on,
            "production_branch": site.production_branch,
            "source": None,
            "build_config": shown_build_config(site.build_config),
            "deployment_configs": shown_deployment_configs(site.deployment_configs),
            "latest_deployment": self.deployment(site, view.latest) if view.latest else None,
            "canonical_deployment": self.deployment(site, view.canonical) if view.canonical else None,
            "uses_functions": uses_functions,
            "framework": "",
            "framework_version": "",
            "production_script_name": f"pages-worker--{site.site_no}-production",
            "preview_script_name": f"pages-worker--{site.site_no}-preview",
        }

    def deployment(self, site: Site, shown: Shown) -> JsonObject:
        deployment = shown.deployment
        stages = [stage(name, deployment.created_on) for name in STAGES]
        return {
            "id": uuid_of(deployment.id),
            "short_id": deployment.short_id,
            "project_id": uuid_of(site.id),
            "project_name": site.name,
            "environment": deployment.environment,
            "url": self.url.of(self.names.deployment(site.name, deployment.short_id).name),
            "aliases": [self.url.of(hostname) for hostname in self.live_hostnames(site, shown)],
            "created_on": deployment.created_on,
            "modified_on": deployment.created_on,
            "latest_stage": stages[-1],
            "stages": stages,
            "deployment_trigger": {
                "type": "ad_hoc",
                "metadata": {
                    "branch": deployment.branch,
                    "commit_hash": deployment.commit_hash,
                    "commit_message": deployment.commit_message,
                    "commit_dirty": deployment.commit_dirty,
                },
            },
            "build_config": shown_build_config(deployment.build_config),
            "source": None,
            "env_vars": shown_variables(deployment.env_vars),
            "is_skipped": False,
            "skip_reason": None,
            "uses_functions": deployment.bundle is not None,
            "production_branch": site.production_branch,
            "superseded": deployment.superseded,
            "files_count": deployment.files_count,
            "bytes_count": deployment.bytes_count,
        }

    def live_hostnames(self, site: Site, shown: Shown) -> Iterator[str]:
        """The hosts, beside its own, at which a deployment is live now; the production host goes without saying."""
        if site.production is not None and site.production.seq == shown.deployment.seq:
            yield from site.domains
        if shown.live_slug is not None:
            yield self.names.alias(site.name, shown.live_slug).name

    def domain(self, domain: CustomDomain) -> JsonObject:
        return {
            "id": uuid_of(domain.id),
            "domain_id": uuid_of(domain.id),
            "name": domain.name,
            "status": domain.state,
            "created_on": domain.created_on,
            "certificate_authority": CERTIFICATE_AUTHORITY,
            "zone_tag": "",
            "validation_data": {"method": "http", "status": domain.state},
            "verification_data": {"status": domain.state},
        }


def stage(name: str, time: str) -> JsonObject:
    """A deployment that can be seen at all is done: its post returns after it went live."""
    return {"name": name, "status": "success", "started_on": time, "ended_on": time}


def uuid_of(hexadecimal: str) -> str:
    return str(UUID(hex=hexadecimal))


def log_lines(deployment: Deployment) -> JsonObject:
    """Never empty: clients read the last line without asking."""
    lines = [
        f"Received {deployment.files_count} files, {deployment.bytes_count} bytes.",
        *deployment.log,
        "Superseded: a newer deploy of this branch is live already; this one has its own address only."
        if deployment.superseded
        else "Success: the deployment is live.",
    ]
    return {
        "total": len(lines),
        "includes_container_logs": False,
        "data": [{"ts": deployment.created_on, "line": line} for line in lines],
    }
