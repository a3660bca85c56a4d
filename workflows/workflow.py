"""What authors subclass and are called with: Workflow, WorkflowEvent; and what a worker knows of a class."""

import hashlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from workflows.duration import Duration, parse_duration_ms
from workflows.errors import WorkflowError
from workflows.identity import check_workflow_name, kebab_case
from workflows.schedule import Cron, parse_schedules


class WorkflowEvent:
    """What an instance was created with; each lifetime gets a fresh copy, changes to it go nowhere."""

    __slots__ = ("instance_id", "payload", "timestamp", "workflow_name")

    def __init__(self, payload: Any, *, timestamp: datetime, instance_id: str, workflow_name: str) -> None:
        self.payload = payload
        self.timestamp = timestamp
        self.instance_id = instance_id
        self.workflow_name = workflow_name

    @property
    def instanceId(self) -> str:  # noqa: N802 - the name that the model's own SDKs use
        return self.instance_id

    @property
    def workflowName(self) -> str:  # noqa: N802
        return self.workflow_name

    def __getitem__(self, name: str) -> Any:
        if name not in ("payload", "timestamp", "instance_id", "workflow_name", "instanceId", "workflowName"):
            raise KeyError(name)
        return getattr(self, name)


class Workflow:
    """Subclass and write `run`. Class attributes, all optional:

    `name`          as it is known outside; else the class's name in kebab-case
    `max_running`   how many instances of it run at once, over all workers
    `steps_max`     how many steps one lifetime may ask for, 1 to 25,000
    `retention`     {"success_retention": Duration, "error_retention": Duration}
    `schedules`     a cron text, or a list of them
    `version`       a text of the author's; another one is another version, also where this module's source is the same
    `strict`        raise NonDeterminismError where a replay leaves out a finished step; else it is a logged warning
    """

    name: ClassVar[str]
    max_running: ClassVar[int | None] = None
    steps_max: ClassVar[int | None] = None
    retention: ClassVar[Mapping[str, Duration] | None] = None
    schedules: ClassVar[str | list[str] | None] = None
    version: ClassVar[str | None] = None
    strict: ClassVar[bool] = False

    async def run(self, event: WorkflowEvent, step: Any) -> Any:
        """The workflow. Called from the top in each lifetime; what it returns is the instance's output."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Retention:
    """How long an ended instance is kept, ms; None leaves it to the next wider setting."""

    success_ms: int | None = None
    error_ms: int | None = None

    @classmethod
    def parse(cls, written: Mapping[str, Duration] | None) -> "Retention":
        """From snake_case or camelCase. Raises WorkflowError `body`."""
        if written is None:
            return cls()
        if not isinstance(written, Mapping):
            raise WorkflowError("body", "retention is an object")
        read = {_snake(str(key)): value for key, value in written.items()}
        if unknown := set(read) - {"success_retention", "error_retention"}:
            raise WorkflowError("body", f"retention: unknown {sorted(unknown)[0]!r}")
        try:
            success, error = (
                None if read.get(key) is None else parse_duration_ms(read[key])
                for key in ("success_retention", "error_retention")
            )
        except ValueError as problem:
            raise WorkflowError("body", f"retention: {problem}") from problem
        return cls(success, error)


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


@dataclass(frozen=True, slots=True)
class Definition:
    """A workflow class as a worker runs it."""

    workflow: type[Workflow]
    name: str
    is_async: bool
    code_hash: str
    schedules: tuple[Cron, ...]

    @classmethod
    def of(cls, workflow: type[Workflow]) -> "Definition":
        """Raises WorkflowError for a bad name, TypeError for what is no workflow."""
        if not (isinstance(workflow, type) and issubclass(workflow, Workflow)) or workflow.run is Workflow.run:
            raise TypeError(f"{workflow!r} is no subclass of Workflow with a run of its own")
        name = name_of(workflow)
        check_workflow_name(name)
        return cls(
            workflow,
            name,
            inspect.iscoroutinefunction(workflow.run),
            code_hash(workflow),
            parse_schedules(workflow.schedules),
        )


def name_of(workflow: type[Workflow]) -> str:
    name = getattr(workflow, "name", None)
    return name if isinstance(name, str) else kebab_case(workflow.__name__)


def code_hash(workflow: type[Workflow]) -> str:
    """Of the module's source, the class's name and its `version`: another hash is another version."""
    path = getattr(sys.modules.get(workflow.__module__), "__file__", None)
    try:
        source = Path(path).read_bytes() if path else inspect.getsource(workflow).encode()
    except (OSError, TypeError):  # typed at a prompt: there is no source to hash
        source = workflow.__module__.encode()
    told = "" if workflow.version is None else f"\0{workflow.version}"
    return hashlib.sha256(source + b"\0" + f"{workflow.__qualname__}{told}".encode()).hexdigest()
