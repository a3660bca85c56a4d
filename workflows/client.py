"""Commands and reads on a store, for any process: one that runs workflows, an API server, a command line.

A client needs no worker. What it creates is queued for whichever worker loads that workflow; a command on an instance
that a worker runs is stored, that worker sees it within its poll, and the client waits (bounded) until it has.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from workflows.clock import Clock, SystemClock, from_ms
from workflows.duration import Duration
from workflows.errors import Failure, InstanceNotFound, WorkflowError, WorkflowNotFound
from workflows.identity import check_event_type, check_instance_id, check_new_instance_id
from workflows.intake import Intake
from workflows.limits import BATCH_BYTES_MAX, BATCH_MAX, Limits
from workflows.serialisation import Unserialisable, deserialise, serialise_limited
from workflows.states import Command, Status, Trigger
from workflows.store import instances
from workflows.store.chunks import sweep_chunks
from workflows.store.definitions import forget_workflow
from workflows.store.instances import NewInstance, new_id
from workflows.store.reads import Reads
from workflows.store.records import InstanceRecord, WorkflowRecord
from workflows.store.retention import sweep
from workflows.store.writer import Writer
from workflows.subscription import subscribe
from workflows.workflow import Retention, Workflow, name_of

PRIORITY_MAX: Final = 1_000_000_000
COMMAND_WAIT_S: Final = 5.0
COMMAND_POLL_S: Final = 0.02
RESULT_POLL_S_MAX: Final = 0.25  # thousands may wait at once; who waits long bears a tenth more
NOT_FOUND: Final = (10400, "workflows.api.error.instance.not_found")
INTERNAL: Final = (10001, "workflows.api.error.internal_server")
WorkflowRef = str | type[Workflow]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInstanceOptions:
    """What `create` takes, for `create_batch`. `params` is any storable value; None means {}."""

    id: str | None = None
    params: Any = None
    retention: Mapping[str, Duration] | None = None


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """`output` is None unless complete, `error` unless errored."""

    status: str
    output: Any
    error: Failure | None


@dataclass(frozen=True, slots=True)
class BatchDeleted:
    """One entry for each position of the request: its id among `deleted`, or (id, code, message) among `errors`."""

    deleted: tuple[str, ...]
    errors: tuple[tuple[str, int, str], ...]


@asynccontextmanager
async def open_client(
    path: Path, *, clock: Clock | None = None, limits: Limits | None = None
) -> AsyncIterator["Client"]:
    """Opens (makes, if need be) the store at `path`. Raises StoreError."""
    clock = clock or SystemClock()
    writer = Writer(path, clock.now_ms, busy_tries_max=0)
    try:
        client = Client(writer, clock, limits or Limits())
        try:
            yield client
        finally:
            client.reads.close()
    finally:
        await writer.close()


class Client:
    """`on_written` are called after each command: a worker beside it listens."""

    def __init__(self, writer: Writer, clock: Clock, limits: Limits) -> None:
        self.writer = writer
        self.clock = clock
        self.limits = limits
        self.reads = Reads(writer.path)
        self._intake = Intake(self.reads, clock, limits)
        self.on_written: list[Callable[[], None]] = []

    def _written(self) -> None:
        for listener in self.on_written:
            listener()

    def workflow(self, workflow: WorkflowRef) -> WorkflowRecord:
        """Raises WorkflowNotFound."""
        name = workflow if isinstance(workflow, str) else name_of(workflow)
        found = self.reads.workflow(name)
        if found is None:
            raise WorkflowNotFound(name)
        return found

    # ---- creating

    async def create(
        self,
        workflow: WorkflowRef,
        id: str | None = None,
        params: Any = None,
        retention: Mapping[str, Duration] | None = None,
        *,
        trigger: Trigger = Trigger.BINDING,
        priority: int = 0,
    ) -> "InstanceHandle":
        """Queued and synced when this returns. Raises WorkflowError: bad id, `instance.already_exists`, too large."""
        record = self.workflow(workflow)
        new = self._new_instance(id, params, retention, trigger, priority)
        self._intake.admit(record.id, 1)
        await self.writer.submit(lambda tx: instances.create(tx, record.id, [new], skip_known=False))
        self._written()
        return InstanceHandle(self, record.id, record.name, new.id)

    async def create_batch(
        self, workflow: WorkflowRef, wanted: Sequence[NewInstanceOptions], *, trigger: Trigger = Trigger.BINDING
    ) -> "list[InstanceHandle]":
        """1 to 100, in one transaction; ids that exist or come twice are left out. Raises WorkflowError for all."""
        record = self.workflow(workflow)
        _check_batch(len(wanted))
        new = [self._new_instance(one.id, one.params, one.retention, trigger, 0) for one in wanted]
        if sum(len(one.params) for one in new) > BATCH_BYTES_MAX:
            raise WorkflowError("payload.too_large", f"a batch's params take at most {BATCH_BYTES_MAX} bytes together")
        self._intake.admit(record.id, len(new))
        created = await self.writer.submit(lambda tx: instances.create(tx, record.id, new, skip_known=True))
        self._written()
        return [InstanceHandle(self, record.id, record.name, one.id) for one in created]

    def _new_instance(
        self, id_: str | None, params: Any, retention: Mapping[str, Duration] | None, trigger: Trigger, priority: int
    ) -> NewInstance:
        if id_ is not None:
            check_new_instance_id(id_)
        if not -PRIORITY_MAX <= priority <= PRIORITY_MAX:
            raise WorkflowError("body", f"priority is a number from -{PRIORITY_MAX} to {PRIORITY_MAX}")
        kept = Retention.parse(retention)
        try:
            data = serialise_limited({} if params is None else params, "params", self.limits.payload_bytes)
        except Unserialisable as problem:
            raise WorkflowError("body", f"params: {problem}") from problem
        return NewInstance(
            id=id_ if id_ is not None else new_id(), params=data, trigger=trigger, priority=priority,
            success_ret_ms=kept.success_ms, error_ret_ms=kept.error_ms,
        )  # fmt: skip

    async def terminate_all(self, workflow: WorkflowRef, status: Status | None = None) -> int:
        """Terminates every live instance (in `status`, if given) that is there now. Returns how many."""
        record = self.workflow(workflow)
        terminated = 0
        for instance_id in self.reads.live_ids(record.id, status):
            try:
                await self.command(record.id, instance_id, {"do": Command.TERMINATE})
            except WorkflowError:  # it ended, or was deleted, in between
                continue
            terminated += 1
        return terminated

    async def delete_workflow(self, workflow: WorkflowRef) -> None:
        """Deletes its instances, stopping those that run, and then the workflow itself."""
        record = self.workflow(workflow)
        while ids := self.reads.some_ids(record.id):
            for instance_id in ids:
                with contextlib.suppress(InstanceNotFound):
                    await self.command(record.id, instance_id, {"do": Command.DELETE})
        await self.writer.submit(lambda tx: forget_workflow(tx, record.id))

    async def collect(self) -> int:
        """Removes every instance whose retention is over, at once (workers do each minute). How many."""
        removed = 0
        while (swept := await self.writer.submit(sweep)) > 0:
            removed += swept
        while not await self.writer.submit(sweep_chunks):
            pass
        return removed

    # ---- one instance

    async def get(self, workflow: WorkflowRef, id: str) -> "InstanceHandle":
        """Raises InstanceNotFound."""
        record = self.workflow(workflow)
        self.record(record.id, id)
        return InstanceHandle(self, record.id, record.name, id)

    def record(self, workflow_id: str, instance_id: str) -> InstanceRecord:
        check_instance_id(instance_id)
        found = self.reads.instance(workflow_id, instance_id)
        if found is None:
            raise InstanceNotFound(workflow_id, instance_id)
        return found

    async def command(self, workflow_id: str, instance_id: str, command: dict[str, Any]) -> Status | None:
        """`command`: {"do": Command, "from"?, "rollback"?}. Returns the status after it; None once deleted.

        Where a worker runs the instance, that is after the worker has seen it, or after 5 s without.
        """
        check_instance_id(instance_id)
        head, is_pending = await self.writer.submit(lambda tx: instances.order(tx, workflow_id, instance_id, command))
        self._written()
        if is_pending:
            return await self._seen(head.seq, workflow_id, instance_id)
        found = self.reads.instance(workflow_id, instance_id)
        return found.status if found is not None and found.seq == head.seq else None

    async def _seen(self, seq: int, workflow_id: str, instance_id: str) -> Status | None:
        deadline = asyncio.get_running_loop().time() + COMMAND_WAIT_S
        while True:
            found = self.reads.instance(workflow_id, instance_id)
            if found is None or found.seq != seq:
                return None
            if not found.pending or asyncio.get_running_loop().time() > deadline:
                return found.status
            await asyncio.sleep(COMMAND_POLL_S)

    async def send_event(self, workflow_id: str, instance_id: str, event_type: str, payload: Any = None) -> None:
        """Synced when this returns. Raises WorkflowError."""
        check_instance_id(instance_id)
        check_event_type(event_type)
        try:
            data = serialise_limited(payload, "the event's payload", self.limits.payload_bytes)
        except Unserialisable as problem:
            raise WorkflowError("body", f"payload: {problem}") from problem
        await self.writer.submit(
            lambda tx: instances.send_event(tx, workflow_id, instance_id, event_type, data, self.limits)
        )
        self._written()

    async def delete_batch(self, workflow: WorkflowRef, ids: Sequence[str]) -> BatchDeleted:
        """1 to 100 ids; each is deleted once and reported for each of its positions. Raises WorkflowError."""
        record = self.workflow(workflow)
        _check_batch(len(ids))
        for instance_id in ids:
            check_instance_id(instance_id)
        problems: dict[str, tuple[int, str] | None] = {}
        for instance_id in dict.fromkeys(ids):
            try:
                await self.command(record.id, instance_id, {"do": Command.DELETE})
                problems[instance_id] = None
            except InstanceNotFound:
                problems[instance_id] = NOT_FOUND
            except WorkflowError:
                problems[instance_id] = INTERNAL
        return BatchDeleted(
            tuple(one for one in ids if problems[one] is None),
            tuple((one, *problem) for one in ids if (problem := problems[one]) is not None),
        )


def _check_batch(count: int) -> None:
    if not 1 <= count <= BATCH_MAX:
        raise WorkflowError("body", f"a batch has 1 to {BATCH_MAX} entries, not {count}")


class InstanceHandle:
    """One instance, by workflow and id. Every call raises InstanceNotFound once it is gone."""

    def __init__(self, client: Client, workflow_id: str, workflow_name: str, id: str) -> None:
        self._client = client
        self.workflow_id = workflow_id
        self.workflow_name = workflow_name
        self.id = id

    def record(self) -> InstanceRecord:
        return self._client.record(self.workflow_id, self.id)

    async def status(self) -> InstanceStatus:
        record = self.record()
        output = deserialise(record.output) if record.output is not None else None
        return InstanceStatus(record.status.api_name, output, record.error)

    async def pause(self) -> None:
        """Lets what runs finish and begins nothing new. Raises WorkflowError `instance.cannot_pause`."""
        await self._command({"do": Command.PAUSE})

    async def resume(self) -> None:
        """Goes on with what was left of every timer. Raises WorkflowError `instance.cannot_resume`."""
        await self._command({"do": Command.RESUME})

    async def terminate(self, *, rollback: bool = False) -> None:
        """Ends it; with `rollback` its steps are undone first. Raises WorkflowError `instance.cannot_terminate`."""
        await self._command({"do": Command.TERMINATE, "rollback": rollback})

    async def restart(self, from_: Mapping[str, Any] | None = None) -> None:
        """From the top, or from the step {"name", "count": 1, "type": "do"}. Raises `instance.cannot_restart`."""
        command: dict[str, Any] = {"do": Command.RESTART}
        if from_ is not None:
            command["from"] = parse_from(from_)
        await self._command(command)

    async def delete(self) -> None:
        """Stops it and removes all of it; its id is free again."""
        await self._command({"do": Command.DELETE})

    async def _command(self, command: dict[str, Any]) -> None:
        await self._client.command(self.workflow_id, self.id, command)

    async def send_event(self, type: str, payload: Any = None) -> None:
        """Raises WorkflowError `instance.cannot_send_event` once it has ended."""
        await self._client.send_event(self.workflow_id, self.id, type, payload)

    def subscribe(
        self, cursor: int | None = None, filter: Callable[[dict[str, Any]], bool] | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Its events past `cursor` (an eventId), then live ones, until it has ended; `filter` chooses among them."""
        return subscribe(self._client, self.record().seq, self.id, cursor=cursor, wanted=filter)

    async def result(self, timeout: float | None = None) -> Any:
        """Waits (seconds) for its end and returns the output. Raises its stored error, or TimeoutError.

        A terminated instance raises WorkflowError `instance.terminated`.
        """
        record = await self.ended(timeout)
        if record.status is Status.COMPLETE:
            assert record.output is not None
            return deserialise(record.output)
        if record.error is not None:
            raise record.error.error()
        raise WorkflowError("instance.terminated", f"instance {self.id!r} was terminated")

    async def ended(self, timeout: float | None = None) -> InstanceRecord:
        """Waits (seconds) for a terminal state. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.timeout(timeout):
            while not (record := self.record()).status.is_terminal:  # by looking: other processes end it too
                waited_s = loop.time() - began
                await asyncio.sleep(min(max(COMMAND_POLL_S, waited_s / 10), RESULT_POLL_S_MAX))
        return record

    def created_on(self) -> datetime:
        return from_ms(self.record().created_on)


def parse_from(from_: object) -> dict[str, Any]:
    """Raises WorkflowError `body`."""
    if not isinstance(from_, Mapping) or not isinstance(from_.get("name"), str):
        raise WorkflowError("body", "from needs a step's name")
    count = from_.get("count")
    kind = from_.get("type")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count < 2**31):
        raise WorkflowError("body", "from.count is a number from 1")
    if kind not in (None, "do", "sleep", "waitForEvent"):
        raise WorkflowError("body", "from.type is do, sleep or waitForEvent")
    return {"name": from_["name"], "count": count or 1, "type": kind or "do"}
