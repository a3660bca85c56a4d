"""For authors' tests: sleeps that don't wait, mocked steps and events."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflows.callbacks import Returned
from workflows.errors import WorkflowTimeoutError

Selector = tuple[str, int]  # a step's name and its occurrence, from 1


def _raise(error: BaseException) -> Returned[Any]:
    raise error


@dataclass(slots=True)
class Interventions:
    """What a test has asked for; an engine's lifetimes consult it."""

    sleeps: set[Selector] | None = None
    every_sleep: bool = False
    delays: set[Selector] | None = None
    every_delay: bool = False
    results: dict[Selector, Any] = field(default_factory=dict)
    errors: dict[Selector, list[BaseException | None]] = field(default_factory=dict)

    def skips_sleep(self, name: str, count: int) -> bool:
        return self.every_sleep or (name, count) in (self.sleeps or ())

    def skips_delay(self, name: str, count: int) -> bool:
        return self.every_delay or (name, count) in (self.delays or ())

    def outcome(self, name: str, count: int) -> Callable[[], Returned[Any]] | None:
        planned = self.errors.get((name, count))
        if planned:
            error = planned.pop(0)
            if error is not None:
                raised = error
                return lambda: _raise(raised)
        if (name, count) in self.results:
            value = self.results[name, count]
            return lambda: Returned(value, 0)
        return None


__all__: Sequence[str] = ["Interventions", "WorkflowTimeoutError"]
