"""A step's settings: what an author may write, the defaults under it, and the form in which it is stored.

What was merged at a step's first call is stored and stays in force, whatever the code says later. A delay
function can't be stored: a marker is, and the function is taken from the code that runs.
"""

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

import orjson

from workflows.duration import Duration, DurationRefused, parse_duration_ms
from workflows.errors import WorkflowFatalError
from workflows.retry import Backoff


class DelayInput(TypedDict):
    """What a delay function is called with."""

    ctx: Any
    error: BaseException


DelayFunction = Callable[[DelayInput], Duration | Awaitable[Duration]]
Delay = Duration | DelayFunction


class RetriesOption(TypedDict, total=False):
    limit: float
    delay: Delay
    backoff: Backoff


class StepOptions(TypedDict, total=False):
    """`retries` needs `limit` and `delay`; `timeout` is per attempt; `sensitive` hides the output in logs and API."""

    retries: RetriesOption
    timeout: Duration
    sensitive: str


DEFAULT_LIMIT: Final = 5
LIMIT_MAX: Final = 1_000_000_000
DEFAULT_DELAY_MS: Final = 1000
DEFAULT_TIMEOUT: Final = "10 minutes"
DYNAMIC: Final = "[dynamic]"
INFINITE: Final = "Infinity"
BACKOFFS: Final = ("constant", "linear", "exponential")


@dataclass(frozen=True, slots=True)
class StepConfig:
    """Merged and checked. `delay_written` and `timeout_written` are the author's own spelling, for the API."""

    retries_limit: float = DEFAULT_LIMIT
    delay_ms: int = DEFAULT_DELAY_MS
    backoff: Backoff = "exponential"
    timeout_ms: int = 600_000
    is_sensitive: bool = False
    delay_written: str | float = DEFAULT_DELAY_MS
    timeout_written: str | float = DEFAULT_TIMEOUT
    delay_function: DelayFunction | None = field(default=None, compare=False)
    has_delay_function: bool = False

    @classmethod
    def parse(cls, options: object) -> "StepConfig":
        """Raises WorkflowFatalError for anything that is not a StepOptions."""
        if options is None:
            return DEFAULT
        given = _mapping(options, "a step's config", {"retries", "timeout", "sensitive"})
        limit: float = DEFAULT_LIMIT
        delay: Any = DEFAULT_DELAY_MS
        backoff: Any = "exponential"
        if given.get("retries") is not None:
            retries = _mapping(given["retries"], "retries", {"limit", "delay", "backoff"})
            for needed in ("limit", "delay"):
                if retries.get(needed) is None:
                    raise WorkflowFatalError(f"a step's config: retries needs {needed!r}")
            limit, delay = _limit(retries["limit"]), retries["delay"]
            backoff = "exponential" if retries.get("backoff") is None else retries["backoff"]
        if backoff not in BACKOFFS:
            raise WorkflowFatalError(f"a step's config: retries.backoff is one of {BACKOFFS}, not {backoff!r}")
        sensitive = given.get("sensitive")
        if sensitive not in (None, "output") or isinstance(sensitive, bool):
            raise WorkflowFatalError(f"a step's config: sensitive is 'output' or absent, not {sensitive!r}")
        timeout = DEFAULT_TIMEOUT if given.get("timeout") is None else given["timeout"]
        timeout_ms = _duration_ms(timeout, "timeout")
        if timeout_ms == 0:
            raise WorkflowFatalError("a step's config: timeout is more than 0")
        is_function = callable(delay)
        return cls(
            retries_limit=limit,
            delay_ms=DEFAULT_DELAY_MS if is_function else _duration_ms(delay, "retries.delay"),
            backoff=backoff,
            timeout_ms=timeout_ms,
            is_sensitive=sensitive == "output",
            delay_written=DYNAMIC if is_function else _written(delay),
            timeout_written=_written(timeout),
            delay_function=delay if is_function else None,
            has_delay_function=is_function,
        )

    def shown(self) -> dict[str, Any]:
        """The merged config as the API shows it."""
        limit: float | str = INFINITE if math.isinf(self.retries_limit) else self.retries_limit
        shown: dict[str, Any] = {
            "retries": {"limit": limit, "delay": self.delay_written, "backoff": self.backoff},
            "timeout": self.timeout_written,
        }
        if self.is_sensitive:
            shown["sensitive"] = "output"
        return shown

    def encode(self) -> str:
        return DEFAULT_ENCODED if self is DEFAULT else orjson.dumps(self.shown()).decode()

    @classmethod
    def decode(cls, stored: str, live: "StepConfig | None" = None) -> "StepConfig":
        """`live` is what the running code passes now: only its delay function counts, and only if one was stored."""
        if stored == DEFAULT_ENCODED:
            return DEFAULT
        options = orjson.loads(stored)
        retries = options["retries"]
        if retries["limit"] == INFINITE:
            retries["limit"] = math.inf
        if retries["delay"] == DYNAMIC:
            function = live.delay_function if live is not None else None
            retries["delay"] = function if function is not None else DEFAULT_DELAY_MS
        return cls.parse(options)

    def for_author(self) -> dict[str, Any]:
        """`ctx.config`: a fresh copy each time; without `delay` when that is a function."""
        shown = self.shown()
        shown["retries"]["limit"] = self.retries_limit
        if self.has_delay_function:
            del shown["retries"]["delay"]
        return shown


DEFAULT: Final = StepConfig()
DEFAULT_ENCODED: Final = orjson.dumps(DEFAULT.shown()).decode()


def _mapping(options: object, what: str, allowed: set[str]) -> Mapping[str, Any]:
    if not isinstance(options, Mapping):
        raise WorkflowFatalError(f"{what} is a dict, not {type(options).__name__}")
    if unknown := [key for key in options if key not in allowed]:
        raise WorkflowFatalError(f"{what}: unknown {unknown[0]!r}; known: {', '.join(sorted(allowed))}")
    return options


def _limit(limit: object) -> float:
    match limit:
        case int() | float() if not isinstance(limit, bool) and (0 <= limit <= LIMIT_MAX or limit == math.inf):
            return limit
    raise WorkflowFatalError(f"a step's config: retries.limit is a number from 0 to {LIMIT_MAX}, or infinite")


def _duration_ms(duration: Any, what: str) -> int:
    try:
        return parse_duration_ms(duration)
    except DurationRefused as problem:
        raise WorkflowFatalError(f"a step's config: {what}: {problem}") from problem


def _written(duration: Any) -> str | float:
    return duration if isinstance(duration, (str, int, float)) else parse_duration_ms(duration)
