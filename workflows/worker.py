"""Runs instances in this process: claims them, keeps the lease, wakes what is due, carries out commands.

One loop, `_tend`, does all bookkeeping: it looks (by a read) whether there is something to do, does it in one leased
transaction, and sleeps until the next known moment, a bell from within the process, or the poll that sees what other
processes wrote.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from workflows.callbacks import FORKED_EXIT_CODE
from workflows.errors import Failure, LifetimeEnded, StoreError
from workflows.lifetime import Completed, Errored, Lifetime, Services
from workflows.membership import Membership
from workflows.rollback import undo
from workflows.states import Command, Status
from workflows.store import journal, leases
from workflows.store.chunks import sweep_chunks
from workflows.store.connection import open_reader, store_error
from workflows.store.instances import EVENT, carry_out_pending, pause, queue_woken, read_head
from workflows.store.records import parse_failure
from workflows.store.retention import SWEPT_MAX, sweep
from workflows.store.schedules import fire_due
from workflows.store.transaction import MINUTE_MS, Transaction
from workflows.store.writer import LeaseLost, Writer
from workflows.workflow import Definition

log = logging.getLogger("workflows")

DAMAGED: Final = "store.damaged"
RETRY_MS: Final = 1000  # how soon work that the store refused is tried again


@dataclass(frozen=True, slots=True)
class Tended:
    claimed: list[leases.Claimed]
    next_wake_ms: int | None
    commanded: list[tuple[int, str]]
    is_crowded: bool
    is_swept: bool


class Worker:
    """`workflows` maps a workflow's id to its class; only those are claimed. `take_up` is told the name of one that got
    another id. `damage` comes true once the store's file
    was found damaged: nothing goes on here then."""

    def __init__(
        self, writer: Writer, services: Services, workflows: Mapping[str, Definition],
        take_up: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:  # fmt: skip
        self.writer = writer
        self.services = services
        self.workflows = workflows
        self.take_up = take_up
        self.lifetimes: dict[int, Lifetime] = {}
        self.damage: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        self._reader = open_reader(writer.path)
        self._membership = Membership(writer, self._reader, services.clock, services.timing, services.limits)
        self._pid = os.getpid()
        self._bell = asyncio.Event()
        self._is_crowded = False
        self._idle_timers: dict[int, Any] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_draining = False
        self._is_resting = False
        self._ending: set[int] = set()
        self._last_sweep_ms = 0
        self._last_minute = 0
        self._last_warning_ms = 0
        self._next_wake_ms: int | None = None
        self._loop_task: asyncio.Task[None] | None = None

    # ---- its course

    async def start(self) -> None:
        await self._membership.join()
        self._loop_task = asyncio.create_task(self._tend_forever(), name="workflows worker")

    async def drain(self) -> None:
        """Claims nothing more, lets callbacks finish for `drain_ms`, gives the rest back."""
        self._is_draining = True
        self._bell.set()
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait([self._loop_task])
        for lifetime in self.lifetimes.values():
            lifetime.hold(self.services.clock.now_ms())
        deadline = asyncio.get_running_loop().time() + self.services.timing.drain_ms / 1000
        while any(one.is_busy for one in self.lifetimes.values()) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.gather(*(lifetime.end() for lifetime in list(self.lifetimes.values())))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        with contextlib.suppress(StoreError):
            await self._membership.leave()
        self._reader.close()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing goes on here that time alone would not begin."""
        return (
            self._is_resting
            and not self._bell.is_set()
            and self.writer.pending_count == 0
            and all(one.is_still and (one.is_undoing or seq not in self._ending) for seq, one in self.lifetimes.items())
        )

    def ring(self) -> None:
        """Something was written that concerns workers: look now."""
        self._bell.set()

    # ---- the loop

    async def _tend_forever(self) -> None:
        while not self._is_draining:
            if os.getpid() != self._pid:  # forked by what an author started beside a callback: no second worker
                os._exit(FORKED_EXIT_CODE)
            self._bell.clear()
            try:
                tended = await self._tend_once()
            except LeaseLost:
                log.warning(
                    "worker.lease_lost worker=%s instances_count=%d", self.writer.worker_id, len(self.lifetimes)
                )
                await self._lose_all()
                continue
            except StoreError as refused:
                if refused.code == DAMAGED:
                    log.error("worker.store_damaged why=%s", refused.why)
                    self.damage.set_result(refused)
                    return
                log.warning("worker.store_refused code=%s why=%s", refused.code, refused.why)
                await self._pause_for(RETRY_MS)
                continue
            except Exception:  # the task's root: a worker that stopped here would hold its lease and do nothing
                log.exception("worker.failed")
                await self._pause_for(RETRY_MS)
                continue
            if tended is not None:
                self._take_up(tended)
            await self._rest()

    def _take_up(self, tended: Tended) -> None:
        self._next_wake_ms = tended.next_wake_ms
        self._is_crowded = tended.is_crowded
        for claimed in tended.claimed:
            self._begin(claimed)
        for seq, pending in tended.commanded:
            self._obey(seq, pending)
        if tended.is_crowded:
            self._hurry_idle()
        if not tended.claimed:
            self._warn_of_unloaded(self.services.clock.now_ms())

    async def _rest(self) -> None:
        wait_ms = self.services.timing.poll_ms
        if self._next_wake_ms is not None:
            wait_ms = max(0, min(wait_ms, self._next_wake_ms - self.services.clock.now_ms()))
        await self._pause_for(wait_ms)

    async def _pause_for(self, ms: int) -> None:
        if self._bell.is_set() or ms <= 0:
            await asyncio.sleep(0)
            return
        handle = asyncio.get_running_loop().call_later(ms / 1000, self._bell.set)
        self._is_resting = True
        try:
            await self._bell.wait()
        finally:
            self._is_resting = False
            handle.cancel()

    async def _tend_once(self) -> Tended | None:
        if self.writer.damage is not None:
            raise self.writer.damage
        now = self.services.clock.now_ms()
        timing, limits = self.services.timing, self.services.limits
        beats = self._membership.must_beat(now)
        dead = self._look_for_dead(now)
        has_work = self._peek(now)
        sweeps = now - self._last_sweep_ms >= timing.sweep_ms
        schedules = {id_: one.schedules for id_, one in self.workflows.items() if one.schedules}
        fires = bool(schedules) and now // MINUTE_MS != self._last_minute
        if not beats and not dead and not sweeps and not fires and not has_work:
            return None
        worker_id = self.writer.worker_id
        assert worker_id is not None
        room, wanted = self._room, self._wanted

        def command(transaction: Transaction) -> Tended:
            self._membership.tend(transaction, beats=beats, dead=dead)
            is_swept = not sweeps or (sweep(transaction) < SWEPT_MAX and sweep_chunks(transaction))
            if fires:
                fire_due(transaction, schedules)
            leases.wake_due(transaction)
            claimed = leases.claim(transaction, worker_id, wanted, count_max=room, max_running=limits.max_running)
            commanded = transaction.all(
                "SELECT seq, pending_cmd FROM instances WHERE lease_owner=? AND pending_cmd IS NOT NULL", (worker_id,)
            )
            crowded = transaction.one(
                "SELECT 1 FROM instances INDEXED BY instances_ready WHERE status=0"
                " AND workflow_id IN (SELECT value FROM json_each(?)) LIMIT 1",
                (orjson.dumps(list(wanted)).decode(),),
            )
            return Tended(claimed, leases.next_wake_ms(transaction), commanded, crowded is not None, is_swept)

        tended = await self.writer.submit(command, leased=True)
        if beats:
            self._membership.note_beat(now)
        self._last_minute = now // MINUTE_MS
        if sweeps and tended.is_swept:  # else the next turn goes on
            self._last_sweep_ms = now
        self._membership.forget(dead)
        return tended

    def _look_for_dead(self, now: int) -> set[str]:
        if not self._membership.must_look(now):
            return set()
        self._take_up_renewed()
        return self._membership.look_for_dead(now)

    def _take_up_renewed(self) -> None:
        """A workflow that was deleted and made anew has another id; its class is the one that is loaded here."""
        names = orjson.dumps([definition.name for definition in self.workflows.values()]).decode()
        known = "SELECT id, name FROM workflows WHERE name IN (SELECT value FROM json_each(?))"
        try:
            rows = self._reader.execute(known, (names,)).fetchall()
        except sqlite3.Error:
            return
        for id_, name in rows:
            if id_ not in self.workflows:
                log.info("workflow.renewed name=%s", name)
                self._spawn(self.take_up(name))

    @property
    def _room(self) -> int:
        return self.services.limits.running_per_worker - len(self.lifetimes)

    @property
    def _wanted(self) -> dict[str, int | None]:
        return {id_: definition.workflow.max_running for id_, definition in self.workflows.items()}

    def _peek(self, now: int) -> bool:
        """Whether there is work, by reading alone: an idle worker writes nothing, nor does one with a backlog that it
        can't claim from. Notes when the next is due."""
        try:
            is_ready, is_commanded, next_wake_ms = self._reader.execute(
                "SELECT EXISTS(SELECT 1 FROM instances INDEXED BY instances_ready WHERE status=0"
                " AND workflow_id IN (SELECT value FROM json_each(?))),"
                " EXISTS(SELECT 1 FROM instances WHERE lease_owner=? AND pending_cmd IS NOT NULL),"
                " (SELECT min(wake_at) FROM instances WHERE status=7)",
                (orjson.dumps(list(self.workflows)).decode(), self.writer.worker_id),
            ).fetchone()
            if is_ready and self._is_crowded:  # that some wait is known; is there room for one by now?
                limits = self.services.limits
                is_ready = leases.choose(
                    self._reader.execute, self._wanted, count_max=min(1, self._room), max_running=limits.max_running
                )
        except sqlite3.Error as problem:
            refused = store_error(self.writer.path, problem)
            if refused.code == DAMAGED:
                self.writer.refuse(refused)
            return True  # the writer will say what is wrong
        self._next_wake_ms = next_wake_ms
        return bool(is_ready or is_commanded or (next_wake_ms is not None and next_wake_ms <= now))

    def _warn_of_unloaded(self, now: int) -> None:
        """Once a minute: what is queued for a class that this worker has not loaded, and perhaps none has."""
        if now - self._last_warning_ms < MINUTE_MS:
            return
        self._last_warning_ms = now
        rows = self._reader.execute(
            "SELECT id, name FROM workflows WHERE EXISTS"
            "(SELECT 1 FROM instances WHERE workflow_id=workflows.id AND status=0)"
        ).fetchall()
        names = [name for id_, name in rows if id_ not in self.workflows]
        if names:
            log.warning("workflow.not_loaded names=%s", ",".join(names))

    # ---- lifetimes

    def _begin(self, claimed: leases.Claimed) -> None:
        definition = self.workflows[claimed.instance.workflow_id]
        lifetime = Lifetime(definition, claimed, self.services, on_change=self._changed)
        self.lifetimes[claimed.instance.seq] = lifetime
        self._spawn(self._see_through(lifetime))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _see_through(self, lifetime: Lifetime) -> None:
        """From a lifetime's start to its end, if `run` comes to one by itself."""
        outcome = await lifetime.start()
        if lifetime.lease_is_lost:
            await self._give_back(lifetime)
        elif outcome is not None and lifetime.instance.seq not in self._ending:
            self._once(lifetime, lambda one: self._conclude(one, outcome))

    async def _conclude(self, lifetime: Lifetime, outcome: Completed | Errored) -> None:
        try:
            await self._settle(lifetime, outcome)
        except LifetimeEnded:  # a command cut its rollback short
            await self._stop(self.lifetimes.get(lifetime.instance.seq, lifetime))
            return
        self._drop(lifetime)

    async def _settle(self, lifetime: Lifetime, outcome: Completed | Errored) -> None:
        await self._note_left_behind(lifetime)
        await lifetime.end()
        instance, size = lifetime.instance, lifetime.state_bytes
        if lifetime.is_rehearsal:
            told = orjson.loads(instance.rollback_json or "{}")
            failure, final = parse_failure(told["failure"]), Status(told["final"])
            assert failure is not None
            await self._undo(lifetime, failure, failure.error())
            command = journal.fail(instance, failure, final, size)
        elif isinstance(outcome, Errored):
            if lifetime.must_undo:
                await self.writer.submit(journal.enter_rollback(instance, outcome.failure), leased=True)
                await self._undo(lifetime, outcome.failure, outcome.error)
            command = journal.fail(instance, outcome.failure, Status.ERRORED, size)
        else:
            command = journal.complete(instance, outcome.output, size)
        await self.writer.submit(command, leased=True)

    async def _undo(self, lifetime: Lifetime, failure: Failure, error: BaseException) -> None:
        undoing = lifetime.successor()
        self.lifetimes[lifetime.instance.seq] = undoing
        await undo(undoing, failure, error)

    async def _note_left_behind(self, lifetime: Lifetime) -> None:
        for command in lifetime.calls.leave_behind():
            await self.writer.submit(command, leased=True)

    def _drop(self, lifetime: Lifetime) -> None:
        seq = lifetime.instance.seq
        self.lifetimes.pop(seq, None)
        timer = self._idle_timers.pop(seq, None)
        if timer is not None:
            timer.cancel()
        self._ending.discard(seq)
        self._bell.set()

    async def _give_back(self, lifetime: Lifetime) -> None:
        """The store refused a write: once it takes writes again the instance is queued, as after a crash."""
        await lifetime.end()
        seq, epoch = lifetime.instance.seq, lifetime.instance.epoch

        def command(transaction: Transaction) -> None:
            head = read_head(transaction, seq)
            row = transaction.one("SELECT epoch FROM instances WHERE seq=?", (seq,))
            if head is not None and row == (epoch,) and head.lease_owner is not None:
                transaction.execute("UPDATE instances SET pending_cmd=NULL WHERE seq=?", (seq,))
                queue_woken(transaction, seq)
                carry_out_pending(transaction, head)

        while not self._is_draining:
            try:
                await self.writer.submit(command, leased=True)
                break
            except LeaseLost:
                break
            except StoreError:
                await asyncio.sleep(RETRY_MS / 1000)
        self._drop(lifetime)

    async def _lose_all(self) -> None:
        """Another worker took over: end everything here and begin anew under another id."""
        lost = list(self.lifetimes.values())
        for lifetime in lost:
            lifetime.lose(LeaseLost())
        await asyncio.gather(*(lifetime.end() for lifetime in lost))
        for lifetime in lost:
            self._drop(lifetime)
        try:
            await self._membership.join()
        except StoreError:
            await self._pause_for(RETRY_MS)

    # ---- idleness

    def _changed(self, lifetime: Lifetime) -> None:
        seq = lifetime.instance.seq
        if lifetime.fatal is not None:
            failed = Errored(lifetime.fatal, lifetime.fatal.error())
            self._once(lifetime, lambda one: self._conclude(one, failed))
            return
        if lifetime.pause_asked_on is not None and not lifetime.is_busy and not self._is_draining:
            self._once(lifetime, self._finish_pause)
            return
        if lifetime.idle_until_ms is None:
            timer = self._idle_timers.pop(seq, None)
            if timer is not None:
                timer.cancel()
        elif seq not in self._idle_timers:
            timing = self.services.timing
            self._watch_idle(lifetime, timing.crowded_grace_ms if self._is_crowded else timing.grace_ms)

    def _watch_idle(self, lifetime: Lifetime, grace_ms: int) -> None:
        clock = self.services.clock
        self._idle_timers[lifetime.instance.seq] = clock.call_at(
            clock.now_ms() + grace_ms, lambda: self._is_idle_still(lifetime)
        )

    def _is_idle_still(self, lifetime: Lifetime) -> None:
        self._idle_timers.pop(lifetime.instance.seq, None)
        due_ms = lifetime.idle_until_ms
        if due_ms is None or lifetime.pause_asked_on is not None or lifetime.instance.seq in self._ending:
            return
        lifetime.close()  # at once: before the task below begins, a timer of this very moment could let it go on
        self._once(lifetime, lambda one: self._hibernate(one, due_ms))

    def _hurry_idle(self) -> None:
        for lifetime in self.lifetimes.values():
            timer = self._idle_timers.pop(lifetime.instance.seq, None)
            if timer is not None:
                timer.cancel()
                self._watch_idle(lifetime, self.services.timing.crowded_grace_ms)

    def _once(self, lifetime: Lifetime, how: Callable[[Lifetime], Awaitable[None]]) -> None:
        """Only one thing may end a lifetime."""
        seq = lifetime.instance.seq
        if seq in self._ending:
            return
        self._ending.add(seq)

        async def do() -> None:
            try:
                await how(lifetime)
            except (LeaseLost, StoreError) as lost:
                lifetime.lose(lost)
                await self._give_back(lifetime)
            except Exception as failed:  # the task's root: without this the instance would be held for ever
                log.exception("instance.failed_to_end seq=%d", seq)
                lifetime.lose(failed)
                await self._give_back(lifetime)

        self._spawn(do())

    async def _hibernate(self, lifetime: Lifetime, due_ms: int) -> None:
        await lifetime.end()
        instance, size = lifetime.instance, lifetime.state_bytes
        await self.writer.submit(lambda tx: leases.hibernate(tx, instance, due_ms, size), leased=True)
        self._drop(lifetime)

    # ---- commands

    def _obey(self, seq: int, pending_json: str) -> None:
        lifetime = self.lifetimes.get(seq)
        if lifetime is None:
            return
        kinds = [item["do"] for item in orjson.loads(pending_json)]
        if all(kind == EVENT for kind in kinds):
            self._spawn(self._take_notice(lifetime))
        elif any(kind in (Command.TERMINATE, Command.RESTART, Command.DELETE) for kind in kinds):
            if lifetime.is_undoing:
                lifetime.close()
            self._once(lifetime, self._stop)
        elif seq in self._ending and not lifetime.is_undoing:
            return  # it stays marked, and what ends the lifetime carries it out in its own commit
        else:
            self._spawn(self._pause_or_resume(lifetime, kinds))

    async def _take_notice(self, lifetime: Lifetime) -> None:
        """Clears the mark first: an event that comes later sets it again."""
        seq = lifetime.instance.seq
        await self.writer.submit(lambda tx: _clear_pending(tx, seq, EVENT), leased=True)
        lifetime.waits.notify()

    async def _stop(self, lifetime: Lifetime) -> None:
        """Terminate, restart or delete: the run ends first, then the rows change."""
        await lifetime.end()
        seq = lifetime.instance.seq

        def command(transaction: Transaction) -> None:
            head = read_head(transaction, seq)
            if head is not None:
                transaction.execute("UPDATE instances SET pending_cmd=NULL WHERE seq=?", (seq,))
                queue_woken(transaction, seq)
                carry_out_pending(transaction, head)

        await self.writer.submit(command, leased=True)
        self._drop(lifetime)

    async def _pause_or_resume(self, lifetime: Lifetime, kinds: list[str]) -> None:
        seq = lifetime.instance.seq
        now = self.services.clock.now_ms()
        wants_pause = [kind for kind in kinds if kind != EVENT][-1] == Command.PAUSE
        if wants_pause and lifetime.pause_asked_on is None:
            lifetime.hold(now)
            if lifetime.is_busy:
                await self.writer.submit(journal.waits_for_pause(lifetime.instance, now), leased=True)
        elif not wants_pause and lifetime.pause_asked_on is not None:
            by_ms = now - lifetime.pause_asked_on
            await self.writer.submit(journal.resumes(lifetime.instance, by_ms), leased=True)
            lifetime.go_on(by_ms)
        await self.writer.submit(lambda tx: _clear_pending(tx, seq, EVENT, Command.PAUSE, Command.RESUME), leased=True)
        lifetime.waits.notify()
        self._changed(lifetime)

    async def _finish_pause(self, lifetime: Lifetime) -> None:
        since = lifetime.pause_asked_on
        await lifetime.end()
        seq = lifetime.instance.seq

        def command(transaction: Transaction) -> None:
            head = read_head(transaction, seq)
            if head is not None:
                transaction.execute("UPDATE instances SET pending_cmd=NULL WHERE seq=?", (seq,))
                pause(transaction, head, since_ms=since)
                rest = [item for item in head.pending if item["do"] != Command.PAUSE]
                carry_out_pending(transaction, head, rest)

        await self.writer.submit(command, leased=True)
        self._drop(lifetime)


def _clear_pending(transaction: Transaction, seq: int, *kinds: str) -> None:
    head = read_head(transaction, seq)
    if head is None:
        return
    rest = [item for item in head.pending if item["do"] not in kinds]
    transaction.execute(
        "UPDATE instances SET pending_cmd=? WHERE seq=?", (orjson.dumps(rest).decode() if rest else None, seq)
    )
