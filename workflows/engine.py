"""Where the parts are put together: a store, the workflows that this process runs, and a worker for them."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from workflows.callbacks import CallbackThreads
from workflows.client import Client
from workflows.clock import Clock, SystemClock
from workflows.errors import StoreError, WorkflowFatalError
from workflows.interventions import Interventions
from workflows.lifetime import Services
from workflows.limits import STEPS_MAX_ALLOWED, Limits, Timing
from workflows.store.chunks import CHUNKS_A_COMMIT_MAX
from workflows.store.definitions import Registration, register_workflow
from workflows.store.writer import Writer
from workflows.worker import Worker
from workflows.workflow import Definition, Retention, Workflow


class Engine(Client):
    """A client with a worker beside it. Open one with `open_engine`; leaving its block drains it."""

    def __init__(self, writer: Writer, clock: Clock, limits: Limits, services: Services) -> None:
        super().__init__(writer, clock, limits)
        self.services = services
        self.definitions: dict[str, Definition] = {}
        self.worker = Worker(writer, services, self.definitions, self._take_up)
        self.on_written.append(self.worker.ring)

    async def register(self, workflow: type[Workflow]) -> None:
        """Makes a class known to the store and to this worker. Raises WorkflowError, TypeError."""
        definition = Definition.of(workflow)
        registration = registration_of(definition, self.services.timing)
        workflow_id, _ = await self.writer.submit(lambda tx: register_workflow(tx, registration))
        self.definitions[workflow_id] = definition
        self.worker.ring()

    async def _take_up(self, name: str) -> None:
        loaded = next(each.workflow for each in self.definitions.values() if each.name == name)
        with contextlib.suppress(StoreError):  # the worker looks again
            await self.register(loaded)


@asynccontextmanager
async def open_engine(
    path: Path | str, workflows: Iterable[type[Workflow]], *, limits: Limits | None = None,
    timing: Timing | None = None, clock: Clock | None = None, engine_class: "type[Engine] | None" = None,
    chance: Callable[[], float] = random.random,
    interventions: Callable[[str, str], Interventions | None] = lambda _workflow, _instance_id: None,
) -> AsyncIterator[Engine]:  # fmt: skip
    """Opens (makes, if need be) the store at `path` and runs `workflows` until the block ends. Raises StoreError.

    Several processes may do so with one path, on one machine: they share the work.
    """
    clock, limits = clock or SystemClock(), limits or Limits()
    writer = Writer(Path(path), clock.now_ms)
    threads = CallbackThreads(limits.threads, limits.given_up_threads)
    run_threads = CallbackThreads(limits.running_per_worker, limits.given_up_threads)
    try:
        services = Services(
            writer, clock, limits, timing or Timing(), threads, run_threads, asyncio.Semaphore(CHUNKS_A_COMMIT_MAX),
            chance, interventions,
        )  # fmt: skip
        engine = (engine_class or Engine)(writer, clock, limits, services)
        for workflow in workflows:
            await engine.register(workflow)
        await engine.worker.start()
        try:
            yield engine
        finally:
            await asyncio.shield(engine.worker.drain())
            engine.reads.close()
    finally:
        threads.close()
        run_threads.close()
        await writer.close()


def registration_of(definition: Definition, timing: Timing) -> Registration:
    workflow = definition.workflow
    steps = workflow.steps_max
    if steps is not None and not 1 <= steps <= STEPS_MAX_ALLOWED:
        raise WorkflowFatalError(f"workflow {definition.name}: steps_max is 1 to {STEPS_MAX_ALLOWED}, not {steps}")
    retention = Retention.parse(workflow.retention)
    limits: dict[str, Any] | None = {"steps": steps} if steps is not None else None
    return Registration(
        name=definition.name, script_name=workflow.__module__, class_name=workflow.__qualname__,
        code_hash=definition.code_hash, limits_json=orjson.dumps(limits).decode() if limits else None,
        schedules_json=orjson.dumps([{"cron": cron.text} for cron in definition.schedules]).decode()
        if definition.schedules
        else None, success_ret_ms=_or(retention.success_ms, timing.success_retention_ms),
        error_ret_ms=_or(retention.error_ms, timing.error_retention_ms),
        max_running=workflow.max_running,
    )  # fmt: skip


def _or(own: int | None, wider: int) -> int:
    return wider if own is None else own
