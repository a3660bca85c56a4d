"""Durable workflows on SQLite: code whose steps run once, survive a crash, sleep for months, and wait for people.

    class Purchase(Workflow):
        async def run(self, event, step):
            cart = await step.do("load cart", self.load)
            await step.sleep("cool off", "3 days")
            ok = await step.wait_for_event("approval", type="approved", timeout="1 hour")
            return {"by": ok.payload["by"]}

    async with open_engine("workflows.db", [Purchase]) as engine:
        handle = await engine.create(Purchase, params={"cart": 7})
        print(await handle.result())

Knows nothing of routing, nor of any other room.
"""

from workflows.client import Client, InstanceHandle, InstanceStatus, NewInstanceOptions, open_client
from workflows.engine import Engine, open_engine
from workflows.errors import (
    InstanceNotFound,
    LifetimeEnded,
    NonDeterminismError,
    NonRetryableDelayError,
    NonRetryableError,
    StepError,
    StoreError,
    WorkflowError,
    WorkflowFatalError,
    WorkflowInternalError,
    WorkflowNotFound,
    WorkflowTimeoutError,
)
from workflows.limits import Limits, Timing
from workflows.step import ReceivedEvent, RollbackInput, StepContext, WorkflowStep
from workflows.stored_stream import StoredStream
from workflows.sync_step import SyncWorkflowStep
from workflows.workflow import Workflow, WorkflowEvent

__all__ = [
    "Client", "Engine", "InstanceHandle", "InstanceNotFound", "InstanceStatus", "LifetimeEnded", "Limits",
    "NewInstanceOptions", "NonDeterminismError", "NonRetryableDelayError", "NonRetryableError", "ReceivedEvent",
    "RollbackInput", "StepContext", "StepError", "StoreError", "StoredStream", "SyncWorkflowStep", "Timing", "Workflow",
    "WorkflowError", "WorkflowEvent", "WorkflowFatalError", "WorkflowInternalError", "WorkflowNotFound", "WorkflowStep",
    "WorkflowTimeoutError", "open_client", "open_engine",
]  # fmt: skip
