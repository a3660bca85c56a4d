"""What `run` is given to make its work durable: the steps. Each call is described where authors read it.

`WorkflowStep` checks what it is given and counts occurrences; the lifetime behind it does the rest.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from workflows.duration import Duration
from workflows.step_config import StepConfig, StepOptions

if TYPE_CHECKING:
    from workflows.lifetime import Lifetime

Result = TypeVar("Result")
Callback = Callable[..., Result | Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class StepName:
    """`count` is the occurrence, from 1."""

    name: str
    count: int


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a callback that takes an argument is called with. `attempt` is from 1; `config` is a copy of its own."""

    step: StepName
    attempt: int
    config: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """What `wait_for_event` returns. `timestamp` is when the event was received: aware, UTC."""

    type: str
    payload: Any
    timestamp: datetime

    def __getitem__(self, name: str) -> Any:
        if name not in ("type", "payload", "timestamp"):
            raise KeyError(name)
        return getattr(self, name)


@dataclass(frozen=True, slots=True)
class RollbackInput:
    """What a rollback is called with: the step's own context, what went wrong, and its output (None if it had none)."""

    ctx: StepContext
    error: BaseException
    output: Any

    def __getitem__(self, name: str) -> Any:
        if name not in ("ctx", "error", "output"):
            raise KeyError(name)
        return getattr(self, name)


class WorkflowStep:
    def __init__(self, lifetime: "Lifetime") -> None:
        self._lifetime = lifetime

    @overload
    async def do(
        self, name: str, callback: Callback[Result], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Result: ...  # fmt: skip

    @overload
    async def do(
        self, name: str, config: StepOptions | Mapping[str, Any] | None, callback: Callback[Result], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Result: ...  # fmt: skip

    async def do(self, name: str, *rest: Any, rollback: Any = None, rollback_config: Any = None) -> Any:
        """Runs `callback` and returns its result; once that is stored, every later lifetime returns it without a call.

        `callback` takes nothing or a StepContext; a plain function runs on a thread. It may run more than once (an
        attempt that failed, or whose process died, is made again), so it must be safe to repeat. Its result must be
        storable (serialisation.py) and at most 1 MiB.

        `config`: {"retries": {"limit", "delay", "backoff"}, "timeout", "sensitive"}, see step_config.py. By default
        5 retries after 1 s, 2 s, 4 s, 8 s, 16 s, and 10 minutes for each attempt.
        `rollback` is called with a RollbackInput, newest step first, when `run` fails or the instance is terminated
        with rollback; `rollback_config` takes retries and timeout.

        Raises the callback's last error once its attempts are used up (stored too), NonRetryableError at once,
        WorkflowTimeoutError for an attempt past its time, WorkflowFatalError for a bad name, config or callback.
        """
        config, callback = rest if len(rest) == 2 else (None, *rest) if len(rest) == 1 else (None, None)
        return await self._lifetime.do(name, config, callback, rollback, rollback_config)

    async def sleep(self, name: str, duration: Duration) -> None:
        """Waits `duration`: a number of milliseconds, a text such as "3 days", or a timedelta; at most 365 days.

        The end is stored at the first call: a restart of the process does not begin it anew, and what is overdue
        then ends at once. Raises WorkflowFatalError for a duration that is none.
        """
        await self._lifetime.sleep(name, duration)

    async def sleep_until(self, name: str, when: datetime | float) -> None:
        """Waits until `when`: an aware datetime, or a number since the epoch (below 10^11 seconds, above milliseconds).

        Raises WorkflowFatalError if `when` has passed at the first call; later calls keep the stored time.
        """
        await self._lifetime.sleep_until(name, when)

    async def wait_for_event(
        self,
        name: str,
        *,
        type: str | None = None,
        event_type: str | None = None,
        timeout: Duration = "24 hours",
    ) -> ReceivedEvent:
        """Waits for an event of this type (`event_type` is another spelling) and takes it, the oldest if several came.

        Events that came before the wait count. Raises WorkflowTimeoutError after `timeout` (default 24 hours, also
        for 0 or ""; at most 365 days); that is stored too.
        """
        taken = await self._lifetime.wait_for_event(name, type if type is not None else event_type, timeout)
        return cast(ReceivedEvent, taken)


@dataclass(frozen=True, slots=True)
class Rollback:
    """A step's undoing as this lifetime's code registered it."""

    function: Callable[..., Any]
    config: StepConfig
