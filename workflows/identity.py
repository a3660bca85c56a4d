"""Names and keys: which names are allowed, and what makes a step the same step in a later lifetime.

A step is its kind, its name and how often that name was asked for before it in this lifetime. The kinds have
counters of their own and a prefix in the hashed text, so that `do("a1000")` and `sleep("a", 1000)` never meet.
"""

import re
from collections import Counter
from hashlib import sha1
from typing import Final, Literal

from workflows.errors import WorkflowError, WorkflowFatalError

StepKind = Literal["do", "sleep", "waitForEvent", "rollback"]
KEY_PREFIX: Final[dict[str, str]] = {"do": "do:", "sleep": "sleep:", "waitForEvent": "wait:"}

WORKFLOW_NAME: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,63}", re.ASCII)
NEW_INSTANCE_ID: Final = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,99}", re.ASCII)
INSTANCE_ID: Final = re.compile(r"[a-zA-Z0-9, */#_-]{1,271}", re.ASCII)  # admits `<cron>-<epoch ms>`
EVENT_TYPE_CHARS_MAX: Final = 100
STEP_NAME_CHARS_MAX: Final = 256
CONTROLS: Final = re.compile(r"[\x00-\x1f]")
CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def kebab_case(class_name: str) -> str:
    """`OrderProcessing` -> `order-processing`."""
    return CAMEL.sub("-", class_name).replace("_", "-").strip("-").lower()


def check_workflow_name(name: str) -> None:
    if not WORKFLOW_NAME.fullmatch(name):
        raise WorkflowError("workflow.invalid_name", f"{name!r} is not 1 to 64 of [a-zA-Z0-9_-] without a dash first")


def check_new_instance_id(instance_id: object) -> None:
    if not isinstance(instance_id, str) or not NEW_INSTANCE_ID.fullmatch(instance_id):
        raise WorkflowError(
            "instance.invalid_id", f"{instance_id!r} is not 1 to 100 of [a-zA-Z0-9_-] without a dash first"
        )


def check_instance_id(instance_id: object) -> None:
    """For an instance that may exist already; wider, since schedules make ids of their own."""
    if not isinstance(instance_id, str) or not INSTANCE_ID.fullmatch(instance_id):
        raise WorkflowError("instance.invalid_id", f"{instance_id!r} names no instance")


def check_event_type(event_type: object) -> None:
    if (
        not isinstance(event_type, str)
        or not 1 <= len(event_type) <= EVENT_TYPE_CHARS_MAX
        or CONTROLS.search(event_type)
    ):
        raise WorkflowError(
            "event.invalid_type", f"{event_type!r} is not 1 to 100 characters without control characters"
        )
    check_storable(event_type)


def check_storable(text: str) -> None:
    """SQLite keeps UTF-8: a lone surrogate has none."""
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise WorkflowError("body", f"{text!r} has half of a surrogate pair") from problem


def check_step_name(name: object) -> str:
    """Raises WorkflowFatalError."""
    if not isinstance(name, str):
        raise WorkflowFatalError(f"a step's name is a text, not {type(name).__name__}")
    if not 1 <= len(name) <= STEP_NAME_CHARS_MAX:
        raise WorkflowFatalError(f"a step's name has 1 to {STEP_NAME_CHARS_MAX} characters, not {len(name)}")
    if CONTROLS.search(name):
        raise WorkflowFatalError(f"step name {name!r} has control characters")
    try:
        name.encode()
    except UnicodeEncodeError as problem:
        raise WorkflowFatalError(f"step name {name!r} has half of a surrogate pair") from problem
    return name


def step_key(kind: StepKind, name: str, count: int) -> str:
    return f"{sha1((KEY_PREFIX[kind] + name).encode(), usedforsecurity=False).hexdigest()}-{count}"


def rollback_key(key: str) -> str:
    return f"rollback:{key}"


def shown_name(name: str, count: int) -> str:
    return f"{name}-{count}"


class StepCounters:
    """One lifetime's count of each (kind, name), in call order. Counts start at 1."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def next(self, kind: StepKind, name: str) -> int:
        self._counts[kind, name] += 1
        return self._counts[kind, name]
