"""What `run` is given to make its work durable: the steps. Each call is described where authors read it.

`WorkflowStep` checks what it is given and counts occurrences; the lifetime behind it does the rest.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, overload

from workflows.decorated import DecoratedStep
from workflows.duration import Duration
from workflows.step_config import StepConfig, StepOptions
from workflows.stored_stream import StoredStream
from workflows.streams import ByteStream

if TYPE_CHECKING:
    from workflows.calls import StepCalls

Result = TypeVar("Result")


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
    def __init__(self, calls: "StepCalls") -> None:
        self._calls = calls

    @overload
    def do(
        self, name: str, callback: Callable[..., ByteStream] | Callable[..., Awaitable[ByteStream]], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Coroutine[Any, Any, StoredStream]: ...  # fmt: skip

    @overload
    def do(
        self, name: str, config: StepOptions | None,
        callback: Callable[..., ByteStream] | Callable[..., Awaitable[ByteStream]], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Coroutine[Any, Any, StoredStream]: ...  # fmt: skip

    @overload
    def do(
        self, name: str, callback: Callable[..., Awaitable[Result]], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Coroutine[Any, Any, Result]: ...  # fmt: skip

    @overload
    def do(
        self, name: str, callback: Callable[..., Result], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Coroutine[Any, Any, Result]: ...  # fmt: skip

    @overload
    def do(
        self, name: str, config: StepOptions | None, callback: Callable[..., Awaitable[Result]], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Coroutine[Any, Any, Result]: ...  # fmt: skip

    @overload
    def do(
        self, name: str, config: StepOptions | None, callback: Callable[..., Result], /, *,
        rollback: Callable[..., Any] | None = None, rollback_config: StepOptions | None = None,
    ) -> Coroutine[Any, Any, Result]: ...  # fmt: skip

    @overload
    def do(
        self, name: str, /, *, depends: Sequence[DecoratedStep[Any]] = (), concurrent: bool = False,
        config: StepOptions | None = None,
    ) -> Callable[[Callable[..., Any]], DecoratedStep[Any]]: ...  # fmt: skip

    def do(
        self, name: str, *rest: Any, rollback: Any = None, rollback_config: Any = None,
        depends: Sequence[DecoratedStep[Any]] = (), concurrent: bool = False, config: Any = None,
    ) -> Any:  # fmt: skip
        """Runs `callback` and returns its result; once that is stored, every later lifetime returns it without a call.

        `callback` takes nothing or a StepContext; a plain function runs on a thread. It may run more than once (an
        attempt that failed, or whose process died, is made again), so it must be safe to repeat. Its result must be
        storable (serialisation.py) and at most 1 MiB, or a byte stream of any length (streams.py): the step then gives
        a StoredStream.

        `config`: {"retries": {"limit", "delay", "backoff"}, "timeout", "sensitive"}, see step_config.py. By default
        5 retries after 1 s, 2 s, 4 s, 8 s, 16 s, and 10 minutes for each attempt.
        `rollback` is called with a RollbackInput, newest step first, when `run` fails or the instance is terminated
        with rollback; `rollback_config` takes retries and timeout.

        Raises the callback's last error once its attempts are used up (stored too), NonRetryableError at once,
        WorkflowTimeoutError for an attempt past its time, WorkflowFatalError for a bad name, config or callback.

        Without a callback it is a decorator, see decorated.py.
        """
        if not rest:
            return self.with_rollback(name, depends=depends, concurrent=concurrent, config=config)
        options, callback = rest if len(rest) == 2 else (None, *rest)
        self._calls.ask("do", name)
        return self._calls.do(name, options, callback, rollback, rollback_config)

    def with_rollback(
        self, name: str, *, depends: Sequence[DecoratedStep[Any]] = (), concurrent: bool = False,
        config: StepOptions | None = None,
    ) -> Callable[[Callable[..., Any]], DecoratedStep[Any]]:  # fmt: skip
        """The decorator form, under the name that says what it is for: `@step.with_rollback("x")`, then `@fn.undo`."""

        def decorate(function: Callable[..., Any]) -> DecoratedStep[Any]:
            return DecoratedStep(self.do, name, function, depends=depends, concurrent=concurrent, config=config)

        return decorate

    async def rollback_all(self, error: BaseException) -> NoReturn:
        """Ends the run with `error`: what has begun and has an undoing is undone, newest first."""
        raise error

    def sleep(self, name: str, duration: Duration) -> Coroutine[Any, Any, None]:
        """Waits `duration`: a number of milliseconds, a text such as "3 days", or a timedelta; at most 365 days.

        The end is stored at the first call: a restart of the process does not begin it anew, and what is overdue
        then ends at once. Raises WorkflowFatalError for a duration that is none.
        """
        self._calls.ask("sleep", name)
        return self._calls.sleep(name, duration)

    def sleep_until(self, name: str, when: datetime | float) -> Coroutine[Any, Any, None]:
        """Waits until `when`: an aware datetime, or a number since the epoch (below 10^11 seconds, above milliseconds).

        Raises WorkflowFatalError if `when` has passed at the first call; later calls keep the stored time.
        """
        self._calls.ask("sleep", name)
        return self._calls.sleep_until(name, when)

    def wait_for_event(
        self,
        name: str,
        *,
        type: str | None = None,
        event_type: str | None = None,
        timeout: Duration = "24 hours",
    ) -> Coroutine[Any, Any, ReceivedEvent]:
        """Waits for an event of this type (`event_type` is another spelling) and takes it, the oldest if several came.

        Events that came before the wait count. Raises WorkflowTimeoutError after `timeout` (default 24 hours, also
        for 0 or ""; at most 365 days); that is stored too.
        """
        self._calls.ask("waitForEvent", name)
        taken = self._calls.wait_for_event(name, type if type is not None else event_type, timeout)
        return cast(Coroutine[Any, Any, ReceivedEvent], taken)


@dataclass(frozen=True, slots=True)
class Rollback:
    """A step's undoing as this lifetime's code registered it."""

    function: Callable[..., Any]
    config: StepConfig
