"""The one writer, with a thread that commits together what was asked for while it committed before (group commit).

    event loop:  submit(command) ... submit(command)      futures, resolved after the sync
    thread:      BEGIN IMMEDIATE; lease held?; every command; COMMIT (fsync); deliver all at once

A command asked for as not `synced` is committed before anybody is told, like all others, so it outlives this process
and is seen by the others; but a group of nothing else is not synced by itself. It reaches the disk with the next commit
that is, or within about a second by a checkpoint; after a power cut it may never have been. Nothing that is reported
as done is asked for in this way: connection.py says what the two pragmas give.

To hand a group to the thread and its outcome back costs 100 to 200 µs, more than to commit a few rows without a sync.
So a group of nothing but `brief` commands is committed on the event loop, if nothing else is on its way. Where it would
have to wait, for the thread or for another program's lock, it goes to the thread like all others, and where it fails.

A command that fails must not take its neighbours along: the group is rolled back and each command is then tried
alone, so commands are functions of the database that may run twice. A future is resolved only after its commit.
"""

import asyncio
import logging
import os
import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from workflows.errors import StoreError
from workflows.store.checkpoints import Checkpointer, restart_log
from workflows.store.connection import BUSY_TIMEOUT_MS, FULL, NORMAL, open_connection, set_busy_timeout, store_error
from workflows.store.transaction import Transaction

Result = TypeVar("Result")
Command = Callable[[Transaction], Result]
Asked = tuple[Callable[[Transaction], Any], bool, bool, "Commit[Any]"]  # command, leased, synced, whom to tell
Told = tuple["Commit[Any]", Any, BaseException | None]

log = logging.getLogger("workflows")

BUSY_TRIES_MAX: Final = 5
GROUP_MAX: Final = 2000
BRIEF_MAX: Final = 4  # commands that one turn of the event loop may commit: some 100 µs


class LeaseLost(Exception):
    """Another worker took over what this one had leased: nothing of it may be written any more."""


class Commit(asyncio.Future[Result]):
    """Can't be cancelled: a task that is cancelled while it awaits one gets its CancelledError once the commit is done.

    So whoever asked for the commit always learns its outcome, by `result()` if need be.
    """

    def cancel(self, msg: Any = None) -> bool:
        return False


class Writer:
    """Use as a context manager, on one event loop. `worker_id` is whose lease guards the leased commands.

    A locked database is waited for (connection.BUSY_TIMEOUT_MS), and again up to `busy_tries_max` times: work that runs
    can wait, whoever asked for a command wants a word.
    """

    def __init__(self, path: Path, now_ms: Callable[[], int], *, busy_tries_max: int = BUSY_TRIES_MAX) -> None:
        self._busy_tries_max = busy_tries_max
        self.path = path
        self.worker_id: str | None = None
        self.busy_count = 0
        self.commits_count = 0
        self.syncs_count = 0
        self._now_ms = now_ms
        self.busy_timeout_ms = BUSY_TIMEOUT_MS
        self._connection = open_connection(path)
        set_busy_timeout(self._connection, 0)  # the event loop waits for nobody; the thread says so when it does
        self._turn = threading.Lock()  # whose turn it is on the connection
        self._syncs = True  # as the connection is opened
        self._loop = asyncio.get_running_loop()
        self._asked: list[Asked] = []
        self._is_brief = True  # whether all that is asked is
        self._groups: queue.SimpleQueue[list[Asked]] = queue.SimpleQueue()
        self._is_flush_planned = False
        self._is_closing = False
        self._pid = os.getpid()
        self._pending_count = 0
        self._damage: StoreError | None = None
        self._thread = threading.Thread(target=self._run, name="workflows-writer", daemon=True)
        self._thread.start()
        self._is_log_moved = False
        self._is_log_new = False
        self._checkpointer = Checkpointer(path, lambda: self.commits_count, self._note_moved)

    @property
    def pending_count(self) -> int:
        """Commands asked for and not yet told of."""
        return self._pending_count

    def submit(
        self, command: Command[Result], *, leased: bool = False, synced: bool = True, brief: bool = False
    ) -> "Commit[Result]":
        """Runs `command` in the next transaction. A `leased` one raises LeaseLost where this worker's lease is gone.

        `brief`: it writes a few small rows, and if it is not synced either, that may be done on the event loop.
        """
        future: Commit[Result] = Commit(loop=self._loop)
        if self._is_closing or os.getpid() != self._pid:
            future.set_exception(StoreError("store.closed", f"{self.path} is closed here"))
            return future
        if self._damage is not None:
            future.set_exception(self._damage)
            return future
        self._pending_count += 1
        self._asked.append((command, leased, synced, future))
        self._is_brief = self._is_brief and brief and not synced
        if not self._is_flush_planned:
            self._is_flush_planned = True
            self._loop.call_soon(self._flush)  # after all that is ready now: those come along
        return future

    def _flush(self) -> None:
        self._is_flush_planned = False
        group, self._asked = self._asked, []
        is_brief, self._is_brief = self._is_brief and len(group) <= BRIEF_MAX, True
        if not group:
            return
        told = self._commit_here(group) if is_brief and self._pending_count == len(group) else None
        if told is None:
            self._groups.put(group)
        else:
            self._deliver(told)

    def _commit_here(self, group: list[Asked]) -> list[Told] | None:
        """On the event loop. None where that would take long, or failed: nothing is done then, the thread is to do it.

        The first commit into a log that begins anew syncs it, whatever was asked for: that is the thread's as well.
        """
        if self._is_closing or self._is_log_new or os.getpid() != self._pid or not self._turn.acquire(blocking=False):
            return None
        try:
            self._sync_next(False)
            self._connection.execute("BEGIN IMMEDIATE")
            return self._transact(group)
        except Exception:  # noqa: BLE001 - the thread meets it again, and tells whom it concerns
            return None
        finally:
            self._turn.release()

    async def close(self) -> None:
        """Commits what was asked for, then ends the thread."""
        if self._is_closing:
            return
        self._is_closing = True
        self._flush()
        self._groups.put([])
        await asyncio.to_thread(self._join)
        await asyncio.sleep(0)  # lets the last delivery in

    def _join(self) -> None:
        self._checkpointer.close()
        self._thread.join()

    def _note_moved(self) -> None:
        """In the checkpointer's thread."""
        self._is_log_moved = True
        self._groups.put([])

    # ---- in the thread

    def _run(self) -> None:
        while True:
            group = self._groups.get()
            while len(group) < GROUP_MAX and not self._groups.empty():
                group += self._groups.get()
            with self._turn:
                told = self._commit(group) if group else []
            if told:
                self._tell(told)
            if self._is_log_moved:
                self._is_log_moved = False
                with self._turn:
                    restart_log(self._connection)
                    self._is_log_new = True
            if self._is_closing and self._groups.empty():
                break
        self._connection.close()

    def _tell(self, told: list[Told]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, told)
        except RuntimeError:  # the loop was closed under us: nobody is left to tell
            self._is_closing = True

    @property
    def damage(self) -> StoreError | None:
        """What it refuses everything with, once somebody met damage in the file."""
        return self._damage

    def refuse(self, damage: StoreError) -> None:
        """A reader met it: nothing is written into such a file any more."""
        self._damage = self._damage or damage

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
            self._sync_next(any(synced for _, _, synced, _ in group))
            self._begin()
        except sqlite3.Error as error:  # locked or damaged: so it would be for each of them alone
            refusal = self._translated(error)
            return [(future, None, refusal) for *_, future in group]
        try:
            return self._transact(group)
        except BaseException as error:  # noqa: BLE001 - whatever it was, each future must be told
            if len(group) == 1:
                return [(group[0][-1], None, self._translated(error))]
        told: list[Told] = []
        for asked in group:
            told += self._commit([asked])
        return told

    def _transact(self, group: list[Asked]) -> list[Told]:
        connection = self._connection
        try:
            transaction = Transaction(connection, self._now_ms())
            is_leased = self._holds_lease() if any(leased for _, leased, *_ in group) else False
            told: list[Told] = []
            for command, leased, _, future in group:
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
        self._is_log_new = False
        self.commits_count += 1
        self.syncs_count += self._syncs
        return told

    def _sync_next(self, syncs: bool) -> None:
        """Whether the next COMMIT returns only once it is on the disk; SQLite takes the change between transactions."""
        if syncs != self._syncs:
            self._connection.execute(FULL if syncs else NORMAL)
            self._syncs = syncs

    def _begin(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
        else:
            return
        set_busy_timeout(self._connection, self.busy_timeout_ms)
        try:
            self._begin_patiently()
        finally:
            set_busy_timeout(self._connection, 0)

    def _begin_patiently(self) -> None:
        for tried in range(self._busy_tries_max + 1):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as problem:
                if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or tried == self._busy_tries_max:
                    raise
                self.busy_count += 1
                log.warning("store.busy tried=%d: another program holds the database", tried + 1)
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
