"""The example that introduced the model, in Python: steps that use earlier results, a sleep, a step that fails twice.

    python -m examples.workflows.first_steps

    onehop workflow worker --module examples.workflows.first_steps
    onehop workflow trigger first-steps '{"pause": "1 minute"}'

Whatever happens to the process in between, files are listed once and fetched once.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from examples.workflows.params import read_params
from workflows import StepContext, Workflow, WorkflowEvent, WorkflowStep, open_engine
from workflows.step_config import StepOptions

UNTIL_IT_WORKS: StepOptions = {
    "retries": {"limit": 5, "delay": "200 ms", "backoff": "exponential"}, "timeout": "15 minutes",
}  # fmt: skip


def list_files() -> list[str]:
    return ["minutes-3.pdf", "plan-final.pdf", "plan-final-2.pdf"]


class FirstSteps(Workflow):
    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> dict[str, Any]:
        params = read_params(event.payload, like={}, default={"pause": "1 second"})
        files = await step.do("list files", list_files)
        sizes = await step.do("measure them", lambda: {name: len(name) * 1000 for name in files})
        await step.sleep("wait a moment", params["pause"])

        def write_somewhere_shaky(ctx: StepContext) -> str:
            if ctx.attempt <= 2:
                raise ConnectionError("the other side went away")
            return f"{len(sizes)} sizes written"

        written = await step.do("write what fails at first", UNTIL_IT_WORKS, write_somewhere_shaky)
        return {"sizes": sizes, "written": written}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_engine(Path(folder) / "workflows.db", [FirstSteps]) as engine:
            handle = await engine.create(FirstSteps)
            print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
