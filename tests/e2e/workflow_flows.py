"""The workflows that the e2e tests run, by `onehop workflow worker --module`."""

from typing import Any

from workflows import Workflow, WorkflowEvent, WorkflowStep


class Order(Workflow):
    """Charges (failing as often as told), rests, waits for a courier, and mails."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> Any:
        params = event.payload
        failures = params.get("failures", 0)

        def charge(ctx: Any) -> dict[str, str]:
            if ctx.attempt <= failures:
                raise ConnectionError("the bank is closed")
            return {"receipt": "r-9"}

        await step.do("charge", {"retries": {"limit": 2, "delay": 50}}, charge, rollback=lambda _: "refunded")
        await step.sleep("rest", params.get("rest_ms", 10))
        courier = await step.wait_for_event("courier", type=params.get("type", "picked-up"), timeout="1 hour")
        await step.do("mail", lambda: "sent")
        return {"courier": courier.payload}


class Idle(Workflow):
    """Is never started."""

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> None:
        return None
