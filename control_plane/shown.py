"""What an object's document tells of other records, read in one snapshot."""

from contextlib import suppress

from control_plane.catalogue import deployments_newest_first, find_alias, read_deployment
from control_plane.documents import Shown, SiteView
from router.kv.store import Snapshot
from router.records import Deployment, RecordUnreadable, Site


def shown_deployment(snapshot: Snapshot, deployment: Deployment) -> Shown:
    is_live = False
    if deployment.alias is not None:
        with suppress(RecordUnreadable):
            alias = find_alias(snapshot, deployment.site_no, deployment.alias)
            is_live = alias is not None and alias.pointer.seq == deployment.seq
    return Shown(deployment, live_slug=deployment.alias if is_live else None)


def shown_site(snapshot: Snapshot, site: Site) -> SiteView:
    """A deployment that can't be read isn't shown, whatever the site's hosts show."""
    latest = next(deployments_newest_first(snapshot, site.site_no), None)
    canonical = None
    if site.production is not None:
        with suppress(RecordUnreadable):
            canonical = read_deployment(snapshot, site.site_no, site.production.seq)
    return SiteView(
        site=site,
        latest=shown_deployment(snapshot, latest) if latest is not None else None,
        canonical=shown_deployment(snapshot, canonical) if canonical is not None else None,
    )
