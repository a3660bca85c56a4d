"""The states of an instance and of a step, the log's event codes, and which command is allowed when. Pure.

The numbers are what lies in the database, and the model's own.
"""

from enum import IntEnum, StrEnum
from typing import Final


class Status(IntEnum):
    """An instance's state. `api_name` is how the API and people spell it."""

    QUEUED = 0
    RUNNING = 1
    PAUSED = 2
    ERRORED = 3
    TERMINATED = 4
    COMPLETE = 5
    WAITING_FOR_PAUSE = 6
    WAITING = 7

    @property
    def api_name(self) -> str:
        return API_NAMES[self]

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL

    @classmethod
    def parse(cls, api_name: str) -> "Status":
        """Raises KeyError for a name that is no state (`unknown` is none)."""
        return BY_API_NAME[api_name]


API_NAMES: Final = {
    Status.QUEUED: "queued",
    Status.RUNNING: "running",
    Status.PAUSED: "paused",
    Status.ERRORED: "errored",
    Status.TERMINATED: "terminated",
    Status.COMPLETE: "complete",
    Status.WAITING_FOR_PAUSE: "waitingForPause",
    Status.WAITING: "waiting",
}
BY_API_NAME: Final = {name: status for status, name in API_NAMES.items()}
TERMINAL: Final = frozenset({Status.ERRORED, Status.TERMINATED, Status.COMPLETE})
LIVE: Final = frozenset(Status) - TERMINAL


class StepState(StrEnum):
    PENDING = "pending"  # a sleep or a wait
    RUNNING = "running"  # an attempt is open
    RETRYING = "retrying"  # the last attempt failed, another will follow
    DONE = "done"
    FAILED = "failed"


class Trigger(IntEnum):
    API = 0
    BINDING = 1
    EVENT = 2
    CRON = 3


class LogEvent(IntEnum):
    """What a log row says. 100 and up are ours; those marked "counted" are in no row, only in the metrics."""

    WORKFLOW_QUEUED = 0
    WORKFLOW_START = 1
    WORKFLOW_SUCCESS = 2
    WORKFLOW_FAILURE = 3
    WORKFLOW_TERMINATED = 4
    STEP_START = 5
    STEP_SUCCESS = 6
    STEP_FAILURE = 7
    SLEEP_START = 8
    SLEEP_COMPLETE = 9
    ATTEMPT_START = 10
    ATTEMPT_SUCCESS = 11
    ATTEMPT_FAILURE = 12
    WAIT_START = 14
    WAIT_COMPLETE = 15
    WAIT_TIMED_OUT = 16
    ROLLBACK_START = 17
    ROLLBACK_STEP_START = 18
    ROLLBACK_ATTEMPT_START = 19
    ROLLBACK_ATTEMPT_SUCCESS = 20
    ROLLBACK_ATTEMPT_FAILURE = 21
    ROLLBACK_STEP_SUCCESS = 22
    ROLLBACK_STEP_FAILURE = 23
    ROLLBACK_COMPLETE = 24
    ROLLBACK_FAILED = 25
    RUNNING = 100
    PAUSED = 101
    WAITING_FOR_PAUSE = 102
    WAITING = 103
    WARNING = 104
    WOKEN = 105  # counted: a sleeper was queued, `wall_ms` after it was due
    RECOVERED = 106  # counted: a lifetime ended with its process


class Command(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    TERMINATE = "terminate"
    RESTART = "restart"
    DELETE = "delete"


class Verdict(StrEnum):
    DO = "do"
    NOTHING = "nothing"
    REFUSE = "refuse"


def judge(status: Status, command: Command) -> Verdict:
    """What a command does to an instance in `status` (the spec's table of commands and states)."""
    match command:
        case Command.DELETE | Command.RESTART:
            return Verdict.DO
        case Command.TERMINATE:
            return Verdict.REFUSE if status.is_terminal else Verdict.DO
        case Command.PAUSE:
            if status.is_terminal:
                return Verdict.REFUSE
            return Verdict.NOTHING if status in (Status.PAUSED, Status.WAITING_FOR_PAUSE) else Verdict.DO
        case Command.RESUME:
            if status in (Status.PAUSED, Status.WAITING_FOR_PAUSE):
                return Verdict.DO
            return Verdict.NOTHING if status is Status.QUEUED else Verdict.REFUSE


def foreseen(status: Status, command: Command) -> Status | None:
    """The state that `command`, once carried out, leaves; None after a delete."""
    match command:
        case Command.DELETE:
            return None
        case Command.TERMINATE:
            return Status.TERMINATED
        case Command.RESTART:
            return Status.QUEUED
        case Command.PAUSE:
            return Status.PAUSED if status is Status.QUEUED else Status.WAITING_FOR_PAUSE
        case Command.RESUME:
            return Status.QUEUED if status is Status.PAUSED else Status.RUNNING
