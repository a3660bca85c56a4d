"""Runs a migration job to its end, in this process, and tells how far it is."""

import asyncio
import dataclasses
import secrets
import time
from collections.abc import Callable

from migration.job import WORKFLOW_NAME
from migration.move import PHASES
from migration.progress import Progress, State, read_progress
from migration.samples import Sample, SampleLog
from onehop.data_folder import DataFolder
from onehop.errors import CommandFailed
from onehop.migration_parts import (
    MigrationOptions,
    WatchedHealth,
    begin_control,
    need_one_key,
    opened_job,
    unfinished_job,
)
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from onehop.route_lock import job_name, moving_routes
from workflows import InstanceHandle, InstanceNotFound, NonRetryableError, StepError, WorkflowError
from workflows.engine import Engine

LOOK_S = 0.2
JOB_ID_BYTES = 4


class MigrationEnded(CommandFailed):
    """The job has ended without having come to its end."""


class JobWatch:
    """Feeds a progress bar, and the log that the report is made from, with what the store and the edges say."""

    def __init__(self, folder: DataFolder, watcher: Watcher) -> None:
        self._watcher = watcher
        self._health = WatchedHealth(folder.metrics)
        self._log = SampleLog(folder.samples)
        self._stage: State | None = None
        self._guard = ""
        self._shown = 0

    def look(self, progress: Progress) -> None:
        self._show(progress)
        now_s = time.time()
        has_changed = progress.guard != self._guard
        if not has_changed and not self._log.is_due(now_s):
            return
        self._guard = progress.guard
        health = self._health()
        sample = Sample(
            job=progress.job, at_s=now_s, stage=progress.state.value,
            done=(progress.collected + progress.done) // PHASES, total=progress.total,
            requests=health.requests_count, errors=health.errors_count,
            p99_ms=health.p99_s * 1e3 if health.p99_s is not None else None,
        )  # fmt: skip
        self._log.add(sample)
        if has_changed:
            self._log.add(dataclasses.replace(sample, event=f"guard: {progress.guard}"))

    def _show(self, progress: Progress) -> None:
        if progress.state is not self._stage:
            self._stage, self._shown = progress.state, 0
            self._watcher.begin(progress.state.value, progress.total or None)
        count = progress.collected if progress.state is State.COLLECTING else progress.done
        self._watcher.advance(max(0, count - self._shown))
        self._shown = max(count, self._shown)


def run_job(it: OpenedStore, options: MigrationOptions, on_look: Callable[[Progress], None]) -> Progress:
    """A new job, or the rest of one that was cut short. Raises RoutesBusy, RotationHalfDone, MigrationEnded."""
    with moving_routes(it.folder) as tell_name:
        need_one_key(it)
        unfinished = unfinished_job(it)
        job = unfinished.job if unfinished is not None else secrets.token_hex(JOB_ID_BYTES)
        tell_name(job_name(job))
        begin_control(it, options, is_resumed=unfinished is not None)
        return asyncio.run(run_to_the_end(it, options, job, on_look))


async def run_to_the_end(
    it: OpenedStore, options: MigrationOptions, job: str, on_look: Callable[[Progress], None]
) -> Progress:
    async with opened_job(it, options) as engine:
        handle = await instance_of(engine, job)
        ended = asyncio.create_task(handle.result())
        while not ended.done():
            await asyncio.wait({ended}, timeout=LOOK_S)
            progress = last_progress(it, job)
            if progress is not None:
                on_look(progress)
    progress = last_progress(it, job)
    error = ended.exception()
    if isinstance(error, NonRetryableError | StepError | WorkflowError):
        reason = progress.reason if progress is not None and progress.reason else str(error)
        raise MigrationEnded(f"job {job} has ended: {reason}; what it did stays, 'onehop migrate run' does the rest")
    if error is not None:
        raise error
    assert progress is not None, "a job that has ended well has begun"
    return progress


async def instance_of(engine: Engine, job: str) -> InstanceHandle:
    """The job's instance, made if it isn't there. What was begun before a crash is resumed by the engine itself."""
    try:
        return await engine.get(WORKFLOW_NAME, job)
    except InstanceNotFound:
        return await engine.create(WORKFLOW_NAME, id=job)


def last_progress(it: OpenedStore, job: str) -> Progress | None:
    with it.store.read() as snapshot:
        progress = read_progress(snapshot)
    return progress if progress is not None and progress.job == job else None
