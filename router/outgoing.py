"""A connection's way out: bytes in order, long bodies from their files, how much is unsent, and its abrupt end."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Final

from asset_server.mapped_file import file_of
from router.file_sending import FileSender

RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)  # socket(7), struct linger: on, for no time
INT_BYTES: Final = struct.calcsize("i")


class Outgoing:
    """`resumed` is called when a file can go on whose transport didn't have to wait."""

    __slots__ = ("_files", "_is_plain", "_loop", "_resumed", "_transport", "_writable", "_written_bytes")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        is_plain: bool,
        resumed: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._is_plain = is_plain
        self._resumed = resumed
        self._files: FileSender | None = None
        self._writable: asyncio.Future[None] | None = None
        self._written_bytes = 0

    @property
    def file_bytes_left(self) -> int:
        """Of a long body on its way, what isn't with the transport yet."""
        return self._files.left_bytes if self._files is not None else 0

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size() + self.file_bytes_left

    @property
    def taken_bytes(self) -> int:
        """What the kernel took of all that was written; ready answers aren't counted, so that only its growth tells."""
        return self._written_bytes - self.unsent_bytes

    @property
    def held_bytes(self) -> int:
        """Unsent, or sent and not yet with the client's machine."""
        connection = self._transport.get_extra_info("socket")
        if connection is None or self._transport.is_closing():
            return self.unsent_bytes
        told = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(INT_BYTES))  # tcp(7): SIOCOUTQ, the same
        return self.unsent_bytes + int.from_bytes(told, sys.byteorder)

    @property
    def delivered_bytes(self) -> int:
        """As `taken_bytes`, of what has arrived."""
        return self._written_bytes - self.held_bytes

    def write(self, data: bytes | memoryview) -> None:
        self._written_bytes += len(data)
        self.hand_over()
        self._transport.write(data)

    def write_answer(self, data: bytes, tail: memoryview | None) -> None:
        """A ready answer, while nothing is paused."""
        file = file_of(tail) if tail is not None and self._is_plain else None
        files = self._file_sender() if file is not None else None
        if tail is not None and file is not None and files is not None:
            files.send(data, tail, file)
            return
        self._transport.write(data)
        if tail is not None:
            self._transport.write(tail)

    def go_on(self) -> bool:
        """Whether a file is still on its way, whose next part has now been sent."""
        return self._files is not None and self._files.go_on()

    def hand_over(self) -> None:
        """What is left of a file goes out before all that follows."""
        if self._files is not None:
            self._files.hand_over()

    def write_eof(self) -> None:
        self.hand_over()
        self._transport.write_eof()

    def abort(self) -> None:
        """Resets the connection: what is unsent is dropped here and in the kernel, which would hold it for minutes."""
        if not self._transport.is_closing():
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        self._transport.abort()

    def lost(self) -> None:
        """The connection is gone."""
        if self._files is not None:
            self._files.drop()

    async def writable(self) -> None:
        """Until `wake`."""
        if self._writable is None or self._writable.done():
            self._writable = self._loop.create_future()
        await asyncio.shield(self._writable)

    def wake(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def _file_sender(self) -> FileSender | None:
        """None for a transport that isn't a socket's."""
        if self._files is None:
            connection = self._transport.get_extra_info("socket")
            if connection is not None:
                self._files = FileSender(self._transport, connection, self._loop.call_soon, self._go_on_soon)
        return self._files

    def _go_on_soon(self) -> None:
        if self.file_bytes_left:
            self._resumed()
