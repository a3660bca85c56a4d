"""The access log of one process: noted on the loop, rendered and written on a thread of its own.

    note → pending, at most BUFFER_BYTES_MAX → every HAND_OVER_S to the thread → lines → one file, or stderr

Noting costs a request a tuple and an addition. A disk that is full or slow, or a pipe that nobody reads, never holds a
request up: lines are then lost, and counted. Every process appends to the same file in writes of whole lines.
"""

import asyncio
import os
import stat
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from random import random
from typing import Final

from router.access_record import LOGGED_FIELDS, AccessRecord, Asked, render
from router.exchange import Exchange
from router.forwarded import TrustedProxies
from router.metrics.catalogue import ACCESS_LINES_LOST, cell
from router.metrics.slot import Cells

BUFFER_BYTES_MAX: Final = 8 * 1024 * 1024
RECORD_BYTES: Final = 256
"""What a record takes beside a request's bytes."""
HAND_OVER_S: Final = 0.1
LAST_WRITE_S: Final = 1.0
"""How long an ending process waits for the thread."""
WRITE_BYTES_MAX: Final = 64 * 1024
PIPE_WRITE_BYTES_MAX: Final = 4096
"""pipe(7), PIPE_BUF: up to here, what several processes write doesn't mix."""
FILE_MODE: Final = 0o640
BUFFER_FULL: Final = cell(ACCESS_LINES_LOST, "buffer full")
WRITE_FAILED: Final = cell(ACCESS_LINES_LOST, "write failed")

Peer = tuple[str, int] | None


class AccessLog:
    """`share` of all requests is noted, each by a throw of the dice."""

    def __init__(self, descriptor: int, cells: Cells, *, share: float, proxies: TrustedProxies) -> None:
        self._descriptor = descriptor
        self._cells = cells
        self._share = share
        self._proxies = proxies
        self._pending: list[AccessRecord] = []
        self._pending_bytes = 0
        self._noted_bytes = 0  # of all records, ever; only the loop's thread writes it
        self._done_bytes = 0  # of those that are written or lost; only ours does
        self._queue: SimpleQueue[tuple[list[AccessRecord], int] | None] = SimpleQueue()
        self._line_is_torn = False
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._write_bytes_max = WRITE_BYTES_MAX if is_file else PIPE_WRITE_BYTES_MAX
        self._thread = threading.Thread(target=self._write_all, name="access log", daemon=True)
        self._thread.start()

    def note_ready(self, peer: Peer, request: bytes, status: int, body_bytes: int) -> None:
        """`request` is a whole one, which has no body."""
        if self._share >= 1 or random() < self._share:  # noqa: S311  # nothing depends on its being unforeseeable
            record = AccessRecord(time.time(), peer[0] if peer else "", request, status, body_bytes)
            self._note(record, len(request))

    def note_exchange(self, peer: Peer, exchange: Exchange) -> None:
        if self._share >= 1 or random() < self._share:  # noqa: S311
            head = exchange.head
            fields = [field for field in head.fields if field[0] in LOGGED_FIELDS]
            record = AccessRecord(
                time.time(),
                peer[0] if peer else "",
                Asked(head.method.encode("ascii"), head.path, fields),
                exchange.status,
                exchange.body_bytes_sent,
                elapsed_ns=time.monotonic_ns() - exchange.began_ns,
                cut=not exchange.is_answered,
            )
            self._note(record, len(head.path) + sum(len(name) + len(value) for name, value in fields))

    def note_refusal(self, peer: Peer, status: int) -> None:
        """Of what isn't a request that we know the meaning of."""
        if self._share >= 1 or random() < self._share:  # noqa: S311
            self._note(AccessRecord(time.time(), peer[0] if peer else "", None, status, 0), 0)

    def close(self) -> None:
        """The descriptor stays open: the thread may still be at it, and the process is about to end."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join(LAST_WRITE_S)

    def _note(self, record: AccessRecord, request_bytes: int) -> None:
        record_bytes = RECORD_BYTES + request_bytes
        if self._noted_bytes - self._done_bytes + record_bytes > BUFFER_BYTES_MAX:
            self._cells[BUFFER_FULL] += 1
            return
        self._noted_bytes += record_bytes
        self._pending_bytes += record_bytes
        self._pending.append(record)
        if len(self._pending) == 1:
            asyncio.get_running_loop().call_later(HAND_OVER_S, self._hand_over)

    def _hand_over(self) -> None:
        if self._pending:
            self._queue.put((self._pending, self._pending_bytes))
            self._pending, self._pending_bytes = [], 0

    # On the thread

    def _write_all(self) -> None:
        while (batch := self._queue.get()) is not None:
            records, records_bytes = batch
            lines: list[bytes] = []
            size = 0
            for record in records:
                line = render(record, self._proxies)
                if size + len(line) > self._write_bytes_max - 1:  # a line feed may come before them
                    self._write(lines)
                    lines, size = [], 0
                lines.append(line)
                size += len(line)
            self._write(lines)
            self._done_bytes += records_bytes

    def _write(self, lines: list[bytes]) -> None:
        if not lines:
            return
        data = b"\n" * self._line_is_torn + b"".join(lines)
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            written = 0
        if written:
            taken = data[:written]
            self._cells[WRITE_FAILED] += len(lines) + self._line_is_torn - taken.count(b"\n")
            self._line_is_torn = not taken.endswith(b"\n")
        else:
            self._cells[WRITE_FAILED] += len(lines)


def open_target(path: Path | None) -> int:
    """A descriptor of the file, or of stderr. Raises OSError, also for a named pipe that nobody reads."""
    if path is None:
        return os.dup(sys.stderr.fileno())
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, FILE_MODE)
