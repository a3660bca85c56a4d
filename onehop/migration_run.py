"""Runs a migration job to its end, in this process, and tells how far it is."""

import asyncio
import os
import secrets
from pathlib import Path

from migration.job import WORKFLOW_NAME, Pieces
from migration.pacing import Pacer
from migration.progress import Progress, read_control, read_progress
from onehop.errors import CommandFailed
from onehop.job_watch import JobWatch
from onehop.migration_parts import (
    MigrationOptions,
    begin_control,
    need_one_key,
    opened_job,
    pacer_of,
    unfinished_job,
)
from onehop.opened_store import OpenedStore
from onehop.route_lock import job_name, moving_routes
from workflows import InstanceHandle, InstanceNotFound, NonRetryableError, StepError, WorkflowError
from workflows.engine import Engine

LOOK_S = 0.2
FREE_BYTES_MIN = 64 * 1024
JOB_ID_BYTES = 4


class NoRoom(CommandFailed):
    """The disk is full. The job has not ended."""


class MigrationEnded(CommandFailed):
    """The job has ended without having come to its end."""


def run_job(it: OpenedStore, options: MigrationOptions, watch: JobWatch) -> Progress:
    """A new job, or the rest of one that was cut short. Raises RoutesBusy, RotationHalfDone, MigrationEnded."""
    with moving_routes(it.folder) as tell_name:
        need_one_key(it)
        unfinished = unfinished_job(it)
        job = unfinished.job if unfinished is not None else secrets.token_hex(JOB_ID_BYTES)
        tell_name(job_name(job))
        begin_control(it, options, is_resumed=unfinished is not None)
        if unfinished is not None:
            watch.goes_on(unfinished)
        return asyncio.run(run_to_the_end(it, options, job, watch))


async def run_to_the_end(it: OpenedStore, options: MigrationOptions, job: str, watch: JobWatch) -> Progress:
    pacer, pieces = pacer_of(it, options), Pieces()
    async with opened_job(it, options, pacer, pieces) as engine:
        handle = await instance_of(engine, job)
        ended = asyncio.create_task(handle.result())
        while not ended.done():
            look_at(it, job, watch, pacer)
            if pieces.lack_of_room or free_bytes(it.folder.root) < FREE_BYTES_MIN:
                raise NoRoom(
                    f"job {job} can't go on: {it.folder.root}: {pieces.lack_of_room or 'the disk is full'}; free some "
                    "space, then 'onehop migrate run' goes on where it stopped"
                )
            await asyncio.wait({ended}, timeout=LOOK_S)
    progress = look_at(it, job, watch, pacer)
    error = ended.exception()
    if isinstance(error, NonRetryableError | StepError | WorkflowError):
        reason = progress.reason if progress is not None and progress.reason else str(error)
        raise MigrationEnded(f"job {job} has ended: {reason}; what it did stays, 'onehop migrate run' does the rest")
    if error is not None:
        raise error
    assert progress is not None, "a job that has ended well has begun"
    return progress


def look_at(it: OpenedStore, job: str, watch: JobWatch, pacer: Pacer) -> Progress | None:
    """The job's progress, once it has some."""
    with it.store.read() as snapshot:
        progress, control = read_progress(snapshot), read_control(snapshot)
    if progress is None or progress.job != job:
        return None
    watch.look(progress, control, pacer)
    return progress


def free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


async def instance_of(engine: Engine, job: str) -> InstanceHandle:
    """The job's instance, made if it isn't there. What was begun before a crash is resumed by the engine itself."""
    try:
        return await engine.get(WORKFLOW_NAME, job)
    except InstanceNotFound:
        return await engine.create(WORKFLOW_NAME, id=job)
