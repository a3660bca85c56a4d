"""The composition root of a migration: the store, the hash keys, the workflow engine, the collecting processes.

One job at a time works on a data folder (route_lock.py). A job whose process has ended, however, is gone on with by the
next run: its id is in the store.
"""

import asyncio
import dataclasses
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from migration.guard import Health
from migration.job import Pieces, Work, migration_workflow
from migration.move import Chunk, Mover
from migration.pacing import Hours, Pacer
from migration.progress import Control, Progress, put_control, read_control, read_progress
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from onehop.opened_store import OpenedStore, opened
from onehop.processes import die_with_parent
from onehop.steady_clock import SteadyClock
from router.hashed import live_ring
from router.key_files import read_key_ring
from router.metrics.reading import Reading, read_metrics
from workflows import Timing, open_engine
from workflows.engine import Engine

ENDING_S: Final = 10.0
LEASE_MS: Final = 3_000
"""One process works at a time, so its successor needn't wait long to know that it is gone."""
NICENESS: Final = 10


Collect = Callable[[Chunk], "asyncio.Future[int]"]


class RotationHalfDone(CommandFailed):
    """Routes are being moved to a new hash key: a job would write some of them under the old one."""


@dataclass(frozen=True, slots=True)
class MigrationOptions:
    """`sites` are numbers, None for all; `parallel` is how many processes collect. `rate` and `bytes_rate` are a
    second, None for no bound, or for the bound that there was where the job `keeps_pace`."""

    sites: frozenset[int] | None = None
    hours: Hours | None = None
    parallel: int = 1
    is_guarded: bool = True
    rate: float | None = None
    bytes_rate: float | None = None
    keeps_pace: bool = False


def unfinished_job(it: OpenedStore) -> Progress | None:
    with it.store.read() as snapshot:
        progress = read_progress(snapshot)
    return progress if progress is not None and not progress.state.is_end else None


def is_rotating(it: OpenedStore) -> bool:
    """Whether a key rotation has begun and not ended, by the live keys as they are now."""
    with it.store.read() as snapshot:
        return live_ring(snapshot, read_key_ring(it.folder.route_keys)).previous is not None


def need_one_key(it: OpenedStore) -> None:
    """Raises RotationHalfDone."""
    if is_rotating(it):
        raise RotationHalfDone("a hash key is being replaced; finish that with 'onehop keys rotate', then migrate")


def set_control(it: OpenedStore, **members: Any) -> Control:
    with it.store.write() as transaction:
        control = dataclasses.replace(read_control(transaction), **members)
        put_control(transaction, control)
    return control


def begin_control(it: OpenedStore, options: MigrationOptions, *, is_resumed: bool) -> None:
    """What the operator wants of a job that begins, or goes on: a job cut short keeps the pace that was set for it."""
    pace = {"deployments_per_s": options.rate, "bytes_per_s": options.bytes_rate}
    if is_resumed or options.keeps_pace:
        pace = {name: value for name, value in pace.items() if value is not None}
    set_control(it, is_paused=False, pause_reason="", **pace)


def health_of(passed: Reading) -> Health:
    """How visitors fared, by what the edges counted over a stretch of time."""
    return Health(passed.requests_count, passed.errors_count, passed.request_seconds().quantile(0.99))


@dataclass(slots=True)
class WatchedHealth:
    """How visitors have fared since the last look, by the edges' own counters."""

    folder: Path
    _seen: Reading | None = None

    def __call__(self) -> Health:
        now = read_metrics(self.folder)
        passed = now.since(self._seen) if self._seen is not None else now
        self._seen = now
        return health_of(passed)


def mover_of(it: OpenedStore) -> Mover:
    return Mover(
        store=it.store,
        read_keys=lambda: read_key_ring(it.folder.route_keys),
        names=it.names,
        folder=it.folder.migration / "runs",
        now_s=SteadyClock().now_s,
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
async def opened_job(it: OpenedStore, options: MigrationOptions, pacer: Pacer, pieces: Pieces) -> AsyncIterator[Engine]:
    """The engine that runs migrations of this folder, until the block ends; then no piece of work runs any more.

    Interrupted, pieces that run are neither waited for nor failed: the engine lets go of them first, so that the next
    run takes them up again, and then they are asked to end.
    """
    mover = mover_of(it)
    try:
        with collecting_processes(it.folder, options) as collect:
            work = Work(mover, pacer, collect, options.parallel, options.sites, pieces)
            timing = Timing(lease_ms=LEASE_MS, heartbeat_ms=LEASE_MS // 3, drain_ms=0)
            try:
                async with open_engine(it.folder.workflow_store, [migration_workflow(work)], timing=timing) as engine:
                    yield engine
            finally:
                pacer.stop.set()
    finally:
        pieces.wait(ENDING_S)


@contextmanager
def collecting_processes(folder: DataFolder, options: MigrationOptions) -> Iterator[Collect]:
    """Processes of their own, since hashing keeps an interpreter busy; begun anew rather than forked, since a store
    doesn't survive a fork."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        options.parallel, mp_context=context, initializer=begin_collecting, initargs=(os.getpid(),)
    ) as pool:

        def collect(chunk: Chunk) -> "asyncio.Future[int]":
            return asyncio.get_running_loop().run_in_executor(pool, collect_chunk, folder, chunk)

        yield collect


def begin_collecting(parent: int) -> None:
    """Ctrl-C is the parent's to see, who ends its children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(parent)


def collect_chunk(folder: DataFolder, chunk: Chunk) -> int:
    with opened(folder) as it:
        return mover_of(it).collect(chunk)
