"""What a step that returned a stream gives: a way to read it, as often as wanted, from the store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from workflows.serialisation import StreamMark, deserialise
from workflows.store.chunks import ChunkReader


class StoredStream:
    """A step's streamed result. Each iteration is a reader of its own, from the start, in chunks of up to 256 KiB.

        async for chunk in stream: ...        data = await stream.read()
        for chunk in stream: ...              the same in a plain `run` or callback, on its thread

    `size` is in bytes. Reading raises WorkflowError("stream.gone") once the instance was restarted or deleted.
    """

    def __init__(self, path: Path, mark: StreamMark) -> None:
        self._path = path
        self._mark = mark
        self.size = mark.size

    def __repr__(self) -> str:
        return f"<StoredStream of {self.size} bytes>"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reader = await asyncio.to_thread(ChunkReader, self._path, self._mark.stream_id)
        try:
            for index in range(self._mark.chunks_count):
                yield await asyncio.to_thread(reader.chunk, index)
        finally:
            reader.close()

    def __iter__(self) -> Iterator[bytes]:
        reader = ChunkReader(self._path, self._mark.stream_id)
        try:
            for index in range(self._mark.chunks_count):
                yield reader.chunk(index)
        finally:
            reader.close()

    async def read(self) -> bytes:
        """The whole: up to the instance's limit, 1 GiB by default."""
        return b"".join([chunk async for chunk in self])


def result_value(path: Path, result: bytes) -> Any:
    """A stored result as its author sees it."""
    value = deserialise(result)
    return StoredStream(path, value) if isinstance(value, StreamMark) else value
