"""The one thread that writes: it commits together whatever was asked for while it committed before (group commit).

    event loop:  submit(command) ... submit(command)      futures, resolved after the sync
    thread:      BEGIN IMMEDIATE; lease held?; every command; COMMIT (fsync); deliver all at once

A command that fails must not take its neighbours along: the group is rolled back and each command is then tried
alone, so commands are functions of the database that may run twice. A future is resolved only after its commit.
"""

import asyncio
import os
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from workflows.errors import StoreError
from workflows.store.connection import open_connection, store_error
from workflows.store.transaction import Transaction

Result = TypeVar("Result")
Command = Callable[[Transaction], Result]
Asked = tuple[Callable[[Transaction], Any], bool, "Commit[Any]"]
Told = tuple["Commit[Any]", Any, BaseException | None]

BUSY_TRIES_MAX: Final = 5
GROUP_MAX: Final = 2000


class LeaseLost(Exception):
    """Another worker took over what this one had leased: nothing of it may be written any more."""


class Commit(asyncio.Future[Result]):
    """Can't be cancelled: a task that is cancelled while it awaits one gets its CancelledError once the commit is done.

    So whoever asked for the commit always learns its outcome, by `result()` if need be.
    """

    def cancel(self, msg: Any = None) -> bool:
        return False


class Writer:
    """Use as a context manager, on one event loop. `worker_id` is whose lease guards the leased commands."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        self.path = path
        self.worker_id: str | None = None
        self.busy_count = 0
        self.commits_count = 0
        self._now_ms = now_ms
        self._connection = open_connection(path)
        self._loop = asyncio.get_running_loop()
        self._asked: list[Asked] = []
        self._groups: deque[list[Asked]] = deque()
        self._wake = threading.Semaphore(0)
        self._is_flush_planned = False
        self._is_closing = False
        self._pid = os.getpid()
        self._pending_count = 0
        self._damage: StoreError | None = None
        self._thread = threading.Thread(target=self._run, name="workflows-writer", daemon=True)
        self._thread.start()

    @property
    def pending_count(self) -> int:
        """Commands asked for and not yet told of."""
        return self._pending_count

    def submit(self, command: Command[Result], *, leased: bool = False) -> "Commit[Result]":
        """Runs `command` in the next transaction. A `leased` one raises LeaseLost where this worker's lease is gone."""
        future: Commit[Result] = Commit(loop=self._loop)
        if self._is_closing or os.getpid() != self._pid:
            future.set_exception(StoreError("store.closed", f"{self.path} is closed here"))
            return future
        if self._damage is not None:
            future.set_exception(self._damage)
            return future
        self._pending_count += 1
        self._asked.append((command, leased, future))
        if not self._is_flush_planned:
            self._is_flush_planned = True
            self._loop.call_soon(self._flush)  # after all that is ready now: those come along
        return future

    def _flush(self) -> None:
        self._is_flush_planned = False
        if self._asked:
            self._groups.append(self._asked)
            self._asked = []
            self._wake.release()

    async def close(self) -> None:
        """Commits what was asked for, then ends the thread."""
        if self._is_closing:
            return
        self._is_closing = True
        self._flush()
        self._wake.release()
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # lets the last delivery in

    # ---- in the thread

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            group: list[Asked] = []
            while self._groups and len(group) < GROUP_MAX:
                group += self._groups.popleft()
            if group:
                told = self._commit(group)
                self._tell(told)
            if self._is_closing and not self._groups:
                break
        self._connection.close()

    def _tell(self, told: list[Told]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, told)
        except RuntimeError:  # the loop was closed under us: nobody is left to tell
            self._is_closing = True

    def _deliver(self, told: list[Told]) -> None:
        self._pending_count -= len(told)
        for future, result, error in told:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _commit(self, group: list[Asked]) -> list[Told]:
        """Never raises: each future of the group is told its own outcome."""
        try:
            self._begin()
        except sqlite3.Error as error:  # locked or damaged: so it would be for each of them alone
            refusal = self._translated(error)
            return [(future, None, refusal) for _, _, future in group]
        try:
            return self._transact(group)
        except BaseException as error:  # noqa: BLE001 - whatever it was, each future must be told
            if len(group) == 1:
                return [(group[0][2], None, self._translated(error))]
        told: list[Told] = []
        for asked in group:
            told += self._commit([asked])
        return told

    def _transact(self, group: list[Asked]) -> list[Told]:
        connection = self._connection
        try:
            transaction = Transaction(connection, self._now_ms())
            is_leased = self._holds_lease() if any(leased for _, leased, _ in group) else False
            told: list[Told] = []
            for command, leased, future in group:
                if leased and not is_leased:
                    told.append((future, None, LeaseLost(self.worker_id)))
                else:
                    told.append((future, command(transaction), None))
            transaction.close()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.commits_count += 1
        return told

    def _begin(self) -> None:
        for tried in range(BUSY_TRIES_MAX + 1):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as problem:
                if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or tried == BUSY_TRIES_MAX:
                    raise
                self.busy_count += 1
                time.sleep(random.uniform(0.01, 0.1) * (tried + 1))  # noqa: S311 - jitter, not a secret
            else:
                return

    def _holds_lease(self) -> bool:
        found = self._connection.execute("SELECT 1 FROM workers WHERE id=?", (self.worker_id,)).fetchone()
        return found is not None

    def _translated(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        translated = store_error(self.path, error)
        translated.__cause__ = error
        if translated.code == "store.damaged":
            self._damage = translated
        return translated
