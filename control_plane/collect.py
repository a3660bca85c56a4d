"""What no deployment needs any more: blobs, manifests, function bundles, expired kept assets, leftovers of uploads.

All of it runs while the blobs are held for collection. Whatever puts a manifest or a bundle holds the blobs for its
claim until it has committed, so nothing that a running deploy refers to can look unused from here; it waits, or
we do. Uploads that no deploy has claimed yet are told by their age.

What a damaged record needs can't be told. While there is one, every manifest and bundle stays, and while a manifest is
damaged, every blob; the rest goes, and the report says what stayed for that.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from asset_server.manifest import Manifest, ManifestCorrupt, manifest_id
from control_plane.catalogue import StoreInconsistent, outline_of
from control_plane.kept_assets import DAY_S
from control_plane.plane import ControlPlane
from router.event_log import event_log
from router.kv.schema import Database
from router.kv.store import Snapshot, Transaction
from router.pipeline import Pipeline, PipelineUnreadable
from router.records import JsonObject, RecordUnreadable, Site, decode_record

SITES_PER_TRANSACTION: Final = 500
UPLOAD_AGE_S: Final = DAY_S
"""An upload that no deployment has claimed after a day belongs to a deploy that was given up."""


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """Counts of what was removed or, in a dry run, would be. `files_young` need another day: nothing refers to them,
    but a deploy that is under way may. `blobs_in_use` is of what stays. While `records_unreadable` isn't 0 no manifest
    and no bundle goes, while `manifests_unreadable` isn't no blob."""

    is_dry_run: bool
    manifests_removed: int
    bundles_removed: int
    files_removed: int
    files_young: int
    blobs_in_use: int
    records_unreadable: int
    manifests_unreadable: int

    def document(self) -> JsonObject:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class InUse:
    """Content ids and raw asset keys that some deployment or route needs."""

    manifests: frozenset[str]
    bundles: frozenset[str]
    blobs: frozenset[bytes]
    records_unreadable: int
    manifests_unreadable: int


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
        if in_use.records_unreadable:
            unused, bundles = [], []
        before_s = plane.clock.now_s() - upload_age_s
        if not is_dry_run:
            plane.commit_from_thread(lambda transaction: remove_manifests(transaction, unused))
            for bundle in bundles:
                plane.bundles.remove(bundle)
        blobs = in_use.blobs if not in_use.manifests_unreadable else frozenset(map(bytes.fromhex, plane.blobs.keys()))
        collected = plane.blobs.collect(blobs, before_s=before_s, is_dry_run=is_dry_run)
        drafts_removed = 0 if is_dry_run else plane.bundles.remove_drafts(before_s)
    return CollectionReport(
        is_dry_run=is_dry_run,
        manifests_removed=len(unused),
        bundles_removed=len(bundles),
        files_removed=collected.removed + drafts_removed,
        files_young=collected.young,
        blobs_in_use=len(blobs),
        records_unreadable=in_use.records_unreadable,
        manifests_unreadable=in_use.manifests_unreadable,
    )


def expire_kept_assets(plane: ControlPlane) -> None:
    """A batch of sites a transaction, so that no deploy of another site waits for long."""

    def expire_batch(transaction: Transaction) -> bytes | None:
        activation = plane.activation(transaction)
        batch = list(islice(transaction.scan(Database.SITES, after=after), SITES_PER_TRANSACTION))
        for _, value in batch:
            try:
                activation.expire_kept(decode_record(Site, value))
            except (RecordUnreadable, PipelineUnreadable, ManifestCorrupt, StoreInconsistent) as error:
                # Its routes go on naming what it keeps, so none of that goes.
                event_log().warning("kept_assets.not_expired", reason=str(error))
        return batch[-1][0] if batch else None

    after: bytes | None = None
    while (last := plane.commit_from_thread(expire_batch)) is not None:
        after = last


def read_in_use(snapshot: Snapshot) -> InUse:
    """Every deployment's manifest and bundle, every route's too: routes alone name what is kept."""
    manifests: set[str] = set()
    bundles: set[str | None] = set()
    records_unreadable = 0
    for _, value in snapshot.scan(Database.DEPLOYMENTS):
        try:
            outline = outline_of(value)
        except RecordUnreadable:
            records_unreadable += 1
            continue
        manifests.add(outline.manifest)
        bundles.add(outline.bundle)
    for database in (Database.ROUTES, Database.PIPELINES):
        for _, value in snapshot.scan(database):
            try:
                pipeline = Pipeline.parse(value)
            except PipelineUnreadable:
                records_unreadable += 1
                continue
            manifests.add(pipeline.manifest)
            bundles.add(pipeline.function)
            if pipeline.kept is not None:
                manifests.add(pipeline.kept)
    if records_unreadable:
        manifests.update(key.decode("ascii", "replace") for key, _ in snapshot.scan(Database.MANIFESTS))
    blobs, manifests_unreadable = read_blobs_in_use(snapshot, manifests)
    return InUse(
        manifests=frozenset(manifests),
        bundles=frozenset(each for each in bundles if each is not None),
        blobs=frozenset(blobs),
        records_unreadable=records_unreadable,
        manifests_unreadable=manifests_unreadable,
    )


def read_blobs_in_use(snapshot: Snapshot, manifests: Iterable[str]) -> tuple[set[bytes], int]:
    """Raw asset keys, and how many of these manifests are damaged. One that is missing holds nothing."""
    blobs: set[bytes] = set()
    unreadable_count = 0
    for content_id in manifests:
        encoded = snapshot.get(Database.MANIFESTS, content_id.encode("ascii", "replace"))
        if encoded is None:
            continue
        try:
            keys = list(Manifest(encoded).keys())
        except ManifestCorrupt:
            keys = None
        if keys is None or manifest_id(encoded) != content_id:
            unreadable_count += 1
        else:
            blobs.update(keys)
    return blobs, unreadable_count


def remove_manifests(transaction: Transaction, unused: list[bytes]) -> None:
    for key in unused:
        transaction.delete(Database.MANIFESTS, key)
