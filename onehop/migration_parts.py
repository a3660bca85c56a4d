"""The composition root of a migration: the store, the hash keys, the workflow engine, the collecting processes.

One job at a time works on a data folder. It holds `DATA/migration/lock`, which names it; who finds that held is told
which job it is. A job whose process ended, however, is gone on with by the next run: its id is in the store.
"""

import asyncio
import fcntl
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from migration.guard import Health
from migration.job import Migration, Work, migration_workflow
from migration.move import Chunk, Mover
from migration.pacing import Hours, Pacer
from migration.progress import Control, Progress, read_control, read_progress
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from onehop.opened_store import OpenedStore, opened
from onehop.processes import die_with_parent
from router.key_files import read_key_ring
from router.metrics.reading import Reading, read_metrics
from workflows import Timing, open_engine
from workflows.engine import Engine

LEASE_MS: Final = 3_000
"""One process works at a time, so its successor needn't wait long to know that it is gone."""
NICENESS: Final = 10


Collect = Callable[[Chunk], "asyncio.Future[int]"]


class JobUnderWay(CommandFailed):
    """Another process migrates this data folder."""


@dataclass(frozen=True, slots=True)
class MigrationOptions:
    """`sites` are numbers, None for all; `parallel` is how many processes collect."""

    sites: frozenset[int] | None = None
    hours: Hours | None = None
    parallel: int = 1
    is_guarded: bool = True


@contextmanager
def only_job(folder: DataFolder, job: str) -> Iterator[None]:
    """Raises JobUnderWay. The kernel lets go of the lock when the process ends."""
    folder.migration.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder.migration / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 200, 0).decode("ascii", "replace").strip()
            raise JobUnderWay(
                f"job {holder or 'unknown'} is under way; 'onehop migrate status' shows how far it is"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{job}\n".encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def unfinished_job(it: OpenedStore) -> Progress | None:
    with it.store.read() as snapshot:
        progress = read_progress(snapshot)
    return progress if progress is not None and not progress.state.is_end else None


@dataclass(slots=True)
class WatchedHealth:
    """How visitors have fared since the last look, by the edges' own counters."""

    folder: Path
    _seen: Reading | None = None

    def __call__(self) -> Health:
        now = read_metrics(self.folder)
        passed = now.since(self._seen) if self._seen is not None else now
        self._seen = now
        return Health(passed.requests_count, passed.errors_count, passed.request_seconds().quantile(0.99))


def mover_of(it: OpenedStore) -> Mover:
    return Mover(
        store=it.store,
        read_keys=lambda: read_key_ring(it.folder.route_keys),
        names=it.names,
        folder=it.folder.migration / "runs",
        now_s=time.time,
    )


def pacer_of(it: OpenedStore, options: MigrationOptions) -> Pacer:
    def control() -> Control:
        with it.store.read() as snapshot:
            return read_control(snapshot)

    return Pacer(
        control=control,
        health=WatchedHealth(it.folder.metrics) if options.is_guarded else None,
        monotonic_s=time.monotonic,
        local_now=lambda: datetime.now().astimezone(),
        hours=options.hours,
    )


def rotation_pacer(it: OpenedStore, *, rate: float | None, is_guarded: bool) -> Pacer:
    """The pace of a key rotation, which moves routes as a migration does: in batches, between which it can wait."""
    return Pacer(
        control=lambda: Control(deployments_per_s=rate),
        health=WatchedHealth(it.folder.metrics) if is_guarded else None,
        monotonic_s=time.monotonic,
        local_now=lambda: datetime.now().astimezone(),
    )


@asynccontextmanager
async def opened_job(it: OpenedStore, options: MigrationOptions) -> AsyncIterator[Engine]:
    """The engine that runs migrations of this folder, until the block ends."""
    mover, pacer = mover_of(it), pacer_of(it, options)
    with collecting_processes(it.folder, options) as collect:
        work = Work(mover=mover, pacer=pacer, collect=collect, parallel=options.parallel, sites=options.sites)
        timing = Timing(lease_ms=LEASE_MS, heartbeat_ms=LEASE_MS // 3)
        async with open_engine(it.folder.workflow_store, [migration_workflow(work)], timing=timing) as engine:
            yield engine


@contextmanager
def collecting_processes(folder: DataFolder, options: MigrationOptions) -> Iterator[Collect]:
    """Processes of their own, since hashing keeps an interpreter busy; begun anew rather than forked, since a store
    doesn't survive a fork."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        options.parallel, mp_context=context, initializer=die_with_parent, initargs=(os.getpid(),)
    ) as pool:

        def collect(chunk: Chunk) -> "asyncio.Future[int]":
            return asyncio.get_running_loop().run_in_executor(pool, collect_chunk, folder, chunk)

        yield collect


def collect_chunk(folder: DataFolder, chunk: Chunk) -> int:
    with opened(folder) as it:
        return mover_of(it).collect(chunk)


__all__ = ["JobUnderWay", "Migration", "MigrationOptions", "only_job", "opened_job", "unfinished_job"]
