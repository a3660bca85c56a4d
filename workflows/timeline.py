"""An instance's story, as people read it: the `describe` answer of the API turned into entries with spans of time.

Pure, and shared by those who show it: a terminal and a page. Times are epoch ms, spans ms. What hasn't ended yet is
measured up to `now`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

State = Literal["running", "waiting", "retrying", "done", "failed", "stopped"]
Kind = Literal["step", "sleep", "waitForEvent", "rollback", "termination"]

TERMINAL: Final = frozenset({"complete", "errored", "terminated"})
STEP_TYPES: Final[Mapping[str, str]] = {"step": "do", "sleep": "sleep", "waitForEvent": "waitForEvent"}
"""What the API calls an entry, and what a restart calls the step that it is of."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """`pause_ms`: how long after the attempt before it. `error` is "Name: message"."""

    number: int
    state: State
    span_ms: int
    pause_ms: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the story. `name` is as shown, with its number; `after_ms` counts from the instance's start."""

    kind: Kind
    name: str
    state: State
    start: int | None = None
    after_ms: int = 0
    span_ms: int = 0
    planned_end: int | None = None
    attempts: tuple[Attempt, ...] = ()
    has_output: bool = False
    output: Any = None
    error: str | None = None
    event_type: str | None = None
    config: Any = None
    trigger: str | None = None
    rollback: "Entry | None" = None

    @property
    def step_name(self) -> str:
        """As the code spells it."""
        return self.name.rpartition("-")[0]

    @property
    def step_count(self) -> int:
        number = self.name.rpartition("-")[2]
        return int(number) if number.isascii() and number.isdigit() else 1

    @property
    def step_type(self) -> str:
        return STEP_TYPES.get(self.kind, "do")


@dataclass(frozen=True, slots=True)
class Timeline:
    status: str
    trigger: str
    queued: int
    start: int | None
    end: int | None
    span_ms: int
    params: Any
    output: Any
    error: str | None
    entries: tuple[Entry, ...]

    @property
    def is_over(self) -> bool:
        return self.status in TERMINAL

    @property
    def told_entries(self) -> tuple[Entry, ...]:
        """Every entry, and each rollback as one of its own, as they began: of two at once the rollback comes later,
        a termination last."""
        undone = [entry.rollback for entry in self.entries if entry.rollback is not None]
        return tuple(sorted((*self.entries, *undone), key=place_of))


def read_timeline(document: Mapping[str, Any], *, now: int) -> Timeline:
    """`document` is the `result` of the API's describe."""
    queued = time_of(document["queued"]) or 0
    start, end = time_of(document["start"]), time_of(document["end"])
    origin = start if start is not None else queued
    return Timeline(
        status=document["status"],
        trigger=document["trigger"]["source"],
        queued=queued,
        start=start,
        end=end,
        span_ms=max(0, (end if end is not None else now) - origin),
        params=document["params"],
        output=document["output"],
        error=error_text(document["error"]),
        entries=tuple(
            read_entry(each, origin=origin, now=end if end is not None else now) for each in document.get("steps", ())
        ),
    )


def read_entry(document: Mapping[str, Any], *, origin: int, now: int) -> Entry:
    """`now`: up to when a thing that hasn't ended is measured; an instance that is over measures nothing further."""
    if document["type"] == "termination":
        return Entry("termination", "terminated", "stopped", trigger=document["trigger"]["source"])
    start, end = time_of(document["start"]), time_of(document["end"])
    begun = start if start is not None else origin
    state = state_of(document)
    is_open = state in ("running", "waiting", "retrying")
    rollback = document.get("rollback")
    output = document.get("output")
    event_type = document.get("event_type")
    if document["type"] == "waitForEvent" and isinstance(output, Mapping):
        event_type, output = output["type"], output["payload"]
    return Entry(
        kind=document["type"],
        name=document["name"],
        state=state,
        start=start,
        after_ms=max(0, begun - origin),
        span_ms=max(0, (now if is_open or end is None else end) - begun),
        planned_end=end if is_open else None,
        attempts=read_attempts(document.get("attempts", ()), now=now, left_out=document.get("attempts_left_out", 0)),
        has_output=state == "done" and document["type"] != "sleep" and "output" in document,
        output=output,
        error=error_text(document.get("error")),
        event_type=event_type,
        config=document.get("config"),
        rollback=read_rollback(rollback, origin=origin, now=now) if rollback is not None else None,
    )


def read_rollback(document: Mapping[str, Any], *, origin: int, now: int) -> Entry:
    entry = read_entry({**document, "type": "step"}, origin=origin, now=now)
    return Entry(
        "rollback", entry.name, entry.state, entry.start, entry.after_ms, entry.span_ms, attempts=entry.attempts
    )


def place_of(entry: Entry) -> tuple[bool, int, bool]:
    """What entries are ordered by; a sort leaves those that are equal in the order of their calls."""
    return entry.kind == "termination", entry.after_ms, entry.kind == "rollback"


def read_attempts(documents: Sequence[Mapping[str, Any]], *, now: int, left_out: int = 0) -> tuple[Attempt, ...]:
    """`left_out` came before them."""
    attempts = []
    before: int | None = None
    for number, document in enumerate(documents, start=1 + left_out):
        start, end = time_of(document["start"]) or 0, time_of(document["end"])
        success = document["success"]
        attempts.append(
            Attempt(
                number=number,
                state="running" if success is None else "done" if success else "failed",
                span_ms=max(0, (end if end is not None else now) - start),
                pause_ms=max(0, start - before) if before is not None else 0,
                error=error_text(document.get("error")),
            )
        )
        before = end if end is not None else start
    return tuple(attempts)


def state_of(document: Mapping[str, Any]) -> State:
    if document["type"] != "step":
        if not document["finished"]:
            return "waiting"
        return "failed" if document.get("error") is not None else "done"
    if document["success"] is not None:
        return "done" if document["success"] else "failed"
    attempts = document.get("attempts", ())
    if not attempts and not document.get("attempts_left_out"):
        return "stopped"  # a step begins with its first attempt: this one never did
    return "retrying" if attempts and attempts[-1]["success"] is False else "running"


def error_text(error: Mapping[str, Any] | None) -> str | None:
    if error is None:
        return None
    return f"{error['name']}: {error['message']}" if error["message"] else str(error["name"])


def time_of(text: str | None) -> int | None:
    """Epoch ms of an ISO 8601 time."""
    return round(datetime.fromisoformat(text).timestamp() * 1000) if text is not None else None
