"""A migration as a workflow: which piece of work comes when, which of them were done before a crash, what it came to.

    begin ─▶ plan ─▶ collect 0 … n, some at a time ─▶ write 0 … m ─▶ revisit ─▶ end

Each piece is a step, so that an instance taken up again after a kill goes on with the piece that was cut short; and
each piece knows from the store how far it had come.
"""

import asyncio
import errno
import os
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

from migration.move import Chunk, KeysChanged, Mover
from migration.pacing import Pacer, Stopped
from migration.progress import PHASES, State
from router.kv.errors import StoreFull
from workflows import NonRetryableError, Workflow, WorkflowEvent, WorkflowStep
from workflows.step_config import StepOptions

Result = TypeVar("Result")

WORKFLOW_NAME: Final = "onehop-migration"
STEP: Final[StepOptions] = {
    "retries": {"limit": 3, "delay": "2 seconds", "backoff": "exponential"},
    "timeout": "30 days",
}
"""A piece takes as long as its pace wants; what can pass by itself gets a few more tries."""
REVISITS_A_STEP: Final = 500


@dataclass(frozen=True, slots=True)
class Work:
    """What the workflow drives. `collect` does a chunk wherever it likes, and tells how many filters it read;
    `parallel` of them run at once. `sites` are those that a job that begins is for, None: all. `pieces` are those of
    its own threads."""

    mover: Mover
    pacer: Pacer
    collect: Callable[[Chunk], Awaitable[int]]
    parallel: int
    sites: frozenset[int] | None
    pieces: "Pieces" = field(default_factory=lambda: Pieces())


class Pieces:
    """Counts the pieces that run in threads: a thread whose step was given up goes on to its end all the same, and the
    store must not be closed under it."""

    def __init__(self) -> None:
        self.lack_of_room = ""
        self._running_count = 0
        self._changed = threading.Condition()

    def callback(self, work: Callable[..., Result], *arguments: object, **named: object) -> Callable[[], Result]:
        """A step's callback whose refusals aren't tried again: they are the operator's to lift."""

        def run() -> Result:
            with self._changed:
                self._running_count += 1
            try:
                return work(*arguments, **named)
            except (Stopped, KeysChanged) as error:
                raise NonRetryableError(str(error)) from error
            except (OSError, StoreFull) as error:
                self.note_lack_of_room(error)
                raise
            finally:
                with self._changed:
                    self._running_count -= 1
                    self._changed.notify_all()

        return run

    def note_lack_of_room(self, error: OSError | StoreFull) -> None:
        """For whoever runs the job: trying again finds no more room, and the workflow's own store has none either."""
        if isinstance(error, StoreFull) or error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.lack_of_room = str(error) if isinstance(error, StoreFull) else os.strerror(error.errno or 0)

    def wait(self, seconds: float) -> bool:
        """Whether they have all ended by then."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running_count == 0, seconds)


class Migration(Workflow):
    """Subclassed with its work by `migration_workflow`. The payload is empty; the id is the job's."""

    name = WORKFLOW_NAME
    max_running = 1
    work: ClassVar[Work]

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> dict[str, Any]:
        mover, pacer, piece = self.work.mover, self.work.pacer, self.work.pieces.callback
        await step.do("begin", STEP, piece(begin, mover, event.instance_id, self.work.sites))
        try:
            await asyncio.to_thread(pacer.begin)
            chunks = [Chunk(**each) for each in await step.do("plan", STEP, piece(planned, mover))]
            await self._collect(step, chunks)
            for part in range(await step.do("begin writing", STEP, piece(mover.begin_writing))):
                await step.do(f"write {part}", STEP, piece(mover.write, part, pacer))
            changed: list[int] = await step.do("changed sites", STEP, piece(mover.changed_sites))
            for at in range(0, len(changed), REVISITS_A_STEP):
                await step.do(f"revisit {at}", STEP, piece(self._revisit, changed[at : at + REVISITS_A_STEP]))
            return await step.do("end", STEP, piece(ended, mover, State.COMPLETE))
        except Exception as error:
            reason = str(error)
            await step.do("give up", STEP, piece(ended, mover, State.FAILED, reason))
            raise

    async def _collect(self, step: WorkflowStep, chunks: list[Chunk]) -> None:
        room = asyncio.Semaphore(self.work.parallel)

        async def collect(chunk: Chunk) -> None:
            async with room:
                callback: Callable[[], Any] = partial(self._collect_one, chunk)
                await step.do(f"collect {chunk.number}", STEP, callback)

        try:
            async with asyncio.TaskGroup() as group:
                for chunk in chunks:
                    group.create_task(collect(chunk))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None  # the first says why; the others were cut short by it

    async def _collect_one(self, chunk: Chunk) -> int:
        """Its filters count towards the pace as those do that are written: each of the two phases is half the work."""
        try:
            filters_count = await self.work.collect(chunk)
        except KeysChanged as error:
            raise NonRetryableError(str(error)) from error
        except (OSError, StoreFull) as error:
            self.work.pieces.note_lack_of_room(error)
            raise
        wait = self.work.pieces.callback(self.work.pacer.after_batch, rows_count=filters_count / PHASES, bytes_count=0)
        await asyncio.to_thread(wait)
        return filters_count

    def _revisit(self, site_nos: list[int]) -> None:
        for site_no in site_nos:
            self.work.mover.revisit(site_no, self.work.pacer)


def begin(mover: Mover, job: str, sites: frozenset[int] | None) -> None:
    mover.begin(job, sites)


def planned(mover: Mover) -> list[dict[str, Any]]:
    return [asdict(chunk) for chunk in mover.plan()]


def ended(mover: Mover, state: State, reason: str = "") -> dict[str, Any]:
    return asdict(mover.end(state, reason))


def migration_workflow(work: Work) -> type[Migration]:
    return type(Migration.__name__, (Migration,), {"work": work, "__module__": Migration.__module__})
