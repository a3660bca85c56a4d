"""What a test has asked of an engine: which sleeps are skipped, which steps give what without being called."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from workflows.callbacks import Returned

Selector = tuple[str, int]  # a step's name and its occurrence, from 1


class Interventions(Protocol):
    """Asked by a lifetime. A step is named by its name and occurrence."""

    def skips_sleep(self, step: Selector) -> bool: ...
    def skips_delay(self, step: Selector) -> bool: ...
    def outcome(self, step: Selector) -> Callable[[], Returned[Any]] | None: ...
    def times_out(self, step: Selector) -> bool: ...
    def event(self, event_type: str) -> tuple[Any] | None: ...


def _raise(error: BaseException) -> Returned[Any]:
    raise error


@dataclass(slots=True)
class Planned:
    """The interventions of one instance. A set of steps that is None means every step."""

    sleeps: set[Selector] | None = field(default_factory=set)
    delays: set[Selector] | None = field(default_factory=set)
    results: dict[Selector, Any] = field(default_factory=dict)
    errors: dict[Selector, tuple[BaseException, int | None]] = field(default_factory=dict)
    wait_timeouts: set[Selector] = field(default_factory=set)
    events: list[tuple[str, Any]] = field(default_factory=list)

    def skips_sleep(self, step: Selector) -> bool:
        return self.sleeps is None or step in self.sleeps

    def skips_delay(self, step: Selector) -> bool:
        return self.delays is None or step in self.delays

    def outcome(self, step: Selector) -> Callable[[], Returned[Any]] | None:
        """In place of a call; a planned error comes first, and as often as it was planned."""
        if step in self.errors:
            error, times = self.errors[step]
            if times is None or times > 1:
                self.errors[step] = (error, None if times is None else times - 1)
            else:
                del self.errors[step]
            return lambda: _raise(error)
        if step in self.results:
            value = self.results[step]
            return lambda: Returned(value, 0)
        return None

    def times_out(self, step: Selector) -> bool:
        return step in self.wait_timeouts

    def event(self, event_type: str) -> tuple[Any] | None:
        """The next mocked event of the type, in a tuple; it is handed out once."""
        for position, (planned_type, payload) in enumerate(self.events):
            if planned_type == event_type:
                del self.events[position]
                return (payload,)
        return None
