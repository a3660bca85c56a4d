"""Long bodies from the file to the socket, past this process: half the price of copying them out of a memory map.

    send → as much as the kernel takes → a piece to the transport, which waits → resumed → go_on → … → nothing left

uvloop can't wait for a socket that one of its transports has. So the wait is the transport's: it is given the next
piece to copy, small beside what a socket takes that has room again, and says when that has left. While a body is on
its way nothing else may be written, or it is handed over first: from there on the transport copies it, in order.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final

from asset_server.mapped_file import MappedFile
from router.http1.limits import KIB, MIB

PIECE_BYTES: Final = 16 * KIB
SENT_AT_ONCE_MAX: Final = 2 * MIB
"""By one call, which nothing else in this process can pass."""


class FileSender:
    """One connection's. `again` is called when the next part can be sent without the transport's having waited."""

    __slots__ = ("_again", "_at", "_body", "_call_soon", "_connection", "_family", "_file", "_transport")

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        connection: socket.socket,
        call_soon: Callable[[Callable[[], None]], object],
        again: Callable[[], None],
    ) -> None:
        """`connection` is the transport's, and unencrypted."""
        self._transport = transport
        self._connection = connection
        self._family = connection.family
        self._call_soon = call_soon
        self._again = again
        self._file: MappedFile | None = None
        self._body = memoryview(b"")
        self._at = 0

    @property
    def left_bytes(self) -> int:
        """Of the body, what neither the kernel nor the transport has."""
        return len(self._body) - self._at

    def send(self, head: bytes, body: memoryview, file: MappedFile) -> None:
        """`body` is all of the file's. What is left of it then waits for `go_on`."""
        transport = self._transport
        if transport.is_closing() or transport.get_write_buffer_size():
            transport.write(head)  # behind what waits already
            transport.write(body)
            return
        head = send_before_more(self._connection.fileno(), self._family, head)
        sent_bytes = 0 if head else self._send_from(file, 0, len(body))
        if sent_bytes < len(body):
            self._file, self._body, self._at = file, body, sent_bytes
            transport.set_write_buffer_limits(0)  # to be told when the last byte has left
            if head:
                transport.write(head)
            self._give_piece()

    def go_on(self) -> bool:
        """Whether something is left, here or of the last piece. A connection that is broken takes nothing: the
        transport finds that out."""
        transport, file = self._transport, self._file
        if file is None or transport.is_closing():
            self.drop()
            return False
        if transport.get_write_buffer_size():
            return True
        self._at += self._send_from(file, self._at, len(self._body))
        self._give_piece()
        return self._file is not None or transport.get_write_buffer_size() > 0

    def _send_from(self, file: MappedFile, at: int, end: int) -> int:
        """How many of the body's bytes from `at` on the kernel has taken."""
        try:
            return os.sendfile(
                self._connection.fileno(), file.descriptor, file.body_at + at, min(end - at, SENT_AT_ONCE_MAX)
            )
        except OSError:
            return 0

    def _give_piece(self) -> None:
        """Of what is left, the next to the transport, which is empty or will say when it is again."""
        piece = self._body[self._at : self._at + PIECE_BYTES]
        self._at += len(piece)
        self._transport.write(piece)
        if self._at == len(self._body):
            self.drop()
        elif not self._transport.get_write_buffer_size():
            self._call_soon(self._again)

    def hand_over(self) -> None:
        """What is left is the transport's from now on."""
        if self._file is not None:
            left = self._body[self._at :]
            self.drop()
            self._transport.write(left)

    def drop(self) -> None:
        if self._file is not None:
            self._file, self._body, self._at = None, memoryview(b""), 0
            if not self._transport.is_closing():
                self._transport.set_write_buffer_limits()


def send_before_more(connection: int, family: int, head: bytes) -> bytes:
    """Sends to the descriptor `connection` what it takes of a head whose body follows; what is left of it."""
    sender = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=connection)
    try:
        return head[sender.send(head, socket.MSG_MORE | socket.MSG_DONTWAIT) :]
    except OSError:
        return head
    finally:
        sender.detach()  # the descriptor is the transport's
