"""Waiting for one of two things that others tell: a payment went through, or it failed. Whichever comes first.

    python -m examples.workflows.webhooks

    onehop workflow worker --module examples.workflows.webhooks
    onehop workflow trigger checkout --id basket-1
    onehop workflow send-event checkout basket-1 --type payment-succeeded --payload '{"card": "…4242"}'

The web handler that gets the payment service's call does `send_event`, and is done: the event is kept, whether the
instance waits already or not. A race is decided anew in each lifetime, and both sides may have come by then. So what
came first is put into a step's result, and only that is gone by.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from workflows import ReceivedEvent, Workflow, WorkflowEvent, WorkflowStep, WorkflowTimeoutError, open_engine


class Checkout(Workflow):
    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> dict[str, Any]:
        invoice = await step.do("write the invoice", lambda: f"invoice-{event.instance_id}")
        waits = [
            asyncio.ensure_future(step.wait_for_event(f"payment {end}", type=f"payment-{end}", timeout="4 hours"))
            for end in ("succeeded", "failed")
        ]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

            def note() -> dict[str, Any]:
                return first_of(done)

            first: dict[str, Any] = await step.do("note what came first", note)
        finally:
            for wait in waits:
                wait.cancel()
        return {"invoice": invoice, **first}


def first_of(done: "set[asyncio.Task[ReceivedEvent]]") -> dict[str, Any]:
    """Success counts, should both have come while nobody looked."""
    events = [wait.result() for wait in done if not isinstance(wait.exception(), WorkflowTimeoutError)]
    if not events:
        return {"paid": False, "why": "nobody paid within 4 hours"}
    paid = next((event for event in events if event.type == "payment-succeeded"), None)
    return {"paid": True, "by": paid.payload} if paid else {"paid": False, "why": events[0].payload}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_engine(Path(folder) / "workflows.db", [Checkout]) as engine:
            handle = await engine.create(Checkout, id="basket-1")
            await handle.send_event("payment-failed", {"reason": "card expired"})
            print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
