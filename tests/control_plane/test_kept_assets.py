"""Differences 16: what a changing host keeps from the deployments that it showed before."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from asset_server.manifest import Asset, Manifest, encode_manifest
from control_plane.kept_assets import DAY_S, kept_assets

NOW_S = 1_000_000


def manifest(*paths: str, expires_s: int = 0) -> Manifest:
    return Manifest(
        encode_manifest(
            {
                path: Asset(
                    key=path.encode().ljust(16, b"\0")[:16],
                    size_bytes=1,
                    content_type="text/html; charset=utf-8" if path.endswith(".html") else "application/javascript",
                    expires_s=expires_s,
                )
                for path in paths
            }
        )
    )


def kept(
    shown_before: Manifest | None, shown_now: Manifest, *, before: Manifest | None = None, keep_days: int = 7
) -> dict[str, int]:
    assets = kept_assets(
        shown_before=shown_before, kept_before=before, shown_now=shown_now, keep_days=keep_days, now_s=NOW_S
    )
    return {path: asset.expires_s for path, asset in assets.items()}


def test_what_the_new_deployment_no_longer_has_is_kept_for_the_days_after_the_deploy_that_dropped_it() -> None:
    assert kept(manifest("/app.1.js", "/logo.js"), manifest("/app.2.js", "/logo.js")) == {
        "/app.1.js": NOW_S + 7 * DAY_S
    }


def test_html_is_never_kept() -> None:
    assert kept(manifest("/gone.html", "/gone.js"), manifest()) == {"/gone.js": NOW_S + 7 * DAY_S}


def test_what_was_kept_stays_until_its_own_expiry() -> None:
    before = manifest("/old.js", expires_s=NOW_S + 5)
    assert kept(manifest("/app.1.js"), manifest("/app.2.js"), before=before) == {
        "/old.js": NOW_S + 5,
        "/app.1.js": NOW_S + 7 * DAY_S,
    }


def test_what_has_expired_goes() -> None:
    assert kept(None, manifest(), before=manifest("/old.js", expires_s=NOW_S)) == {}


def test_what_the_new_deployment_has_again_is_not_kept_beside_it() -> None:
    assert kept(manifest("/a.js"), manifest("/a.js", "/b.js"), before=manifest("/b.js", expires_s=NOW_S + 5)) == {}


def test_no_days_keep_nothing() -> None:
    assert kept(manifest("/a.js"), manifest(), before=manifest("/b.js", expires_s=NOW_S + 5), keep_days=0) == {}


paths = st.sets(st.sampled_from([f"/{name}" for name in ("a.js", "b.js", "c.css", "d.html", "e/f.js")]))


@given(st.lists(paths, min_size=2, max_size=6))
def test_over_any_history_nothing_shown_is_kept_and_nothing_dropped_is_lost(history: list[set[str]]) -> None:
    held: Manifest | None = None
    ever: set[str] = set()
    for before, now in pairwise(history):
        ever |= before
        assets = kept_assets(
            shown_before=manifest(*before),
            kept_before=held,
            shown_now=manifest(*now),
            keep_days=1,
            now_s=NOW_S,
        )
        assert assets.keys() == {path for path in ever - now if not path.endswith(".html")}
        held = Manifest(encode_manifest(assets))
