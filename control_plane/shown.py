"""What an object's document tells of other records, read in one snapshot."""

from control_plane.catalogue import deployments_newest_first, find_alias, read_deployment
from control_plane.documents import Shown, SiteView
from router.kv.store import Snapshot
from router.records import Deployment, Site


def shown_deployment(snapshot: Snapshot, deployment: Deployment) -> Shown:
    alias = find_alias(snapshot, deployment.site_no, deployment.alias) if deployment.alias is not None else None
    is_live = alias is not None and alias.pointer.seq == deployment.seq
    return Shown(deployment, live_slug=deployment.alias if is_live else None)


def shown_site(snapshot: Snapshot, site: Site) -> SiteView:
    latest = next(deployments_newest_first(snapshot, site.site_no), None)
    canonical = read_deployment(snapshot, site.site_no, site.production.seq) if site.production is not None else None
    return SiteView(
        site=site,
        latest=shown_deployment(snapshot, latest) if latest is not None else None,
        canonical=shown_deployment(snapshot, canonical) if canonical is not None else None,
    )
