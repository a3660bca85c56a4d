"""The work of a migration, piece by piece; each piece may be cut short at any point and done again.

    plan      chunks of sites, by the size of their tables
    collect   one chunk's tables to a run on disk
    write     one part of the key space, from all runs, in batches
    revisit   the sites that changed meanwhile, their tables read in the transactions that write

What a piece has done is in `Progress`, in the same transaction; what is on disk can be made again from the store.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from migration.claims import claimants, claimed_hosts, drop_claims, put_claims
from migration.collect import CLAIMS_MAX, Collection, Collector
from migration.failures import count_failures, drop_failures, put_failures
from migration.pacing import Pacer
from migration.progress import PHASES, Progress, State, need_progress, put_progress, read_control, read_progress
from migration.refused import drop_refused, name_refused, read_refused
from migration.revisit import LARGE_TABLE_BYTES, Revisit
from migration.runs import PARTITIONS, SUFFIX, RunBuilder, first_after, sorted_rows, whole_keys
from migration.write import Changes, note_written, write_rows
from router.event_log import event_log
from router.hashed import live_ring
from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.feed_reader import last_seq
from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction
from router.kv.store import Store
from router.site_names import SiteNames

CHUNK_TABLE_BYTES: Final = 24 * 1024 * 1024
"""Some 160,000 filters, 13 MB of rows: what a collecting process holds at a time, beside the table that it reads."""
CHUNK_TABLE_BYTES_MIN: Final = 2 * 1024 * 1024
CHUNK_S: Final = 0.25
"""A chunk that takes longer at the asked pace is cut smaller: or a processor is wanted for most of a second at once."""
FILTER_BYTES: Final = 150
"""About what a deployment takes in a table."""
CHUNK_SITES_MAX: Final = 20_000
SITES_KEY: Final = b"migration_sites"
"""In META: the numbers of the sites that the job is for; absent where it is for all."""
CHUNKS_KEY: Final = b"migration_chunks"
"""In META: the chunks that the job's tables were cut into, so that a run that is lost can be made again."""
PART_ROWS: Final = 50_000


class KeysChanged(Exception):
    """The hash keys are being rotated; routes under the old one would be lost."""


class CountsDiffer(Exception):
    """What became of some hosts isn't known: a job whose sums don't add up isn't complete."""


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
    large_table_bytes: int = LARGE_TABLE_BYTES

    # -- beginning and ending ------------------------------------------------------------------------------------

    def begin(self, job: str, sites: frozenset[int] | None) -> Progress:
        """The progress of this job: what it has come to, or a new one, for these sites or (None) all. Raises
        KeysChanged."""
        with self.store.write() as transaction:
            progress = read_progress(transaction)
            if progress is not None and progress.job == job:
                return progress
            keys = self._one_key(transaction, None)
            for site_no in sites if sites is not None else (None,):
                drop_failures(transaction, site_no)  # what failed of the other sites still has
            drop_refused(transaction, read_refused(transaction))
            drop_claims(transaction)
            put_wanted_sites(transaction, sites)
            progress = Progress(
                job=job, state=State.COLLECTING, key_id=keys.current.id, feed_seq=last_seq(transaction),
                started_s=self.now_s(), failures_listed=count_failures(transaction),
            )  # fmt: skip
            put_progress(transaction, progress)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return progress

    def end(self, state: State, reason: str = "") -> Progress:
        """The job's last word; its runs go. Raises CountsDiffer for one that can't be complete."""
        with self.store.read() as snapshot:
            progress = need_progress(snapshot)
        if state is State.COMPLETE and progress.done != progress.total:
            raise CountsDiffer(
                f"{progress.done} of {progress.total} hosts are accounted for; 'onehop migrate run' begins again, and "
                "finds what is done"
            )
        self._name_refused()
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
            wanted, pace = read_wanted_sites(snapshot), read_control(snapshot).deployments_per_s
            sizes = [(no, size) for no, size in table_sizes(snapshot) if wanted is None or no in wanted]
        chunks = plan_chunks(sizes, chunk_bytes(pace))

        def note(transaction: Transaction, progress: Progress) -> Progress:
            transaction.put(Database.META, CHUNKS_KEY, orjson.dumps([asdict(each) for each in chunks]))
            return replace(progress, table_bytes=sum(size for _, size in sizes))

        self._advance(note)
        if wanted is not None:
            self._note_others_claims(wanted)
        return chunks

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
            progress, is_partial = need_progress(snapshot), read_wanted_sites(snapshot) is not None
        if part < progress.part or progress.state is not State.WRITING:
            return
        width = PARTITIONS // progress.parts
        rows = sorted_rows(self._runs(), range(part * width, (part + 1) * width))
        at = first_after(rows, bytes.fromhex(progress.last_key)) if part == progress.part else 0
        changes = Changes(progress.feed_seq)
        while at < len(rows):
            batch = whole_keys(rows, at, pacer.batch_rows())
            with self.store.write() as transaction:
                progress = need_progress(transaction)
                self._one_key(transaction, progress.key_id)
                changes = changes.read_on(transaction)
                written = write_rows(transaction, batch, changes, claimants(transaction, batch) if is_partial else {})
                at += len(batch)
                last_key = batch[-1][:ROUTE_KEY_BYTES].hex()
                progress = replace(progress, part=part, last_key=last_key, guard=pacer.told())
                note_written(transaction, progress, written)
            pacer.after_batch(rows_count=len(batch) / PHASES, bytes_count=written.bytes_count)
        self._name_refused()

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
            made_again = [each for each in read_chunks(snapshot) if each.number in progress.made_again]

        def begin(_: Transaction, progress: Progress) -> Progress:
            # What a lost run held of sites that have changed isn't known any more; they are counted when revisited.
            is_uncertain = any(each.first <= no <= each.last for each in made_again for no in candidates)
            total = progress.done if is_uncertain and progress.state is State.WRITING else progress.total
            return replace(progress, state=State.REVISITING, total=total)

        self._advance(begin)
        return [no for no in candidates if wanted is None or no in wanted]

    def revisit(self, site_no: int, pacer: Pacer) -> None:
        """One site's table, as it is now. Raises KeysChanged, StoreFull, StoreError, Stopped."""
        Revisit(self.store, self._one_key, self.names, self.folder, pacer, self.large_table_bytes).site(site_no)
        self._name_refused()

    # -- what they share -----------------------------------------------------------------------------------------

    def _note_others_claims(self, wanted: frozenset[int]) -> None:
        """What tables that the job isn't for say of hosts that it may be for."""
        with self.store.read() as snapshot:
            keys = self._one_key(snapshot, need_progress(snapshot).key_id)
            found = (
                (keys.route_key(Hostname(host)), site_no)
                for site_no, _ in table_sizes(snapshot)
                if site_no not in wanted
                for host in claimed_hosts(snapshot, self.names, site_no)
            )
            claims = list(islice(found, CLAIMS_MAX))
        self._advance(
            lambda transaction, progress: replace(
                progress, claims_kept=put_claims(transaction, claims, kept_count=progress.claims_kept)
            )
        )

    def _name_refused(self) -> None:
        with self.store.read() as snapshot:
            keys = live_ring(snapshot, self.read_keys())
        name_refused(self.store, keys)

    def _runs(self) -> list[Path]:
        """Those of all chunks, no more and no less; what is lost is collected again."""
        with self.store.read() as snapshot:
            chunks = read_chunks(snapshot)
        for chunk in chunks:
            if not self._run_of(chunk).exists():
                event_log().warning("migration.run_lost", chunk=chunk.number)
                self.collect(chunk)
        return [self._run_of(chunk) for chunk in chunks]

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
            if chunk.number in progress.chunks_done:  # its run was lost and has been made again: it is counted
                return replace(progress, made_again=(*progress.made_again, chunk.number))
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
                claims_kept=put_claims(transaction, collection.claims, kept_count=progress.claims_kept),
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


def read_chunks(snapshot: Snapshot) -> list[Chunk]:
    value = snapshot.get(Database.META, CHUNKS_KEY)
    return [Chunk(**each) for each in orjson.loads(value)] if value is not None else []


def parts_for(rows_count: int) -> int:
    """A power of two, so that each has about PART_ROWS or, with very many rows, more."""
    parts = 1
    while parts < PARTITIONS and rows_count > parts * PART_ROWS:
        parts *= 2
    return parts


def table_sizes(snapshot: Snapshot, chunk: Chunk | None = None) -> list[tuple[int, int]]:
    """(site number, bytes of its table) in ascending order; of one chunk, or all."""
    found = []
    for key, size in snapshot.sizes(Database.LEGACY_TABLES, after=SITE_NO.pack(chunk.first - 1) if chunk else None):
        (site_no,) = SITE_NO.unpack(key)
        if chunk is not None and site_no > chunk.last:
            break
        found.append((site_no, size))
    return found


def chunk_bytes(deployments_per_s: float | None) -> int:
    """Of tables in a chunk, at the pace that the job begins with; a later one changes nothing."""
    if deployments_per_s is None:
        return CHUNK_TABLE_BYTES
    at_pace = int(deployments_per_s * CHUNK_S * FILTER_BYTES)
    return max(CHUNK_TABLE_BYTES_MIN, min(CHUNK_TABLE_BYTES, at_pace))


def plan_chunks(sizes: Sequence[tuple[int, int]], bytes_max: int = CHUNK_TABLE_BYTES) -> list[Chunk]:
    chunks: list[Chunk] = []
    gathered: list[int] = []
    gathered_bytes = 0
    for site_no, size in sizes:
        gathered.append(site_no)
        gathered_bytes += size
        if gathered_bytes >= bytes_max or len(gathered) >= CHUNK_SITES_MAX:
            chunks.append(Chunk(len(chunks), gathered[0], gathered[-1]))
            gathered, gathered_bytes = [], 0
    if gathered:
        chunks.append(Chunk(len(chunks), gathered[0], gathered[-1]))
    return chunks
