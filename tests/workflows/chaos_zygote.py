"""Forks workers for the chaos test: a line on stdin is one more worker, its pid is the answer.

Every callback and every beginning of a run appends one line to a shared file, in one write, so that the file's order
is the order in which it happened, over all processes.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

from workflows import Limits, SyncWorkflowStep, Timing, Workflow, WorkflowEvent, open_engine

STEPS = ("first", "second", "flaky", "left", "right", "last")
TIMING = Timing(lease_ms=5000, heartbeat_ms=1000, look_ms=50, poll_ms=20, grace_ms=60, crowded_grace_ms=10)


def note(*words: object) -> None:
    os.write(NOTES, (" ".join(str(word) for word in words) + "\n").encode())


class Chaos(Workflow):
    """`params` is the instance's number; the output is made of all its steps' results."""

    name = "chaos"

    async def run(self, event: WorkflowEvent, step: Any) -> Any:
        life, number, results = uuid4().hex[:8], event.payload, []

        def noted(name: str, value: int) -> Any:
            async def callback() -> int:
                note("call", number, name, life)
                await asyncio.sleep(0.002)
                return value

            return callback

        def on_thread() -> int:
            note("call", number, "second", life)
            return number * 2

        async def flaky(ctx: Any) -> int:
            note("call", number, "flaky", life)
            if ctx.attempt == 1:
                raise OSError("once")
            return number * 3

        async def do(name: str, callback: Any, config: Any = None) -> None:
            results.append(await step.do(name, config, callback))
            note("done", number, name, life)

        note("life", number, "-", life)
        await do("first", noted("first", number))
        await do("second", on_thread)
        await step.sleep("nap", 100)
        note("woke", number, "-", life)
        await do("flaky", flaky, {"retries": {"limit": 10, "delay": 20}})
        await asyncio.gather(do("left", noted("left", 1)), do("right", noted("right", 2)))
        got = await step.wait_for_event("go", type="go")
        await do("last", noted("last", got.payload))
        return sorted(results)


class ChaosOnThread(Workflow):
    """The same in a plain `run`."""

    name = "chaos-on-thread"

    def run(self, event: WorkflowEvent, step: SyncWorkflowStep) -> Any:  # type: ignore[override]
        life, number = uuid4().hex[:8], event.payload
        note("life", number, "-", life)
        results = []
        for name in ("first", "last"):

            def callback(name: str = name) -> int:
                note("call", number, name, life)
                return number

            results.append(step.do(name, callback))
            note("done", number, name, life)
            step.sleep(f"after {name}", 80)
        return results


async def work(store: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_engine(store, [Chaos, ChaosOnThread], timing=TIMING, limits=Limits(max_running=40)):
        await stop.wait()


def main() -> None:
    store = Path(sys.argv[1])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are reaped by the kernel
    while sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(0)
            asyncio.run(work(store))
            os._exit(0)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    NOTES = os.open(sys.argv[2], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    main()
