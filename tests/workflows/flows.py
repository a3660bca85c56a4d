"""Tiny builders for tests: a workflow from a function, and looks into what was stored."""

from collections.abc import Callable
from typing import Any

from workflows import Workflow, WorkflowEvent
from workflows.store.reads import InstanceDetail, StepDetail
from workflows.testing import TestEngine

OpenEngine = Callable[..., Any]


def flow(body: Callable[..., Any], **attributes: Any) -> type[Workflow]:
    """A workflow named `flow` whose `run` is `body(event, step)`."""

    class Flow(Workflow):
        async def run(self, event: WorkflowEvent, step: Any) -> Any:
            return await body(event, step)

    for name, value in attributes.items():
        setattr(Flow, name, value)
    return Flow


async def run_once(engine: TestEngine, workflow: type[Workflow], params: Any = None) -> Any:
    """Creates instance `one` and lets all its time pass. Returns its output; raises its error."""
    handle = await engine.create(workflow, id="one", params=params)
    await engine.advance("20 days")
    return await handle.result(timeout=5)


def described(engine: TestEngine, workflow: type[Workflow], instance_id: str = "one") -> InstanceDetail:
    detail = engine.reads.describe(engine.workflow(workflow).id, instance_id)
    assert detail is not None
    return detail


def status_of(engine: TestEngine, workflow: type[Workflow], instance_id: str = "one") -> str:
    return described(engine, workflow, instance_id).instance.status.api_name


def step_of(engine: TestEngine, workflow: type[Workflow], name: str, count: int = 1, kind: str = "do") -> StepDetail:
    wanted = (kind, name, count)
    steps = described(engine, workflow).steps
    (found,) = [one for one in steps if (one.step.kind, one.step.name, one.step.count) == wanted]
    return found


def feed_types(engine: TestEngine, workflow: type[Workflow], instance_id: str = "one") -> list[str]:
    return [event.type for event in engine.reads.feed(described(engine, workflow, instance_id).instance.seq)]
