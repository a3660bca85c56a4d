"""What counts as a byte stream that a callback may return, and how its pieces become chunks. Pure.

async iterable of bytes-like        an async generator, an HTTP client's body, a StoredStream
iterator of bytes-like              a generator, `map`; not a list of bytes, which is a value
anything with `read`                a file opened in binary mode: read from its start, closed at the end
"""

import inspect
import opcode
from collections.abc import AsyncIterable, Callable, Iterator, Mapping
from dataclasses import is_dataclass
from io import TextIOBase
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final, Protocol

from workflows.serialisation import Unserialisable

CHUNK_BYTES: Final = 256 << 10
PIECE_BYTES_MAX: Final = 16 << 20
Piece = bytes | bytearray | memoryview
FRESH: Final = "; return a fresh one"


class StreamRefused(Unserialisable):
    """The stream can't be a step's result, whatever is tried again."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


ByteStream = AsyncIterable[bytes] | Iterator[bytes] | Readable


def is_async_stream(value: object) -> bool:
    return isinstance(value, AsyncIterable) and not _is_data(value)


def is_sync_stream(value: object) -> bool:
    """Also for iterators of what are no bytes: the first piece shows it."""
    if _is_data(value) or isinstance(value, TextIOBase):
        return False
    return isinstance(value, Iterator) or callable(getattr(value, "read", None))


def _is_data(value: object) -> bool:
    """What has a stored form stays a value, whatever else it can do."""
    return isinstance(value, (str, bytes, bytearray, memoryview, Mapping, type)) or is_dataclass(value)


def check_unused(stream: Any) -> None:
    """Raises StreamRefused for one that is closed, running elsewhere, or read in part."""
    if isinstance(stream, GeneratorType):
        if inspect.getgeneratorstate(stream) != inspect.GEN_CREATED:
            raise StreamRefused(f"a generator that was already begun can't be stored{FRESH}")
    elif isinstance(stream, AsyncGeneratorType):
        if _is_begun(stream):
            raise StreamRefused(f"an async generator that was already begun can't be stored{FRESH}")
    elif callable(getattr(stream, "read", None)):
        _check_unread(stream)


def _is_begun(stream: AsyncGeneratorType[Any, Any]) -> bool:
    frame = stream.ag_frame
    if frame is None or stream.ag_running:
        return True
    return frame.f_code.co_code[frame.f_lasti] != opcode.opmap["RETURN_GENERATOR"]


def _check_unread(file: Any) -> None:
    if getattr(file, "closed", False):
        raise StreamRefused(f"a closed file can't be stored{FRESH}")
    try:
        is_read = file.readable()
        position = file.tell() if is_read and file.seekable() else 0
    except (AttributeError, OSError):  # no file of the io module: the first read tells
        return
    if not is_read:
        raise StreamRefused("a file that was not opened for reading can't be stored")
    if position != 0:
        raise StreamRefused(f"a file read or written up to byte {position} can't be stored; seek(0) first")


def pieces_of(stream: Any) -> Iterator[Any]:
    """Of a stream that is not async. Blocks as the author's code does."""
    if isinstance(stream, Iterator) and not callable(getattr(stream, "read", None)):
        return stream
    read: Callable[[int], Any] = stream.read
    return iter(lambda: read(CHUNK_BYTES) or None, None)


def piece_bytes(piece: object) -> memoryview:
    """Raises StreamRefused for what are no bytes, and for too many at once."""
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        raise StreamRefused(f"a stream of {type(piece).__name__} can't be stored; its pieces are bytes-like")
    view = memoryview(piece)
    if view.nbytes > PIECE_BYTES_MAX:
        raise StreamRefused(f"a stream with a piece of {view.nbytes} bytes can't be stored, limit {PIECE_BYTES_MAX}")
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())


class ChunkCutter:
    """Pieces of any size in, chunks of CHUNK_BYTES out; the last may be smaller."""

    def __init__(self) -> None:
        self._held = bytearray()

    def cut(self, piece: memoryview) -> Iterator[bytes]:
        """To be iterated to its end before the next call."""
        position = 0
        while len(self._held) + len(piece) - position >= CHUNK_BYTES:
            taken = CHUNK_BYTES - len(self._held)
            yield bytes(self._held) + bytes(piece[position : position + taken])
            self._held.clear()
            position += taken
        self._held += piece[position:]

    def rest(self) -> bytes:
        return bytes(self._held)
