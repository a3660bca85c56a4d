"""Sites that changed while the job read them: their tables read once more, and what is missing written.

A table of usual size is read in the transaction that writes: nothing can come in between. A large one would keep every
deploy waiting for seconds, so it goes in batches:

    collect, in a snapshot ─▶ a run ─▶ a batch: has the site changed since the snapshot? ─ no ─▶ write it ─▶ next
         ▲                                                  │
         └─────────────────── yes ──────────────────────────┘   and go on after the last key that is written

What is written needn't be looked at again: a deploy or a delete that comes later changes the route itself, in the
transaction that changes the table. A site that changes faster than it can be read goes in one transaction in the end.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from migration.claims import claimants, put_claims
from migration.collect import Collection, Collector
from migration.failures import put_failures
from migration.pacing import Pacer
from migration.progress import PHASES, Progress, need_progress, put_progress
from migration.runs import PARTITIONS, RunBuilder, first_after, sorted_rows, whole_keys
from migration.write import Changes, note_written, write_rows
from router.hashing import KeyRing
from router.kv.feed_reader import last_seq
from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction
from router.kv.store import Store
from router.site_names import SiteNames

LARGE_TABLE_BYTES: Final = 2 * 1024 * 1024
"""Some 13,000 filters: read and written in one transaction, they take 0.2 s of it."""
READS_MAX: Final = 5
"""So often a large table is read without getting a batch on; then the whole of it goes in one transaction."""
RUN_NAME: Final = "revisit.run"


class SiteChanged(Exception):
    """The site isn't any more what the run was collected from."""


@dataclass(frozen=True, slots=True)
class Revisit:
    """One site after the other. `one_key` refuses when the hash key isn't the job's."""

    store: Store
    one_key: Callable[[Snapshot, str | None], KeyRing]
    names: SiteNames
    folder: Path
    pacer: Pacer
    large_table_bytes: int = LARGE_TABLE_BYTES

    def site(self, site_no: int) -> None:
        """Raises KeysChanged, StoreFull, StoreError, Stopped."""
        with self.store.read() as snapshot:
            if site_no <= need_progress(snapshot).revisited_last:
                return  # they come in order, and this one was done before a kill
            view = snapshot.view(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
            is_large = view is not None and len(view) > self.large_table_bytes
        if not is_large or not self._in_batches(site_no):
            self._whole(site_no)

    def _whole(self, site_no: int) -> None:
        """In one transaction that also reads the table."""
        with self.store.write() as transaction:
            progress = need_progress(transaction)
            keys = self.one_key(transaction, progress.key_id)
            runs = RunBuilder()
            collection = Collector(transaction, keys, self.names).collect([site_no], runs)
            rows = runs.sorted_rows()
            after = first_after(rows, bytes.fromhex(progress.revisited_to)) if progress.revisiting == site_no else 0
            written = write_rows(transaction, rows[after:], Changes(0), claimants(transaction, rows[after:]))
            progress = done_with(site_no, progress.with_counts(total=len(rows) - after))
            note_written(transaction, with_failures(transaction, progress, collection), written)
        self.pacer.after_batch(rows_count=collection.filters_count, bytes_count=written.bytes_count)

    def _in_batches(self, site_no: int) -> bool:
        """Whether it came to the table's end."""
        with self.store.write() as transaction:
            progress = need_progress(transaction)
            if progress.revisiting != site_no:
                put_progress(transaction, replace(progress, revisiting=site_no, revisited_to=""))
        run = self.folder / RUN_NAME
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reads_in_vain = 0
        while reads_in_vain < READS_MAX:
            begun_at = self._written_to()
            changes, collection = self._collect(site_no, run)
            try:
                for partition in range(PARTITIONS):
                    self._write_partition(site_no, sorted_rows([run], [partition]), changes)
                self._end(site_no, changes, collection)
            except SiteChanged:
                reads_in_vain = reads_in_vain + 1 if self._written_to() == begun_at else 0
            else:
                return True
        return False

    def _written_to(self) -> str:
        with self.store.read() as snapshot:
            return need_progress(snapshot).revisited_to

    def _collect(self, site_no: int, run: Path) -> tuple[Changes, Collection]:
        runs = RunBuilder()
        with self.store.read() as snapshot:
            changes = Changes(last_seq(snapshot))
            keys = self.one_key(snapshot, need_progress(snapshot).key_id)
            collection = Collector(snapshot, keys, self.names).collect([site_no], runs)
        runs.write(run)
        return changes, collection

    def _write_partition(self, site_no: int, rows: list[bytes], changes: Changes) -> None:
        """Raises SiteChanged, with what was written before it done."""
        with self.store.read() as snapshot:
            at = first_after(rows, bytes.fromhex(need_progress(snapshot).revisited_to))
        while at < len(rows):
            batch = whole_keys(rows, at, self.pacer.batch_rows())
            with self.store.write() as transaction:
                progress = self._still(transaction, site_no, changes)
                written = write_rows(transaction, batch, Changes(0), claimants(transaction, batch))
                progress = replace(progress, revisited_to=batch[-1][:ROUTE_KEY_BYTES].hex(), guard=self.pacer.told())
                note_written(transaction, progress.with_counts(total=len(batch)), written)
            at += len(batch)
            self.pacer.after_batch(rows_count=len(batch) / PHASES, bytes_count=written.bytes_count)

    def _still(self, transaction: Transaction, site_no: int, changes: Changes) -> Progress:
        """Raises SiteChanged, KeysChanged."""
        if changes.read_on(transaction).includes(site_no):
            raise SiteChanged
        progress = need_progress(transaction)
        self.one_key(transaction, progress.key_id)
        return progress

    def _end(self, site_no: int, changes: Changes, collection: Collection) -> None:
        with self.store.write() as transaction:
            progress = self._still(transaction, site_no, changes)
            progress = done_with(site_no, with_failures(transaction, progress, collection))
            put_progress(transaction, progress)


def done_with(site_no: int, progress: Progress) -> Progress:
    return replace(progress, revisiting=0, revisited_to="", revisited_last=site_no)


def with_failures(transaction: Transaction, progress: Progress, collection: Collection) -> Progress:
    """With the filters that came to no row, and the claims that others are to hear of."""
    count = len(collection.failures)
    listed = put_failures(transaction, collection.failures, listed_count=progress.failures_listed)
    kept = put_claims(transaction, collection.claims, kept_count=progress.claims_kept)
    return replace(progress.with_counts(total=count, failed=count), failures_listed=listed, claims_kept=kept)
