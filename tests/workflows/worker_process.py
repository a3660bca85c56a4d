"""A worker in a process of its own, for tests that stop, stall or starve one.

Usage: worker_process.py STORE TIMING_JSON

Prints `ready`, then a line for each thing that happens in its workflows.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from workflows import Limits, Timing, Workflow, WorkflowEvent, open_engine


def say(*words: object) -> None:
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


async def pieces(attempt: int) -> AsyncIterator[bytes]:
    for _ in range(5):
        yield bytes([attempt]) * (256 << 10)  # asked for the next once the one before it is committed
    say("streaming", attempt)
    if attempt == 1:
        await asyncio.sleep(3600)


class Steps(Workflow):
    """Params: what to do in each step: `quick`, `slow` (0.3 s), `hang`, `sleep`, `block` (the loop, 3 s), `die`,
    `stream` (5 chunks, of which the first attempt doesn't come to an end)."""

    async def run(self, event: WorkflowEvent, step: Any) -> Any:
        results = []
        for number, what in enumerate(event.payload):

            async def callback(ctx: Any, what: str = what, number: int = number) -> Any:
                say("call", number, ctx.attempt, os.getpid())
                if what == "slow":
                    await asyncio.sleep(0.3)
                elif what == "hang" and ctx.attempt == 1:
                    await asyncio.sleep(3600)
                elif what == "stream":
                    return pieces(ctx.attempt)
                elif what == "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                elif what == "block" and ctx.attempt == 1:
                    time.sleep(3)
                return f"{what} {ctx.attempt}"

            if what == "sleep":
                await step.sleep("nap", 700)
            elif what == "stream":
                stream = await step.do("s", callback)
                results.append([sorted(set(chunk)) async for chunk in stream])
            else:
                results.append(await step.do(f"s{number}", callback))
        return results


async def work(store: Path, timing: Timing) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_engine(store, [Steps], timing=timing, limits=Limits(recoveries_max=3)):
        say("ready")
        await stop.wait()
    say("drained")


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), Timing(**json.loads(sys.argv[2]))))
