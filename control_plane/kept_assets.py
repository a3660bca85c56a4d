"""Assets that outlive their deployment on a changing host (differences 16). Pure.

A browser that still shows yesterday's page asks for yesterday's chunks. So when a host moves on, what the new
deployment no longer has is kept for the site's `keep_days`, in a manifest of its own beside the new one. HTML is never
kept: a page that was deleted is gone.
"""

from collections.abc import Iterator
from dataclasses import replace
from heapq import nlargest
from typing import Final

from asset_server.manifest import Asset, Manifest

DAY_S: Final = 24 * 60 * 60
KEPT_COUNT_MAX: Final = 50_000
"""Of a site that drops more than that within its days, those that would stay longest are kept."""
HTML: Final = "text/html"


def kept_assets(
    *, shown_before: Manifest | None, kept_before: Manifest | None, shown_now: Manifest, keep_days: int, now_s: int
) -> dict[str, Asset]:
    """What a host keeps once it shows `shown_now`; each with its own expiry."""
    if keep_days == 0:
        return {}
    kept: dict[str, Asset] = {}
    if kept_before is not None:
        kept.update(
            (path, asset) for path, asset in still_kept(kept_before, now_s=now_s) if shown_now.find(path) is None
        )
    if shown_before is not None:
        kept.update(dropped(shown_before, shown_now, expires_s=now_s + keep_days * DAY_S))
    if len(kept) > KEPT_COUNT_MAX:
        return dict(nlargest(KEPT_COUNT_MAX, kept.items(), key=lambda item: (item[1].expires_s, item[0])))
    return kept


def still_kept(kept: Manifest, *, now_s: int) -> Iterator[tuple[str, Asset]]:
    return ((path, asset) for path, asset in kept.assets() if asset.expires_s > now_s)


def dropped(shown_before: Manifest, shown_now: Manifest, *, expires_s: int) -> Iterator[tuple[str, Asset]]:
    for path, asset in shown_before.assets():
        if not asset.content_type.startswith(HTML) and shown_now.find(path) is None:
            yield path, replace(asset, expires_s=expires_s)
