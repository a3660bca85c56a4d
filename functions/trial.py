"""Whether a bundle starts: tried at its deploy, in a workerd of its own, so that its author hears of it, not a visitor.

    worker code → start_problem → None, or what workerd says of it

The modules are run, no handler of them is. What never ends or takes too much is ended with its process.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import orjson

from functions.workerd_config import CONTROL_FIELD
from functions.workerd_http import AskHead, WorkerdGone
from functions.workerd_process import RunFolder, WorkerdProcess, start_workerd

TRIAL_S_MAX: Final = 10.0
TRIAL_CPU_S_MAX: Final = 1.5
"""Below what counts as hung later on."""
RESIDENT_BYTES_MAX: Final = 768 * 1024 * 1024
LOOK_EVERY_S: Final = 0.05
STARTED: Final = 204
PROBLEM_CHARACTERS_MAX: Final = 2_000
WRAPPED: Final = "Failed to start Worker:"
"""How workerd begins what it says; the rest is the error itself, with its place in the bundle."""


def start_problem(program: Path, folder: RunFolder, code: bytes) -> str | None:
    """`code` is the dispatcher's JSON. Blocks, in a thread without an event loop. Raises WorkerdUnusable."""
    return asyncio.run(_tried(program, folder, code))


async def _tried(program: Path, folder: RunFolder, code: bytes) -> str | None:
    process = await start_workerd(program, folder, 0, on_made=lambda _: None)
    asked = asyncio.create_task(_ask(process, code))
    try:
        problem = await _watched(process, asked)
    finally:
        asked.cancel()
        process.kill()
        await process.ended.wait()
    return None if problem is None else problem.removeprefix(WRAPPED).strip()[:PROBLEM_CHARACTERS_MAX]


async def _watched(process: WorkerdProcess, asked: "asyncio.Task[str | None]") -> str | None:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + TRIAL_S_MAX
    idle = process.measure()
    while not asked.done():
        await asyncio.wait({asked}, timeout=LOOK_EVERY_S)
        measured = process.measure()
        if measured is not None and idle is not None:
            if measured.resident_bytes > RESIDENT_BYTES_MAX:
                return f"it takes more than {RESIDENT_BYTES_MAX // 2**20} MiB to start"
            if measured.cpu_s - idle.cpu_s > TRIAL_CPU_S_MAX:
                return f"it computes for more than {TRIAL_CPU_S_MAX:g} s before it has started"
        if loop.time() > deadline_s:
            return f"it hasn't started after {TRIAL_S_MAX:.0f} s"
    return asked.result()


async def _ask(process: WorkerdProcess, code: bytes) -> str | None:
    control = orjson.dumps({"trial": True})
    head = AskHead(
        b"POST", b"/", [(b"host", b"trial.onehop.invalid"), (CONTROL_FIELD.encode("ascii"), control)], len(code)
    )
    try:
        conversation = await process.way.ask(head)
        await conversation.send_body(code, is_last=True)
        start = await conversation.answer_start()
        said = b""
        while (part := await conversation.next_part()) is not None:
            said += part
    except WorkerdGone:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.ended.wait(), LOOK_EVERY_S)
        return "it brings its process down when it starts"
    return None if start.status == STARTED else said.decode("utf-8", "replace")
