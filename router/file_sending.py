"""Long bodies from the file to the socket, past this process: half the price of copying them out of a memory map.

Only what the kernel takes at once is sent this way. The rest is the transport's, which knows how to wait; so is
everything where bytes already wait in it, or where they must be encrypted.
"""

import os
import socket
from contextlib import suppress

from asset_server.mapped_file import MappedFile


def send_at_once(
    connection: int, family: int, head: bytes, body: memoryview, file: MappedFile
) -> tuple[bytes, memoryview]:
    """Sends to the descriptor `connection` what it takes without waiting; what is left of head and body.

    A connection that is broken takes nothing: the transport will find that out by itself.
    """
    sender = socket.socket(family, socket.SOCK_STREAM, fileno=connection)
    try:
        sent_bytes = sender.send(head, socket.MSG_MORE | socket.MSG_DONTWAIT)
    except OSError:
        return head, body
    finally:
        sender.detach()  # the descriptor is the transport's
    if sent_bytes < len(head):
        return head[sent_bytes:], body
    with suppress(OSError):
        body = body[os.sendfile(connection, file.descriptor, file.body_at, len(body)) :]
    return b"", body
