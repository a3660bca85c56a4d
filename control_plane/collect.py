"""What no deployment needs any more: blobs, manifests, function bundles, expired kept assets, leftovers of uploads.

All of it runs while the blobs are held for collection. Whatever puts a manifest or a bundle holds the blobs for its
claim until it has committed, so nothing that a running deploy refers to can look unused from here; it waits, or
we do. Uploads that no deploy has claimed yet are told by their age.
"""

import dataclasses
from dataclasses import dataclass
from itertools import islice
from typing import Final

from asset_server.manifest import Manifest
from control_plane.catalogue import outline_of
from control_plane.kept_assets import DAY_S
from control_plane.plane import ControlPlane
from router.kv.schema import Database
from router.kv.store import Snapshot, Transaction
from router.pipeline import Pipeline
from router.records import JsonObject, Site, decode_record

SITES_PER_TRANSACTION: Final = 500
UPLOAD_AGE_S: Final = DAY_S
"""An upload that no deployment has claimed after a day belongs to a deploy that was given up."""


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """Counts of what was removed or, in a dry run, would be. `files_young` need another day: nothing refers to them,
    but a deploy that is under way may. `blobs_in_use` is of what stays."""

    is_dry_run: bool
    manifests_removed: int
    bundles_removed: int
    files_removed: int
    files_young: int
    blobs_in_use: int

    def document(self) -> JsonObject:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class InUse:
    """Content ids and raw asset keys that some deployment or route needs."""

    manifests: frozenset[str]
    bundles: frozenset[str]
    blobs: frozenset[bytes]


def collect(plane: ControlPlane, *, is_dry_run: bool = False, upload_age_s: float = UPLOAD_AGE_S) -> CollectionReport:
    """Blocks, for as long as reading every deployment takes: call it in a thread."""
    with plane.blobs.collecting():
        if not is_dry_run:
            expire_kept_assets(plane)
        with plane.store.read() as snapshot:
            in_use = read_in_use(snapshot)
            unused = [
                bytes(key)
                for key, _ in snapshot.scan(Database.MANIFESTS)
                if bytes(key).decode("ascii") not in in_use.manifests
            ]
        bundles = [each for each in plane.bundles.ids() if each not in in_use.bundles]
        before_s = plane.clock.now_s() - upload_age_s
        if not is_dry_run:
            plane.commit_from_thread(lambda transaction: remove_manifests(transaction, unused))
            for bundle in bundles:
                plane.bundles.remove(bundle)
        collected = plane.blobs.collect(in_use.blobs, before_s=before_s, is_dry_run=is_dry_run)
        drafts_removed = 0 if is_dry_run else plane.bundles.remove_drafts(before_s)
    return CollectionReport(
        is_dry_run=is_dry_run,
        manifests_removed=len(unused),
        bundles_removed=len(bundles),
        files_removed=collected.removed + drafts_removed,
        files_young=collected.young,
        blobs_in_use=len(in_use.blobs),
    )


def expire_kept_assets(plane: ControlPlane) -> None:
    """A batch of sites a transaction, so that no deploy of another site waits for long."""

    def expire_batch(transaction: Transaction) -> bytes | None:
        activation = plane.activation(transaction)
        batch = list(islice(transaction.scan(Database.SITES, after=after), SITES_PER_TRANSACTION))
        for _, value in batch:
            activation.expire_kept(decode_record(Site, value))
        return batch[-1][0] if batch else None

    after: bytes | None = None
    while (last := plane.commit_from_thread(expire_batch)) is not None:
        after = last


def read_in_use(snapshot: Snapshot) -> InUse:
    """Every deployment's manifest and bundle, every route's too: routes alone name what is kept."""
    manifests: set[str] = set()
    bundles: set[str | None] = set()
    for _, value in snapshot.scan(Database.DEPLOYMENTS):
        outline = outline_of(value)
        manifests.add(outline.manifest)
        bundles.add(outline.bundle)
    for database in (Database.ROUTES, Database.PIPELINES):
        for _, value in snapshot.scan(database):
            pipeline = Pipeline.parse(bytes(value))
            manifests.add(pipeline.manifest)
            bundles.add(pipeline.function)
            if pipeline.kept is not None:
                manifests.add(pipeline.kept)
    blobs: set[bytes] = set()
    for content_id in manifests:
        encoded = snapshot.get(Database.MANIFESTS, content_id.encode("ascii"))
        if encoded is not None:  # 'onehop check' reports those that are missing; here they hold nothing
            blobs.update(Manifest(encoded).keys())
    return InUse(frozenset(manifests), frozenset(each for each in bundles if each is not None), frozenset(blobs))


def remove_manifests(transaction: Transaction, unused: list[bytes]) -> None:
    for key in unused:
        transaction.delete(Database.MANIFESTS, key)
