"""Ten thousand pieces of work in one instance, each a step of its own, a few hundred at once.

    python -m examples.workflows.fan_out

    onehop workflow worker --module examples.workflows.fan_out
    onehop workflow trigger fan-out '{"pieces": 10000}'

What is done stays done: killed in the middle, it goes on with the pieces that are left. The pieces are asked for in the
same order each time, since that is how a step with a repeated name is found again.
"""

import asyncio
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import TypedDict

from examples.workflows.params import read_params
from workflows import Workflow, WorkflowEvent, WorkflowStep, open_engine

AT_ONCE = 500
PIECES_MAX = 20_000


class Wanted(TypedDict):
    pieces: int


class FanOutWorkflow(Workflow):
    name = "fan-out"
    steps_max = PIECES_MAX + 1  # 10,000 unless a workflow says otherwise

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> dict[str, int | str]:
        wanted: Wanted = read_params(event.payload, like=Wanted(pieces=10_000))

        async def work_on(piece: int) -> str:
            async def callback() -> str:
                return sha256(str(piece).encode()).hexdigest()

            return await step.do("piece", callback)

        results: list[str] = []
        for first in range(0, wanted["pieces"], AT_ONCE):
            pieces = range(first, min(first + AT_ONCE, wanted["pieces"]))
            results += await asyncio.gather(*(work_on(piece) for piece in pieces))
        whole = await step.do("put together", lambda: sha256("".join(results).encode()).hexdigest())
        return {"pieces": len(results), "whole": whole}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_engine(Path(folder) / "workflows.db", [FanOutWorkflow]) as engine:
            started = time.perf_counter()
            handle = await engine.create(FanOutWorkflow, params=Wanted(pieces=10_000))
            print(await handle.result(), f"in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
