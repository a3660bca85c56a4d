"""Processes for one bundle at a time, in which suspects run until it is clear whether they are to blame.

A few of them, each made when it is needed and ended when nobody needed it for a while. A suspect that finds none free
waits its turn, for a bounded time.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from functions.errors import FunctionUnavailable, WorkerdUnusable
from functions.probation import Probation
from functions.workerd_process import WorkerdProcess

CELLS_MAX: Final = 4
WAIT_S: Final = 5.0
IDLE_S: Final = 30.0
KEPT_S: Final = 1.0
"""How long a cell stays its bundle's after its last request, as long as the bundle needs one."""


@dataclass(slots=True)
class Cell:
    """`used_s`: when a request of its bundle was last let in."""

    bundle: str
    process: WorkerdProcess
    used_s: float


class Cells:
    def __init__(
        self,
        start: Callable[[], Coroutine[Any, Any, WorkerdProcess]],
        probation: Probation,
        now_s: Callable[[], float],
    ) -> None:
        self._start = start
        self._probation = probation
        self._now_s = now_s
        self._cells: list[Cell] = []
        self._starting: dict[str, asyncio.Task[WorkerdProcess]] = {}
        self._freed = asyncio.Event()

    async def process_for(self, bundle: str) -> WorkerdProcess:
        """Raises FunctionUnavailable."""
        deadline_s = self._now_s() + WAIT_S
        while True:
            cell = self._cell_of(bundle) or self._free_cell()
            if cell is not None:
                cell.bundle, cell.used_s = bundle, self._now_s()
                return cell.process
            if bundle in self._starting or len(self._cells) + len(self._starting) < CELLS_MAX:
                return await self._new_cell(bundle)
            self._freed.clear()
            try:
                await asyncio.wait_for(self._freed.wait(), deadline_s - self._now_s())
            except TimeoutError:
                raise FunctionUnavailable(
                    503, "This function is under watch, and waits for its turn.", retry_after_s=2
                ) from None

    def bundle_in(self, process: WorkerdProcess) -> str | None:
        """Whose cell the process is; None when it is no cell."""
        return next((cell.bundle for cell in self._cells if cell.process is process), None)

    def note_idle(self) -> None:
        """A request has ended somewhere: those that wait look again."""
        self._freed.set()

    def forget(self, process: WorkerdProcess) -> None:
        """It has ended."""
        self._cells = [cell for cell in self._cells if cell.process is not process]
        self._freed.set()

    def end_idle(self) -> None:
        now_s = self._now_s()
        for cell in self._cells:
            if cell.process.is_idle and now_s - cell.used_s > IDLE_S:
                cell.process.is_draining = True
                cell.process.kill()

    def close(self) -> None:
        for task in self._starting.values():
            task.cancel()

    def _cell_of(self, bundle: str) -> Cell | None:
        return next((cell for cell in self._cells if cell.bundle == bundle and not cell.process.has_ended), None)

    def _free_cell(self) -> Cell | None:
        """One that nothing is under way in, and whose bundle needs it no more."""
        now_s = self._now_s()
        for cell in self._cells:
            is_kept = now_s - cell.used_s < KEPT_S and self._probation.needs_cell(cell.bundle, now_s)
            if cell.process.is_idle and not cell.process.has_ended and not is_kept:
                return cell
        return None

    async def _new_cell(self, bundle: str) -> WorkerdProcess:
        starting = self._starting.get(bundle)
        if starting is None:
            starting = self._starting[bundle] = asyncio.create_task(self._start_cell(bundle))
        try:
            return await asyncio.shield(starting)
        except WorkerdUnusable as error:
            raise FunctionUnavailable(503, str(error), retry_after_s=5) from None

    async def _start_cell(self, bundle: str) -> WorkerdProcess:
        try:
            process = await self._start()
            self._cells.append(Cell(bundle, process, self._now_s()))
            return process
        finally:
            del self._starting[bundle]
