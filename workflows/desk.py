"""A store as a server uses it that runs no workflow itself: commands over one client, reads in a few threads.

It is opened when it is first asked for something, and not at all where nobody does. A store that can't be opened is
tried again at the next request. In a file in which somebody met damage nothing is written or read any more, until
another one lies in its place: once its operator has mended it, no restart is needed.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeVar

from workflows.client import Client, open_client
from workflows.clock import Clock, SystemClock
from workflows.errors import StoreError
from workflows.limits import Limits
from workflows.store.reads import Reads

Result = TypeVar("Result")

READ_THREADS: Final = 4


class Desk:
    """Belongs to one event loop. `close` ends what it opened."""

    def __init__(self, path: Path, *, clock: Clock | None = None, limits: Limits | None = None) -> None:
        self.path = path
        self.clock = clock or SystemClock()
        self._limits = limits
        self._opening = asyncio.Lock()
        self._opened = AsyncExitStack()
        self._client: Client | None = None
        self._damage: StoreError | None = None
        self._damaged_file: tuple[int, int, int] | None = None
        self._age = 0
        self._threads = ThreadPoolExecutor(READ_THREADS, "workflow-reads")
        self._own = threading.local()
        self._all_reads: list[Reads] = []

    async def client(self) -> Client:
        """Raises StoreError."""
        if self._damage is not None:
            await self._start_anew(self._damage)
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    self._client = await self._opened.enter_async_context(
                        open_client(self.path, clock=self.clock, limits=self._limits)
                    )
        return self._client

    async def read(self, question: Callable[[Reads], Result]) -> Result:
        """Asks in a thread. Raises StoreError, and whatever `question` raises."""
        await self.client()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, question)

    def note(self, problem: Exception) -> None:
        """Whoever meets an error of the store tells it here."""
        if self._client is None or not isinstance(problem, StoreError) or problem.code != "store.damaged":
            return
        if self._damage is None:
            self._damage, self._damaged_file = problem, self._file()
        self._client.writer.refuse(problem)

    async def _start_anew(self, damage: StoreError) -> None:
        """Raises `damage` while the same file is there, or none: what would be made in its place is empty."""
        if self._file() in (None, self._damaged_file):
            raise damage
        async with self._opening:
            if self._damage is damage:
                self._damage, self._client = None, None
                self._age += 1
                await self._opened.aclose()

    def _file(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    async def close(self) -> None:
        self._threads.shutdown()
        for reads in self._all_reads:
            reads.close()
        self._client = None
        await self._opened.aclose()

    def _ask(self, question: Callable[[Reads], Result]) -> Result:
        reads: Reads | None = getattr(self._own, "reads", None)
        if reads is not None and self._own.age != self._age:
            self._forget(reads)
            reads = None
        if reads is None:
            reads = Reads(self.path)
            self._own.reads, self._own.age = reads, self._age
            self._all_reads.append(reads)
        try:
            return question(reads)
        except StoreError as problem:
            self._forget(reads)  # a file that was put in its place is another file
            self.note(problem)
            raise

    def _forget(self, reads: Reads) -> None:
        self._own.reads = None
        self._all_reads.remove(reads)
        reads.close()
