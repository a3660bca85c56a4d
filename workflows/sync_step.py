"""The steps of a plain `def run`: the same calls, each blocking the thread that `run` was given."""

import asyncio
import os
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from workflows.callbacks import FORKED_EXIT_CODE
from workflows.duration import Duration
from workflows.errors import LifetimeEnded
from workflows.step import ReceivedEvent, WorkflowStep


class SyncWorkflowStep:
    """As WorkflowStep, without `await`. When the lifetime ends, the call that blocks raises LifetimeEnded."""

    def __init__(self, step: WorkflowStep, loop: asyncio.AbstractEventLoop) -> None:
        self._step = step
        self._loop = loop
        self._pid = os.getpid()

    def do(self, name: str, *rest: Any, rollback: Any = None, rollback_config: Any = None) -> Any:
        return self._wait(self._step.do(name, *rest, rollback=rollback, rollback_config=rollback_config))

    def sleep(self, name: str, duration: Duration) -> None:
        self._wait(self._step.sleep(name, duration))

    def sleep_until(self, name: str, when: datetime | float) -> None:
        self._wait(self._step.sleep_until(name, when))

    def wait_for_event(
        self,
        name: str,
        *,
        type: str | None = None,
        event_type: str | None = None,
        timeout: Duration = "24 hours",
    ) -> ReceivedEvent:
        event: ReceivedEvent = self._wait(
            self._step.wait_for_event(name, type=type, event_type=event_type, timeout=timeout)
        )
        return event

    def _wait(self, call: Coroutine[Any, Any, Any]) -> Any:
        if os.getpid() != self._pid:  # a child that `run` forked: in it there is no loop that would answer
            os._exit(FORKED_EXIT_CODE)
        try:
            waited = asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError as closed:  # the loop is gone, and the worker with it
            call.close()
            raise LifetimeEnded from closed
        return waited.result()
