"""What is done to all of a workflow's instances, which may be very many: in the background, some at a time.

Instances are walked state by state, and again until none is left, since they change their state while we walk. The
walks end with the process: whoever asked can ask again, and what was done stays done.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

from workflows.desk import Desk
from workflows.errors import WorkflowError
from workflows.states import LIVE, Command, Status
from workflows.store.cursor import InstanceFilter
from workflows.store.reads import Reads
from workflows.store.records import WorkflowRecord
from workflows.store.removal import remove_workflow

AT_ONCE: Final = 100
PASSES_MAX: Final = 20
DELETE_WAIT_S: Final = 10.0
"""How long a caller waits for a deletion to be done; it goes on without."""


class Bulk:
    """One walk of each kind a workflow at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._walks: dict[tuple[str, Command], asyncio.Task[None]] = {}

    async def terminate(self, record: WorkflowRecord, status: Status | None) -> bool:
        """False where it is under way already."""
        if self._is_walking(record, Command.TERMINATE):
            return False
        states = [status] if status is not None else sorted(LIVE)
        self._begin(record, Command.TERMINATE, self._walk(record, Command.TERMINATE, states))
        return True

    async def delete(self, record: WorkflowRecord, *, keeps_workflow: bool) -> None:
        """Of few instances all are gone when this returns."""
        if not self._is_walking(record, Command.DELETE):
            self._begin(record, Command.DELETE, self._delete(record, keeps_workflow=keeps_workflow))
        await asyncio.wait([self._walks[record.id, Command.DELETE]], timeout=DELETE_WAIT_S)

    async def close(self) -> None:
        for walk in self._walks.values():
            walk.cancel()
        if self._walks:
            await asyncio.wait(self._walks.values())

    def _is_walking(self, record: WorkflowRecord, command: Command) -> bool:
        walk = self._walks.get((record.id, command))
        return walk is not None and not walk.done()

    def _begin(self, record: WorkflowRecord, command: Command, walk: Any) -> None:
        self._walks = {key: each for key, each in self._walks.items() if not each.done()}
        self._walks[record.id, command] = asyncio.create_task(walk, name=f"{command} all of {record.name}")

    async def _delete(self, record: WorkflowRecord, *, keeps_workflow: bool) -> None:
        client = await self._desk.client()
        for _ in range(PASSES_MAX):
            await self._walk(record, Command.DELETE, sorted(Status))
            if keeps_workflow or await client.writer.submit(lambda tx: remove_workflow(tx, record.id)):
                return

    async def _walk(self, record: WorkflowRecord, command: Command, states: Iterable[Status]) -> None:
        """Those that were created before it began."""
        client = await self._desk.client()
        started_on = self._desk.clock.now_ms()
        for _ in range(PASSES_MAX):
            found_count = 0
            for state in states:
                cursor = None
                while True:
                    ids, cursor = await self._ids(record, state, started_on, cursor)
                    found_count += len(ids)
                    done = await asyncio.gather(
                        *(client.command(record.id, each, {"do": command}) for each in ids), return_exceptions=True
                    )
                    raise_unforeseen(done)
                    if cursor is None:
                        break
            if found_count == 0:
                return

    async def _ids(
        self, record: WorkflowRecord, state: Status, started_on: int, cursor: str | None
    ) -> tuple[list[str], str | None]:
        which = InstanceFilter(status=state, to_ms=started_on)

        def ask(reads: Reads) -> tuple[list[str], str | None]:
            page = reads.instances(record.id, which, per_page=AT_ONCE, cursor=cursor)
            return [each.id for each in page.items], page.cursor

        return await self._desk.read(ask)


def raise_unforeseen(outcomes: Sequence[Any]) -> None:
    """An instance that has just ended or gone is what was wanted."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not (
            isinstance(outcome, WorkflowError) and outcome.code.startswith("instance.")
        ):
            raise outcome
