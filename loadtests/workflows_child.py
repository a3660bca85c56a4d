"""One round of `loadtests.workflows` for one engine, in a process of its own: DBOS keeps one instance of itself for
each process, and neither engine should find the other's threads.

Both do the same: async steps that return a number, on uvloop, in one process, from a warm start. Both get SQLite in
WAL mode with `synchronous=FULL`, so that both sync each commit. That is to DBOS's advantage: by itself it takes SQLite
as it comes, with a rollback journal, which syncs more often for each commit (`dbos-as-it-comes` measures that). Its
async form is measured because it is the faster one of its two.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import uvloop

INSTANCES_AT_ONCE: Final = 100
POLL_S: Final = 0.005
WARM_S: Final = 1.5  # until each has written over its log once: to make a file longer costs a sync twice the time


class Contender(Protocol):
    """An engine with one workflow: sleep, if told to, then so many steps."""

    async def run(self, instances: int, *, steps: int) -> None:
        """Creates them, each with a commit of its own; returns once all are done."""
        ...

    async def put_to_sleep(self, instances: int, *, sleep_s: int) -> None:
        """Returns once each one's waking time is stored."""
        ...

    async def wait_until_done(self, instances: int) -> None: ...


async def number() -> int:
    return 1


@asynccontextmanager
async def open_ours(folder: Path) -> AsyncIterator[Contender]:
    from workflows import NewInstanceOptions, Workflow, open_engine
    from workflows.limits import BATCH_MAX
    from workflows.states import Status

    class Steps(Workflow):
        async def run(self, event: Any, step: Any) -> None:
            if event.payload["sleep_s"]:
                await step.sleep("nap", event.payload["sleep_s"] * 1000)
            for _ in range(event.payload["steps"]):
                await step.do("number", number)

    async with open_engine(folder / "workflows.db", [Steps]) as engine:
        workflow_id = engine.workflow(Steps).id
        done = engine.reads.count_instances(workflow_id, Status.COMPLETE)

        async def count_up_to(instances: int, status: Status) -> None:
            while engine.reads.count_instances(workflow_id, status) < instances:
                await asyncio.sleep(POLL_S)

        class Ours:
            async def run(self, instances: int, *, steps: int) -> None:
                nonlocal done
                done += instances
                params = {"sleep_s": 0, "steps": steps}
                await asyncio.gather(*(engine.create(Steps, params=params) for _ in range(instances)))
                await count_up_to(done, Status.COMPLETE)

            async def put_to_sleep(self, instances: int, *, sleep_s: int) -> None:
                options = NewInstanceOptions(params={"sleep_s": sleep_s, "steps": 0})
                for first in range(0, instances, BATCH_MAX):
                    await engine.create_batch(Steps, [options] * min(BATCH_MAX, instances - first))
                await count_up_to(instances, Status.WAITING)

            async def wait_until_done(self, instances: int) -> None:
                await count_up_to(instances, Status.COMPLETE)

        yield Ours()


@asynccontextmanager
async def open_dbos(folder: Path, *, as_it_comes: bool) -> AsyncIterator[Contender]:
    import sqlalchemy
    from dbos import DBOS, DBOSConfig

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def make_durable(connection: Any, _record: Any) -> None:
        if not as_it_comes:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    path = folder / "dbos.sqlite"
    config: DBOSConfig = {"name": "loadtest", "system_database_url": f"sqlite:///{path}", "log_level": "ERROR"}
    dbos = DBOS(config=config)
    durable_number = DBOS.step()(number)

    @DBOS.workflow()
    async def steps_workflow(steps: int, sleep_s: int) -> None:
        if sleep_s:
            await DBOS.sleep_async(sleep_s)
        for _ in range(steps):
            await durable_number()

    async def count_up_to(instances: int, table_and_condition: str) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            while connection.execute(f"SELECT count(*) FROM {table_and_condition}").fetchone()[0] < instances:
                await asyncio.sleep(POLL_S * 10)  # it looks through its whole table, unlike ours

    class Dbos:
        async def run(self, instances: int, *, steps: int) -> None:
            places = asyncio.Semaphore(INSTANCES_AT_ONCE)

            async def run_one() -> None:
                async with places:
                    await (await DBOS.start_workflow_async(steps_workflow, steps, 0)).get_result()

            await asyncio.gather(*(run_one() for _ in range(instances)))

        async def put_to_sleep(self, instances: int, *, sleep_s: int) -> None:
            for _ in range(instances):
                await DBOS.start_workflow_async(steps_workflow, 0, sleep_s)
            await count_up_to(instances, "operation_outputs")

        async def wait_until_done(self, instances: int) -> None:
            await count_up_to(instances, "workflow_status WHERE status = 'SUCCESS'")

    dbos.launch()
    try:
        yield Dbos()
    finally:
        dbos.destroy(workflow_completion_timeout_sec=0)


CONTENDERS: Final = {
    "ours": open_ours,
    "dbos": partial(open_dbos, as_it_comes=False),
    "dbos-as-it-comes": partial(open_dbos, as_it_comes=True),
}


async def measure_rates(contender: Contender, *, sequential: int, concurrent: int, instances: int) -> dict[str, float]:
    """Units per second. `sequential`: steps in one instance; `concurrent`: steps in each of 100."""

    async def time_run(count: int, steps: int) -> float:
        started = time.perf_counter()
        await contender.run(count, steps=steps)
        return time.perf_counter() - started

    warm_at = time.perf_counter() + WARM_S
    while time.perf_counter() < warm_at:
        await time_run(5, 20)
    return {
        "sequential_steps_per_s": sequential / await time_run(1, sequential),
        "steps_per_s": INSTANCES_AT_ONCE * concurrent / await time_run(INSTANCES_AT_ONCE, concurrent),
        "instances_per_s": instances / await time_run(instances, 1),
    }


async def play(arguments: argparse.Namespace) -> None:
    """Prints the figures as JSON; after `fall-asleep` the process kills itself and says nothing."""
    started = time.perf_counter()
    async with CONTENDERS[arguments.engine](arguments.folder) as contender:
        match arguments.what:
            case "rates":
                sizes = {name: getattr(arguments, name) for name in ("sequential", "concurrent", "instances")}
                print(json.dumps(await measure_rates(contender, **sizes)))
            case "fall-asleep":
                await contender.put_to_sleep(arguments.instances, sleep_s=arguments.sleep_s)
                os.kill(os.getpid(), signal.SIGKILL)
            case "wake":
                await contender.wait_until_done(arguments.instances)
                print(json.dumps({"wake_s": time.perf_counter() - started}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=CONTENDERS)
    parser.add_argument("what", choices=("rates", "fall-asleep", "wake"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sequential", type=int, default=100)
    parser.add_argument("--concurrent", type=int, default=20)
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--sleep-s", type=int, default=20)
    logging.disable(logging.WARNING)
    uvloop.run(play(parser.parse_args()))


if __name__ == "__main__":
    main()
