"""Undoes an instance's steps, newest first, one at a time, each as a durable step of its own."""

from typing import TYPE_CHECKING, Any, Final

from workflows.attempts import Work, run_attempts
from workflows.callbacks import takes_argument
from workflows.errors import Failure, LifetimeEnded, StoreError
from workflows.identity import rollback_key
from workflows.states import LogEvent, StepState
from workflows.step import RollbackInput, StepContext, StepName
from workflows.step_config import StepConfig
from workflows.store import journal
from workflows.store.records import StepRecord
from workflows.store.writer import LeaseLost
from workflows.stored_stream import result_value

if TYPE_CHECKING:
    from workflows.lifetime import Lifetime

MISSING: Final = "RollbackMissing"


async def undo(lifetime: "Lifetime", failure: Failure, error: BaseException) -> bool:
    """True if every undoing succeeded; the first that fails ends the chain. Both are logged."""
    begun = [step for step in lifetime.steps.values() if step.kind == "do" and step.has_rollback and step.id]
    begun.sort(key=lambda step: step.ord, reverse=True)
    completed = 0
    for step in begun:
        known = lifetime.steps.get(rollback_key(step.key))
        if known is not None and known.state is StepState.DONE:
            completed += 1
            continue
        problem = await _undo_one(lifetime, step, known, error)
        if problem is not None:
            meta = {"totalSteps": len(begun), "completedSteps": completed, "error": problem}
            await lifetime.commit(journal.note(lifetime.instance, LogEvent.ROLLBACK_FAILED, meta))
            return False
        completed += 1
    meta = {"totalSteps": len(begun), "completedSteps": completed}
    await lifetime.commit(journal.note(lifetime.instance, LogEvent.ROLLBACK_COMPLETE, meta))
    return True


async def _undo_one(
    lifetime: "Lifetime", step: StepRecord, known: StepRecord | None, error: BaseException
) -> dict[str, Any] | None:
    """None, or what went wrong."""
    rollback = lifetime.rollbacks.get(step.key)
    if rollback is None:
        return {"name": MISSING, "message": f"the code registered no rollback for step {step.name}-{step.count} again"}
    if known is not None and known.state is StepState.FAILED and known.error is not None:
        return {"name": known.error.name, "message": known.error.message}
    undoing = known or lifetime.rollback_step(step, rollback)
    is_done = step.state is StepState.DONE and step.result is not None
    output = result_value(lifetime.path, step.result or b"") if is_done else None
    original = StepContext(StepName(step.name, step.count), max(1, step.attempts), _config_of(step).for_author())
    given = RollbackInput(original, error, output)
    arguments = (given,) if takes_argument(rollback.function) else ()
    config = rollback.config
    if undoing.id and undoing.config_json is not None:
        config = StepConfig.decode(undoing.config_json, config)
    try:
        await run_attempts(lifetime, undoing, Work(rollback.function, lambda _: arguments, config))
    except (LeaseLost, StoreError) as lost:
        lifetime.lose(lost)
        raise LifetimeEnded from lost
    except Exception as raised:  # noqa: BLE001 - an author's rollback may raise anything; it ends the chain
        failed = Failure.of(raised)
        return {"name": failed.name, "message": failed.message}
    return None


def _config_of(step: StepRecord) -> StepConfig:
    return StepConfig.decode(step.config_json) if step.config_json is not None else StepConfig()
