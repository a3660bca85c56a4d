"""Which step's callback runs here: for logs, and to see a step that is called within another's callback."""

import contextvars

from workflows.store.records import StepRecord

current_step: contextvars.ContextVar[tuple[object, StepRecord] | None] = contextvars.ContextVar(
    "workflows_current_step", default=None
)
