"""An expense that a person approves, within three days; else it goes to the next person, and then it is refused.

    onehop workflow worker --module examples.workflows.approval
    onehop workflow trigger expense '{"what": "a chair", "cents": 40000, "approvers": ["ann", "bob"]}' --id chair
    onehop workflow send-event expense chair --type decision-ann --payload '{"approved": true}'

An event's type names the person, so that a late answer of the first one is not taken for the second one's.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import TypedDict

from examples.workflows.params import read_params
from workflows import Workflow, WorkflowEvent, WorkflowStep, WorkflowTimeoutError, open_engine

NEEDS_NOBODY_CENTS = 5_000


class Expense(TypedDict):
    what: str
    cents: int
    approvers: list[str]


class Decision(TypedDict):
    approved: bool
    by: str


CHAIR = Expense(what="a chair", cents=40_000, approvers=["ann", "bob"])


class ExpenseWorkflow(Workflow):
    name = "expense"

    async def run(self, event: WorkflowEvent, step: WorkflowStep) -> Decision:
        expense: Expense = read_params(event.payload, like=CHAIR)
        if expense["cents"] <= NEEDS_NOBODY_CENTS:
            return Decision(approved=True, by="the rules")
        for person in expense["approvers"]:
            await step.do(f"ask {person}", lambda person=person: f"{person}: may we buy {expense['what']}?")
            try:
                answer = await step.wait_for_event(f"answer of {person}", type=f"decision-{person}", timeout="3 days")
            except WorkflowTimeoutError:
                continue
            return Decision(approved=answer.payload["approved"] is True, by=person)
        return Decision(approved=False, by="nobody")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with open_engine(Path(folder) / "workflows.db", [ExpenseWorkflow]) as engine:
            handle = await engine.create(ExpenseWorkflow, id="chair", params=CHAIR)
            await handle.send_event("decision-ann", {"approved": True})
            print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
