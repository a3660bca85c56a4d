"""A worker's place among the workers of its store: its id and lease, its heartbeat, and who of the others is dead.

A lease is a row that the heartbeat renews. A lock on a file says at once when its holder's process is gone, so that
nobody waits for the lease of a dead one to run out.
"""

import os
import platform
import sqlite3
from uuid import uuid4

from workflows.clock import Clock
from workflows.limits import Limits, Timing
from workflows.store import leases
from workflows.store.liveness import LifeLock, forget, is_dead
from workflows.store.transaction import Transaction
from workflows.store.writer import Writer


class Membership:
    """`reader` is a connection of the worker's own."""

    def __init__(
        self, writer: Writer, reader: sqlite3.Connection, clock: Clock, timing: Timing, limits: Limits
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._timing = timing
        self._recoveries_max = limits.recoveries_max
        self._lock: LifeLock | None = None
        self._last_beat_ms = 0
        self._last_look_ms = 0

    async def join(self) -> None:
        """Under a new id, each time. Raises StoreError."""
        worker_id = str(uuid4())
        lease_ms, pid, host = self._timing.lease_ms, os.getpid(), platform.node()

        self._release_lock()
        self._lock = LifeLock(self._writer.path, worker_id)
        dead = self._dead_workers()

        def command(transaction: Transaction) -> None:
            leases.recover(transaction, recoveries_max=self._recoveries_max, dead=dead)
            leases.register_worker(transaction, worker_id, pid=pid, host=host, lease_ms=lease_ms)

        await self._writer.submit(command)
        self.forget(dead)
        self._writer.worker_id = worker_id
        self._last_beat_ms = self._clock.now_ms()

    async def leave(self) -> None:
        """Gives back what it leased. Raises StoreError: the lease runs out by itself then."""
        worker_id = self._writer.worker_id
        if worker_id is None:
            return
        try:
            await self._writer.submit(lambda tx: leases.release_worker(tx, worker_id))
        finally:
            self._release_lock()

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # ---- the heartbeat

    def must_beat(self, now_ms: int) -> bool:
        return now_ms - self._last_beat_ms >= self._timing.heartbeat_ms

    def tend(self, transaction: Transaction, *, beats: bool, dead: set[str]) -> None:
        """Renews the lease, and queues what the dead have left."""
        worker_id = self._writer.worker_id
        assert worker_id is not None
        if beats:
            leases.renew(transaction, worker_id, self._timing.lease_ms)
        if beats or dead:
            leases.recover(transaction, recoveries_max=self._recoveries_max, dead=dead)

    def note_beat(self, now_ms: int) -> None:
        self._last_beat_ms = now_ms

    # ---- the others

    def must_look(self, now_ms: int) -> bool:
        return now_ms - self._last_look_ms >= self._timing.look_ms

    def look_for_dead(self, now_ms: int) -> set[str]:
        self._last_look_ms = now_ms
        return self._dead_workers()

    def _dead_workers(self) -> set[str]:
        """Others whose process is gone, by reading alone."""
        try:
            rows = self._reader.execute("SELECT id FROM workers").fetchall()
        except sqlite3.Error:
            return set()
        return {id_ for (id_,) in rows if id_ != self._writer.worker_id and is_dead(self._writer.path, id_)}

    def forget(self, dead: set[str]) -> None:
        """Removes the locks of those whose work was queued."""
        for worker_id in dead:
            forget(self._writer.path, worker_id)
