"""`onehop check`: walks everything that a data folder holds and names each fault and its cure.

    secrets → manifests → blobs → sites and their domains → aliases → deployments → routes → routing tables

Rows are read in one snapshot, in key order, and compared both ways: what a row names must be there and agree, and no
row may be left that nothing names. Collection waits until the walk is over, so that nothing vanishes under it; deploys
go on. What merely isn't used any more is counted, not reported: that is the collector's.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from asset_server.blobs import BlobStore
from asset_server.manifest import Manifest, ManifestCorrupt, manifest_id
from functions.bundle import BundleStore
from onehop.check_records import Names, RecordWalk
from onehop.check_report import CheckReport, Faults
from onehop.check_tables import TableWalk
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from router.hashed import live_ring
from router.kv.errors import StoreDamaged
from router.kv.schema import Database
from router.kv.store import Snapshot

SECRET_FILES: Final = ("route-keys.json", "token-pepper", "upload-key", "variables-key", "admin-token")
CURE_MANIFEST: Final = "deploy again what the faults below name; the same files make the same manifest"
CURE_BUNDLE: Final = "deploy again what the faults below name, with its function"
CURE_BLOB: Final = (
    "'onehop check --repair' takes it away, then deploy again what the faults below name: its bytes will be asked for"
)

CURE_BLOB_MISSING: Final = "deploy again what the faults below name: its bytes will be asked for"


@dataclass(slots=True)
class ManifestWalk:
    """Which manifests are whole, and where each asset key is used. `broken` says why, by content id."""

    sound: set[str] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)
    manifests_of: dict[bytes, set[str]] = field(default_factory=dict)


def check(it: OpenedStore, blobs: BlobStore, *, is_deep: bool, watcher: Watcher) -> CheckReport:
    """Raises what opening raises; from then on faults are findings. `is_deep`: read the bytes of every blob."""
    faults = Faults()
    check_secrets(it, faults)
    with blobs.claiming(), it.store.read() as snapshot:
        try:
            manifests = walk_manifests(snapshot, faults, watcher)
            blobs_count = walk_blobs(blobs, manifests, faults, is_deep=is_deep, watcher=watcher)
            names = Names(
                sound_manifests=manifests.sound,
                broken_manifests=manifests.broken,
                sound_bundles=walk_bundles(it, faults, watcher),
            )
            keys = live_ring(snapshot, it.keys)
            tables = TableWalk(snapshot, keys, it.names, faults, watcher)
            records = RecordWalk(it, snapshot, keys, names, faults, watcher, tables)
            records.run()
        except StoreDamaged as error:
            faults.add("store", "pages of the store", str(error), "restore the last backup: onehop restore")
            return faults.report({})
    return faults.report(
        {
            "sites": records.sites_count,
            "deployments": records.deployments_count,
            "routes": records.routes_count,
            "routing_tables": tables.tables_count,
            "hosts_without_route_yet": tables.unmigrated_count,
            "manifests": len(manifests.sound) + len(manifests.broken),
            "blobs": blobs_count,
            "unused_manifests": len(manifests.sound - records.manifests_named),
        }
    )


def check_secrets(it: OpenedStore, faults: Faults) -> None:
    for name in SECRET_FILES:
        path = it.folder.secrets / name
        if not path.exists():
            continue  # each is made at first use; the key ring was read when the store was opened
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            faults.add(
                "secret",
                str(path),
                f"may be read by others (mode {mode:04o})",
                f"make it its owner's only: chmod 600 {path}",
            )


def walk_manifests(snapshot: Snapshot, faults: Faults, watcher: Watcher) -> ManifestWalk:
    watcher.begin("manifests", snapshot.count(Database.MANIFESTS))
    walk = ManifestWalk()
    for key, encoded in snapshot.scan(Database.MANIFESTS):
        content_id = key.decode("ascii", "replace")
        problem = problem_of_manifest(content_id, encoded)
        if problem is None:
            walk.sound.add(content_id)
            for asset_key in Manifest(encoded).keys():  # noqa: SIM118  # a manifest isn't a dict
                walk.manifests_of.setdefault(asset_key, set()).add(content_id)
        else:
            walk.broken[content_id] = f"damaged manifest {content_id}"
            faults.add("manifest", content_id, problem, CURE_MANIFEST)
        watcher.advance()
    return walk


def problem_of_manifest(content_id: str, encoded: bytes) -> str | None:
    if manifest_id(encoded) != content_id:
        return "its bytes aren't what its id says"
    try:
        Manifest(encoded).verify()
    except ManifestCorrupt as error:
        return str(error)
    return None


def walk_blobs(blobs: BlobStore, manifests: ManifestWalk, faults: Faults, *, is_deep: bool, watcher: Watcher) -> int:
    """Marks the manifests that need a damaged blob as broken; returns the count of blobs that are needed."""
    present = set(blobs.keys())
    watcher.begin("blobs, their bytes too" if is_deep else "blobs", len(manifests.manifests_of))
    problem_of: Callable[[str], str | None] = blobs.verify if is_deep else lambda _key: None
    for asset_key, needed_by in sorted(manifests.manifests_of.items()):
        key = asset_key.hex()
        problem = problem_of(key) if key in present else "is missing"
        if problem is not None:
            faults.add("blob", key, problem, CURE_BLOB if key in present else CURE_BLOB_MISSING)
            for content_id in needed_by:
                manifests.sound.discard(content_id)
                manifests.broken[content_id] = f"damaged blob {key}"
        watcher.advance()
    return len(manifests.manifests_of)


def walk_bundles(it: OpenedStore, faults: Faults, watcher: Watcher) -> set[str]:
    """The ids of those that are whole."""
    watcher.begin("function bundles")
    bundles = BundleStore(it.folder.bundles)
    sound = set()
    for bundle_id in sorted(bundles.ids()):
        problem = bundles.verify(bundle_id)
        if problem is None:
            sound.add(bundle_id)
        else:
            faults.add("bundle", bundle_id, problem, CURE_BUNDLE)
        watcher.advance()
    return sound


def damaged_blobs(report: CheckReport) -> Iterator[str]:
    """Keys of blobs that are there and aren't what they should be."""
    return (fault.where for fault in report.faults if fault.kind == "blob" and fault.what != "is missing")
