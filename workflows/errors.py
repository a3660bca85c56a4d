"""What goes wrong in a workflow, and how each error is told apart after the process that raised it is gone.

    WorkflowError              a refused command or a refused value; `code` is interface, the text is not
      InstanceNotFound         ... instance.not_found
      WorkflowNotFound         ... workflow.not_found
      PayloadTooLarge          ... payload.too_large
      StoreError               the database: busy, full, damaged; `code` says which
    WorkflowFatalError         the workflow's own code asked for what can't be (bad name, bad config, a limit passed)
      NonDeterminismError      a replay left out a step that an earlier lifetime finished
    WorkflowInternalError      the engine cut an attempt short: its process died, or its result can't be kept
    WorkflowTimeoutError       an attempt or a wait for an event took longer than it may
    NonRetryableError          raised by a callback: no further attempt
    NonRetryableDelayError     a delay function failed, was too slow, or gave no delay
    StepError                  a stored failure whose class this process can't name; `name` is that class's name
    LifetimeEnded              not an error: this run of the code is over, the instance is not. A BaseException,
                               so that `except Exception` around a step does not take it for a failure

A failure that outlives its process is stored as `{name, message}` (and a traceback, for people), never pickled.
"""

import builtins
import traceback
from dataclasses import dataclass
from typing import Final

TRACEBACK_BYTES_MAX: Final = 8 * 1024
MESSAGE_CHARS_MAX: Final = 8 * 1024


class WorkflowError(Exception):
    """A refusal; `code` is one of the spec's, such as `instance.not_found`. The text reads `(code) why`."""

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(f"({code}) {why}" if why else f"({code})")
        self.code = code
        self.why = why


class InstanceNotFound(WorkflowError):
    def __init__(self, workflow: str, instance_id: str) -> None:
        super().__init__("instance.not_found", f"workflow {workflow!r} has no instance {instance_id!r}")


class WorkflowNotFound(WorkflowError):
    def __init__(self, workflow: str) -> None:
        super().__init__("workflow.not_found", f"no workflow is named {workflow!r}")


class PayloadTooLarge(WorkflowError):
    def __init__(self, what: str, size_bytes: int | str, bytes_max: int) -> None:
        super().__init__("payload.too_large", f"{what} takes {size_bytes} bytes, limit {bytes_max}")


class StoreError(WorkflowError):
    """The database refused: `store.busy`, `store.full`, `store.damaged`, `store.closed`, `store.failed`."""


class WorkflowFatalError(Exception):
    """The workflow's code asked for what can't be. Catchable in `run`; never retried."""


class NonDeterminismError(WorkflowFatalError):
    pass


class WorkflowInternalError(Exception):
    pass


class WorkflowTimeoutError(Exception):
    pass


class NonRetryableDelayError(Exception):
    pass


class NonRetryableError(Exception):
    """Fails its step at once, with no retry. `name` is what is stored as the error's name."""

    def __init__(self, message: str = "", name: str = "NonRetryableError") -> None:
        super().__init__(message)
        self.name = name


class StepError(Exception):
    """A stored failure, raised again. `str()` is the stored message."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class LifetimeEnded(BaseException):
    """This run of the workflow's code is over (it sleeps, was paused, stopped, or lost its lease)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is stored and shown. `traceback` is for people who read the database, and not in any API."""

    name: str
    message: str
    traceback: str | None = None

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        name = getattr(error, "name", None) if isinstance(error, (NonRetryableError, StepError)) else None
        try:
            message = str(error)
        except Exception:  # noqa: BLE001 - a user's __str__ may do anything
            message = "(the error's text could not be made)"
        told = "".join(traceback.format_exception(error, limit=-20))
        return cls(
            name if isinstance(name, str) else type(error).__name__,
            message.encode(errors="replace").decode()[:MESSAGE_CHARS_MAX],
            told.encode(errors="replace")[-TRACEBACK_BYTES_MAX:].decode(errors="replace"),
        )

    def error(self) -> Exception:
        """As a replay raises it: our own and built-in exceptions keep their class, others become a StepError."""
        ours = OURS.get(self.name)
        if ours is not None:
            return ours(self.message)
        built_in = getattr(builtins, self.name, None)
        if isinstance(built_in, type) and issubclass(built_in, Exception):
            try:
                again = built_in(self.message)
            except TypeError:  # UnicodeDecodeError and its like want more than a text
                return StepError(self.name, self.message)
            return again
        return StepError(self.name, self.message)


OURS: Final[dict[str, type[Exception]]] = {
    kind.__name__: kind
    for kind in (
        WorkflowFatalError, NonDeterminismError, WorkflowInternalError, WorkflowTimeoutError, NonRetryableDelayError,
        NonRetryableError,
    )
}  # fmt: skip


def is_non_retryable(error: BaseException) -> bool:
    """By class, by the error's name, or by its message's first word: an error may have come through another process."""
    marker = NonRetryableError.__name__
    if isinstance(error, NonRetryableError) or type(error).__name__ == marker:
        return True
    try:
        return getattr(error, "name", None) == marker or str(error).startswith(marker)
    except Exception:  # noqa: BLE001 - a user's __str__ may do anything
        return False
