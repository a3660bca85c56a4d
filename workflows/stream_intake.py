"""Takes in the stream that a callback returned, within the attempt and its time: each chunk is committed before the
next is asked for, so a stream holds no more in memory than a piece of it."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from workflows.callbacks import FORKED_EXIT_CODE, Returned, in_this_process
from workflows.errors import LifetimeEnded, WorkflowFatalError
from workflows.serialisation import StreamMark
from workflows.store.chunks import add_chunk, open_stream
from workflows.store.records import StepRecord
from workflows.streams import (
    ChunkCutter,
    StreamRefused,
    check_unused,
    is_async_stream,
    is_sync_stream,
    piece_bytes,
    pieces_of,
)

if TYPE_CHECKING:
    from workflows.lifetime import Lifetime

CHUNKS_A_SYNC: Final = 16  # 4 MiB: what a commit has to bring to the disk beside itself, at most
COMMON: Final = frozenset({type(None), bool, int, float, str, bytes, dict, list, tuple})  # none of them is a stream
END: Final = object()


async def take_in(lifetime: "Lifetime", step: StepRecord, call: Coroutine[Any, Any, Returned[Any]]) -> Returned[Any]:
    """What `call` returned; in place of a stream, the mark of the stored one. Raises StreamRefused."""
    returned = await call
    stream = returned.value
    if type(stream) in COMMON:
        return returned
    intake = Intake(lifetime, step)
    if is_async_stream(stream):
        took = await intake.fill(lambda: _take_async(intake, stream))
    elif is_sync_stream(stream):
        taking = partial(_take_sync, intake, stream, asyncio.get_running_loop(), os.getpid())
        took = await intake.fill(lambda: lifetime.threads.run(taking))
    else:
        return returned
    return Returned(intake.mark, returned.cpu_ms + took.cpu_ms)


class Intake:
    """One attempt's stream on its way into the store. `mark` is set once it is there."""

    def __init__(self, lifetime: "Lifetime", step: StepRecord) -> None:
        self.mark: StreamMark | None = None
        self._life = lifetime
        self._step = step
        self._cutter = ChunkCutter()
        self._stream_id = 0
        self._count = 0
        self._size = 0
        self._is_over = False

    async def fill(self, take: Callable[[], Awaitable[Returned[None]]]) -> Returned[None]:
        """`take` puts every piece."""
        try:
            self._stream_id = await self._life.commit(open_stream(self._life.instance, self._step), synced=False)
            took = await take()
            if rest := self._cutter.rest():
                await self._store(rest)
        except BaseException:
            self._life.state_bytes -= self._size
            raise
        finally:
            self._is_over = True
        self.mark = StreamMark(self._stream_id, self._count, self._size)
        return took

    async def put(self, piece: object) -> None:
        """Raises StreamRefused; LifetimeEnded once the attempt is over."""
        for chunk in self._cutter.cut(piece_bytes(piece)):
            await self._store(chunk)

    async def _store(self, chunk: bytes) -> None:
        async with self._life.chunk_room:
            if self._is_over:
                raise LifetimeEnded
            self._size += len(chunk)
            try:
                self._life.check_state_size(len(chunk))
            except WorkflowFatalError as problem:
                raise StreamRefused(str(problem)) from problem
            is_synced = self._count % CHUNKS_A_SYNC == CHUNKS_A_SYNC - 1
            await self._life.commit(add_chunk(self._stream_id, self._count, chunk), synced=is_synced)
            self._count += 1


async def _take_async(intake: Intake, stream: Any) -> Returned[None]:
    check_unused(stream)
    began = time.thread_time()
    pieces = aiter(stream)
    try:
        while (piece := await in_this_process(_next(pieces))) is not END:
            await intake.put(piece)
    finally:
        if callable(close := getattr(pieces, "aclose", None)):
            with contextlib.suppress(Exception):
                await in_this_process(_close(close()))
    return Returned(None, round((time.thread_time() - began) * 1000))


async def _next(pieces: AsyncIterator[Any]) -> Any:
    return await anext(pieces, END)


async def _close(closing: Any) -> None:
    await closing


def _take_sync(intake: Intake, stream: Any, loop: asyncio.AbstractEventLoop, pid: int) -> None:
    """In one thread from its first piece to its last: the author's code may hold what belongs to a thread."""
    try:
        check_unused(stream)
        for piece in pieces_of(stream):
            if os.getpid() != pid:
                os._exit(FORKED_EXIT_CODE)
            asyncio.run_coroutine_threadsafe(intake.put(piece), loop).result()
    finally:
        if callable(close := getattr(stream, "close", None)):
            with contextlib.suppress(Exception):
                close()
