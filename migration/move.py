"""The work of a migration, piece by piece; each piece may be cut short at any point and done again.

    plan      chunks of sites, by the size of their tables
    collect   one chunk's tables to a run on disk
    write     one part of the key space, from all runs, in batches
    revisit   the sites that changed meanwhile, their tables read in the transactions that write

What a piece has done is in `Progress`, in the same transaction; what is on disk can be made again from the store.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from migration.collect import Collection, Collector
from migration.failures import Failure, drop_failures, put_failures
from migration.pacing import Pacer
from migration.progress import PHASES, Progress, State, put_progress, read_progress
from migration.runs import PARTITIONS, SUFFIX, RunBuilder, sorted_rows
from migration.write import Changes, Written, name_refused, write_rows
from router.hashed import live_ring
from router.hashing import KeyRing
from router.kv.feed_reader import last_seq
from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction
from router.kv.store import Store
from router.site_names import SiteNames

CHUNK_TABLE_BYTES: Final = 24 * 1024 * 1024
"""Some 160,000 filters, 13 MB of rows: what a collecting process holds at a time, beside the table that it reads."""
CHUNK_SITES_MAX: Final = 20_000
SITES_KEY: Final = b"migration_sites"
"""In META: the numbers of the sites that the job is for; absent where it is for all."""
PART_ROWS: Final = 50_000


class KeysChanged(Exception):
    """The hash keys are being rotated; routes under the old one would be lost."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sites from `first` to `last`, both included."""

    number: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Mover:
    """Everything that the pieces work with. `folder` is for the runs."""

    store: Store
    read_keys: Callable[[], KeyRing]
    names: SiteNames
    folder: Path
    now_s: Callable[[], float]

    # -- beginning and ending ------------------------------------------------------------------------------------

    def begin(self, job: str, sites: frozenset[int] | None) -> Progress:
        """The progress of this job: what it has come to, or a new one, for these sites or (None) all. Raises
        KeysChanged."""
        with self.store.write() as transaction:
            progress = read_progress(transaction)
            if progress is not None and progress.job == job:
                return progress
            keys = self._one_key(transaction, None)
            drop_failures(transaction)
            put_wanted_sites(transaction, sites)
            progress = Progress(
                job=job, state=State.COLLECTING, key_id=keys.current.id, feed_seq=last_seq(transaction),
                started_s=self.now_s(),
            )  # fmt: skip
            put_progress(transaction, progress)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return progress

    def end(self, state: State, reason: str = "") -> Progress:
        """The job's last word; its runs go."""
        progress = self._advance(
            lambda _, progress: replace(
                progress, state=state, reason=reason, ended_s=max(progress.started_s, self.now_s())
            )
        )
        shutil.rmtree(self.folder, ignore_errors=True)
        return progress

    # -- the pieces ----------------------------------------------------------------------------------------------

    def plan(self) -> list[Chunk]:
        with self.store.read() as snapshot:
            wanted = read_wanted_sites(snapshot)
            sizes = [(no, size) for no, size in table_sizes(snapshot) if wanted is None or no in wanted]
        self._advance(lambda _, progress: replace(progress, table_bytes=sum(size for _, size in sizes)))
        return plan_chunks(sizes)

    def collect(self, chunk: Chunk) -> int:
        """How many filters it read; none if that was done before. Raises KeysChanged, OSError, StoreError."""
        runs = RunBuilder()
        with self.store.read() as snapshot:
            progress = need_progress(snapshot)
            if chunk.number in progress.chunks_done and self._run_of(chunk).exists():
                return 0
            keys = self._one_key(snapshot, progress.key_id)
            wanted = read_wanted_sites(snapshot)
            sizes = [(no, size) for no, size in table_sizes(snapshot, chunk) if wanted is None or no in wanted]
            collection = Collector(snapshot, keys, self.names).collect([no for no, _ in sizes], runs)
        runs.write(self._run_of(chunk))
        self._note_collected(chunk, collection, table_bytes=sum(size for _, size in sizes))
        return collection.filters_count

    def write(self, part: int, pacer: Pacer) -> None:
        """The `part`-th of the equal parts of the key space that `begin_writing` has told the number of. Raises
        KeysChanged, RunDamaged, StoreFull, StoreError, Stopped."""
        with self.store.read() as snapshot:
            progress = need_progress(snapshot)
        if part < progress.part or progress.state is not State.WRITING:
            return
        width = PARTITIONS // progress.parts
        rows = sorted_rows(sorted(self.folder.glob(f"*{SUFFIX}")), range(part * width, (part + 1) * width))
        at = progress.row if part == progress.part else 0
        changes = Changes(progress.feed_seq)
        while at < len(rows):
            batch = whole_keys(rows, at, pacer.batch_rows())
            with self.store.write() as transaction:
                progress = need_progress(transaction)
                keys = self._one_key(transaction, progress.key_id)
                changes = changes.read_on(transaction)
                written = write_rows(transaction, batch, changes)
                at += len(batch)
                progress = replace(progress, part=part, row=at, guard=pacer.told())
                note_written(transaction, progress, written, keys)
            pacer.after_batch(rows_count=len(batch) / PHASES, bytes_count=written.bytes_count)

    def begin_writing(self) -> int:
        """How many parts there are to write; what was said first holds."""

        def begin(_: Transaction, progress: Progress) -> Progress:
            if progress.state is not State.COLLECTING:
                return progress
            return replace(progress, state=State.WRITING, parts=parts_for(progress.collected))

        return self._advance(begin).parts

    def changed_sites(self) -> list[int]:
        """Sites whose rows `write` has left out; with the ones whose changes came after, which costs a look each."""
        with self.store.read() as snapshot:
            progress = need_progress(snapshot)
            changes = Changes(progress.feed_seq).read_on(snapshot)
            candidates = [no for no, _ in table_sizes(snapshot)] if changes.everything else sorted(changes.site_nos)
            wanted = read_wanted_sites(snapshot)
        self._advance(lambda _, progress: replace(progress, state=State.REVISITING))
        return [no for no in candidates if wanted is None or no in wanted]

    def revisit(self, site_no: int, pacer: Pacer) -> None:
        """One site whole, in one transaction that also reads its table. Raises KeysChanged, StoreFull, StoreError."""
        with self.store.write() as transaction:
            progress = need_progress(transaction)
            keys = self._one_key(transaction, progress.key_id)
            runs = RunBuilder()
            collection = Collector(transaction, keys, self.names).collect([site_no], runs)
            written = write_rows(transaction, runs.sorted_rows(), Changes(0))
            progress = progress.with_counts(
                total=collection.filters_count, failed=len(collection.failures), skipped=collection.skipped
            )
            put_failures(transaction, collection.failures, listed_count=progress.failures_listed)
            note_written(transaction, progress, written, keys)
        pacer.after_batch(rows_count=collection.filters_count, bytes_count=written.bytes_count)

    # -- what they share -----------------------------------------------------------------------------------------

    def _run_of(self, chunk: Chunk) -> Path:
        return self.folder / f"{chunk.number:06d}{SUFFIX}"

    def _one_key(self, snapshot: Snapshot, key_id: str | None) -> KeyRing:
        keys = live_ring(snapshot, self.read_keys())
        if keys.previous is not None:
            raise KeysChanged("a hash key is being replaced; finish that with 'onehop keys rotate', then migrate again")
        if key_id not in (None, keys.current.id):
            raise KeysChanged("the hash key was replaced after the job had begun")
        return keys

    def _note_collected(self, chunk: Chunk, collection: Collection, *, table_bytes: int) -> None:
        def note(transaction: Transaction, progress: Progress) -> Progress:
            if chunk.number in progress.chunks_done:
                return progress  # its run was lost and has been made again: it is counted
            listed = put_failures(transaction, collection.failures, listed_count=progress.failures_listed)
            progress = progress.with_counts(
                total=collection.filters_count, failed=len(collection.failures), skipped=collection.skipped
            )
            return replace(
                progress,
                collected=progress.collected + collection.filters_count,
                table_bytes_read=progress.table_bytes_read + table_bytes,
                chunks_done=(*progress.chunks_done, chunk.number),
                failures_listed=listed,
            )

        self._advance(note)

    def _advance(self, step: Callable[[Transaction, Progress], Progress]) -> Progress:
        with self.store.write() as transaction:
            progress = step(transaction, need_progress(transaction))
            put_progress(transaction, progress)
        return progress


def put_wanted_sites(transaction: Transaction, sites: frozenset[int] | None) -> None:
    if sites is None:
        transaction.delete(Database.META, SITES_KEY)
    else:
        transaction.put(Database.META, SITES_KEY, b"".join(SITE_NO.pack(each) for each in sorted(sites)))


def read_wanted_sites(snapshot: Snapshot) -> frozenset[int] | None:
    value = snapshot.get(Database.META, SITES_KEY)
    return None if value is None else frozenset(each for (each,) in SITE_NO.iter_unpack(value))


def parts_for(rows_count: int) -> int:
    """A power of two, so that each has about PART_ROWS or, with very many rows, more."""
    parts = 1
    while parts < PARTITIONS and rows_count > parts * PART_ROWS:
        parts *= 2
    return parts


def need_progress(snapshot: Snapshot) -> Progress:
    progress = read_progress(snapshot)
    assert progress is not None, "a piece of work belongs to a job that has begun"
    return progress


def note_written(transaction: Transaction, progress: Progress, written: Written, keys: KeyRing) -> None:
    failures: list[Failure] = name_refused(transaction, keys, written.refused) if written.refused else []
    listed = put_failures(transaction, failures, listed_count=progress.failures_listed)
    counted = progress.with_counts(
        migrated=written.migrated, failed=len(written.refused), skipped=written.skipped, total=-written.deferred
    )
    put_progress(transaction, replace(counted, failures_listed=listed))


def whole_keys(rows: Sequence[bytes], at: int, count: int) -> Sequence[bytes]:
    """`count` rows from `at`, and those of the last one's key that follow."""
    end = min(at + count, len(rows))
    while end < len(rows) and rows[end][:ROUTE_KEY_BYTES] == rows[end - 1][:ROUTE_KEY_BYTES]:
        end += 1
    return rows[at:end]


def table_sizes(snapshot: Snapshot, chunk: Chunk | None = None) -> list[tuple[int, int]]:
    """(site number, bytes of its table) in ascending order; of one chunk, or all."""
    found = []
    for key, size in snapshot.sizes(Database.LEGACY_TABLES, after=SITE_NO.pack(chunk.first - 1) if chunk else None):
        (site_no,) = SITE_NO.unpack(key)
        if chunk is not None and site_no > chunk.last:
            break
        found.append((site_no, size))
    return found


def plan_chunks(sizes: Sequence[tuple[int, int]]) -> list[Chunk]:
    chunks: list[Chunk] = []
    gathered: list[int] = []
    gathered_bytes = 0
    for site_no, size in sizes:
        gathered.append(site_no)
        gathered_bytes += size
        if gathered_bytes >= CHUNK_TABLE_BYTES or len(gathered) >= CHUNK_SITES_MAX:
            chunks.append(Chunk(len(chunks), gathered[0], gathered[-1]))
            gathered, gathered_bytes = [], 0
    if gathered:
        chunks.append(Chunk(len(chunks), gathered[0], gathered[-1]))
    return chunks
