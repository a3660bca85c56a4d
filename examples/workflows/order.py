"""An order: charge the card, ship, write to the customer; and give the money back if it can't be shipped.

    python -m examples.workflows.order

    onehop workflow worker --module examples.workflows.order
    onehop workflow trigger order --id order-1 \\
        '{"customer": "ann@example.com", "address": "1 Main St", "cents": 1999, "folder": "outbox"}'

The bank is down for the first `bank_down_for` attempts, to show the retries. An order without an address can't be
shipped: what was done before is undone, newest first. Three days after the parcel left, the customer is asked how it
was.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import TypedDict

from examples.workflows import outbox
from examples.workflows.params import read_params
from workflows import (
    NonRetryableError,
    RollbackInput,
    StepContext,
    Workflow,
    WorkflowEvent,
    WorkflowStep,
    open_engine,
)
from workflows.step_config import StepOptions

PATIENT: StepOptions = {
    "retries": {"limit": 4, "delay": "1 second", "backoff": "exponential"}, "timeout": "30 seconds",
}  # fmt: skip


class Order(TypedDict):
    """`folder` is where mails and payments go; money is in cents; the address may be empty."""

    customer: str
    address: str
    cents: int
    folder: str
    bank_down_for: int


NEEDED = {"customer": "ann@example.com", "cents": 1999, "folder": "outbox"}
UNLESS_TOLD = {"address": "", "bank_down_for": 0}


class OrderWorkflow(Workflow):
    name = "order"

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> dict[str, str]:
        order: Order = read_params(event.payload, like=NEEDED, default=UNLESS_TOLD)
        order_id, folder = event.instance_id, order["folder"]

        def charge_card(ctx: StepContext) -> str:
            if ctx.attempt <= order["bank_down_for"]:
                raise ConnectionError("the bank does not answer")
            return outbox.charge(folder, key=order_id, cents=order["cents"])

        def give_back(undone: RollbackInput) -> None:
            outbox.refund(folder, undone.output or order_id)  # no output: it failed, and may have paid all the same

        def ship() -> str:
            if not order["address"]:
                raise NonRetryableError("there is no address to ship to")
            return f"parcel-{order_id}"

        def tell_of_failure() -> str:
            return mail("sorry", "Your order could not be shipped", "You get your money back.")

        def mail(about: str, subject: str, text: str) -> str:
            key = f"{order_id}-{about}"
            return outbox.send_mail(folder, key=key, to=order["customer"], subject=subject, text=text)

        payment = await step.do("charge card", PATIENT, charge_card, rollback=give_back)
        try:
            parcel = await step.do("ship", ship)
        except NonRetryableError:
            await step.do("tell of failure", tell_of_failure)
            raise  # ends the instance, and with that the rollback begins
        await step.do("send confirmation", lambda: mail("confirmation", "It is on its way", f"Parcel {parcel}"))
        await step.sleep("let it arrive", "3 days")
        await step.do("ask for a review", lambda: mail("review", "How was it?", "Tell us."))
        return {"payment": payment, "parcel": parcel}


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_engine(Path(folder) / "workflows.db", [OrderWorkflow]) as engine:
            order = Order(customer="ann@example.com", address="", cents=1999, folder=folder, bank_down_for=1)
            handle = await engine.create(OrderWorkflow, id="order-1", params=order)
            await handle.ended()
            ended = await handle.status()
            print(f"order-1 without an address: {ended.status}, {ended.error.message if ended.error else ''}")
        for path in sorted(Path(folder).glob("order-1*")):  # noqa: ASYNC240 - nothing else runs any more
            print(f"--- {path.name}\n{path.read_text()}")


if __name__ == "__main__":
    asyncio.run(main())
