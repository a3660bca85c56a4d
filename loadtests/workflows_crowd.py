"""What many instances cost that do nothing: a million that have ended, a hundred thousand that sleep. Ours alone.

Each store is made from one instance that really went that way: its rows are copied, under ids and numbers of their
own, so that what lies there is what a worker would have written.

    ended    steps a second beside a million ended instances and beside none, rounds in turns, in one process
    asleep   wakes 500 of the sleepers a second for a while: how late each one's code goes on, and the memory;
             then kills itself, and `awake` says how soon the next process has the store open with a worker at work
"""

import argparse
import asyncio
import json
import logging
import os
import resource
import signal
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import uvloop

from workflows import Workflow, open_engine
from workflows.engine import Engine

ENDED: Final = 1_000_000
ASLEEP: Final = 100_000
WAKES_PER_S: Final = 500
FAR_S: Final = 3600
LEAD_S: Final = 3  # until the first wake
STORE: Final = "workflows.db"
KIB: Final = 1024

woken_at_ms: dict[int, float] = {}


class Worked(Workflow):
    async def run(self, event: Any, step: Any) -> None:
        for _ in range(event.payload):
            await step.do("number", number)


class Sleeper(Workflow):
    async def run(self, event: Any, step: Any) -> None:
        await step.sleep("nap", "1 hour")
        woken_at_ms[int(event.instance_id.partition("-")[2])] = time.time() * 1000


async def number() -> int:
    return 1


def multiply(path: Path, count: int, *, wake_at: str = "NULL") -> None:
    """Makes `count` instances of the one that is there. `wake_at` is SQL over `k`, which of them it is."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN")
    copy(connection, "instances", count, {"seq": "seq + k", "id": "'c-' || (seq + k)", "wake_at": wake_at})
    (steps_count, log_ids), *_ = connection.execute("SELECT step_id, log_id FROM counters").fetchall()
    due = f"CASE WHEN due IS NOT NULL THEN {wake_at} END"
    step_id = f"id + k * {steps_count}"
    copy(connection, "steps", count, {"id": step_id, "instance_seq": "instance_seq + k", "due": due})
    its_step = f"step_id + k * {steps_count}"
    copy(
        connection, "log", count,
        {"id": f"id + k * {log_ids}", "instance_seq": "instance_seq + k", "step_id": its_step},
    )  # fmt: skip
    connection.execute("UPDATE counters SET step_id = step_id * ?1, log_id = log_id * ?1", (count,))
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def copy(connection: sqlite3.Connection, table: str, count: int, own: Mapping[str, str]) -> None:
    """`count` - 1 copies of its rows; `own` columns are SQL over the row and `k`, from 1."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.execute(
        f"INSERT INTO {table}({', '.join(columns)}) WITH RECURSIVE up(k) AS"
        f" (SELECT 1 UNION ALL SELECT k + 1 FROM up WHERE k < {count - 1})"
        f" SELECT {', '.join(own.get(column, column) for column in columns)} FROM up, (SELECT * FROM {table})"
    )


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Engine]:
    async with open_engine(path, [Worked, Sleeper]) as engine:
        yield engine


async def measure_ended(folder: Path, *, rounds: int, steps: int, ended: int) -> dict[str, Any]:
    """Steps a second, one instance at a time, and over 100 at once."""
    (folder / "many").mkdir()
    (folder / "none").mkdir()
    async with opened(folder / "many" / STORE) as engine:
        await (await engine.create(Worked, params=1)).result()
    multiply(folder / "many" / STORE, ended)
    rates: dict[str, dict[str, list[float]]] = {name: {"in_one": [], "over_100": []} for name in ("none", "many")}
    async with opened(folder / "none" / STORE) as none, opened(folder / "many" / STORE) as many:
        for round_ in range(rounds + 1):
            for name, engine in (("none", none), ("many", many)):
                for what, instances in (("in_one", 1), ("over_100", 100)):
                    each = steps if instances == 1 else steps // 10
                    began = time.perf_counter()
                    handles = await asyncio.gather(*(engine.create(Worked, params=each) for _ in range(instances)))
                    await asyncio.gather(*(handle.result() for handle in handles))
                    if round_:  # the first one warms
                        rates[name][what].append(instances * each / (time.perf_counter() - began))
        counts_ms = {name: time_counts(engine) for name, engine in (("none", none), ("many", many))}
    return {
        "steps_per_s": rates,
        "ratio": {
            what: statistics.median(rates["many"][what]) / statistics.median(rates["none"][what])
            for what in ("in_one", "over_100")
        },
        "counts_ms": counts_ms,
    }


def time_counts(engine: Engine) -> float:
    began = time.perf_counter()
    engine.reads.status_counts(engine.workflow(Worked).id)
    return (time.perf_counter() - began) * 1000


async def measure_asleep(folder: Path, *, asleep: int, wakes: int) -> NoReturn:
    """Prints its figures, then kills the process with all that it does."""
    path = folder / STORE
    async with opened(path) as engine:
        await engine.create(Sleeper)
        while engine.reads.next_wake_ms() is None:
            await asyncio.sleep(0.05)
    first = int(time.time() * 1000) + FAR_S * 1000
    multiply(path, asleep, wake_at=f"{first} + k * 1000 / {WAKES_PER_S}")
    shift = first - int((time.time() + LEAD_S) * 1000)  # only now, as the copying took its time
    with sqlite3.connect(path) as connection:
        nearer = (shift, wakes)
        connection.execute("UPDATE instances SET wake_at = wake_at - ? WHERE id LIKE 'c-%' AND seq <= 1 + ?", nearer)
        connection.execute("UPDATE steps SET due = due - ? WHERE instance_seq <= 1 + ? AND instance_seq > 1", nearer)
    start = first - shift
    async with opened(path) as engine:
        began_kib = resident_kib()
        while len(woken_at_ms) < wakes:
            await asyncio.sleep(0.1)
            if time.time() * 1000 > start + wakes * 1000 / WAKES_PER_S + 60_000:
                raise SystemExit(f"only {len(woken_at_ms)} of {wakes} woke")
        late = sorted(at - (start + (seq - 1) * 1000 // WAKES_PER_S) for seq, at in woken_at_ms.items())
        told = {
            "asleep": asleep,
            "lateness_ms": {f"p{p}": late[min(len(late) - 1, len(late) * p // 100)] for p in (50, 90, 99, 100)},
            "memory_mib": {"before": began_kib / KIB, "after": resident_kib() / KIB, "peak": peak_kib() / KIB},
        }
        await engine.create(Worked, params=10_000)  # so that something runs when the end comes
        print(json.dumps(told), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("outlived its SIGKILL")


async def measure_awake(folder: Path) -> dict[str, Any]:
    began = time.perf_counter()
    async with opened(folder / STORE) as engine:
        await (await engine.create(Worked, params=1)).result()
        return {"start_s": time.perf_counter() - began}


def resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * (resource.getpagesize() // KIB)


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def play(arguments: argparse.Namespace) -> None:
    match arguments.what:
        case "ended":
            told = await measure_ended(
                arguments.folder, rounds=arguments.rounds, steps=arguments.steps, ended=arguments.count or ENDED
            )
        case "asleep":
            wakes = arguments.seconds * WAKES_PER_S
            await measure_asleep(arguments.folder, asleep=arguments.count or ASLEEP, wakes=wakes)
        case _:
            told = await measure_awake(arguments.folder)
    print(json.dumps(told))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ended", "asleep", "awake"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=20)
    logging.disable(logging.WARNING)
    uvloop.run(play(parser.parse_args()))


if __name__ == "__main__":
    main()
