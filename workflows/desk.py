"""A store as a server uses it that runs no workflow itself: commands over one client, reads in a few threads.

It is opened when it is first asked for something, and not at all where nobody does. A store that can't be opened, or
was damaged, is tried again at the next request: once its operator has mended it, no restart is needed.
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
        self._threads = ThreadPoolExecutor(READ_THREADS, "workflow-reads")
        self._own = threading.local()
        self._all_reads: list[Reads] = []

    async def client(self) -> Client:
        """Raises StoreError."""
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

    async def close(self) -> None:
        self._threads.shutdown()
        for reads in self._all_reads:
            reads.close()
        self._client = None
        await self._opened.aclose()

    def _ask(self, question: Callable[[Reads], Result]) -> Result:
        reads: Reads | None = getattr(self._own, "reads", None)
        if reads is None:
            reads = Reads(self.path)
            self._own.reads = reads
            self._all_reads.append(reads)
        try:
            return question(reads)
        except StoreError:
            self._own.reads = None  # a file that was put in its place is another file
            self._all_reads.remove(reads)
            reads.close()
            raise
