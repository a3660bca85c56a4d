"""What a caller wishes, parsed from a JSON body: frozen values, whose types hold and whose sizes are bounded.

Whether an id or a name can be, and whether an instance is in a state for it, is the engine's to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from envelope.errors import ValueRefused

BATCH_MAX: Final = 100
COUNT_MAX: Final = 1_000_000
STEPS_MAX: Final = 25_000
STEP_TYPES: Final = ("do", "sleep", "waitForEvent")
TEXT_CHARACTERS_MAX: Final = 1024
SCHEDULES_MAX: Final = 100

StepType = Literal["do", "sleep", "waitForEvent"]


@dataclass(frozen=True, slots=True)
class Creation:
    """`success_retention` and `error_retention`: ms or a duration's text; None: the workflow's."""

    instance_id: str | None = None
    params: object = field(default_factory=dict)
    success_retention: int | str | None = None
    error_retention: int | str | None = None


@dataclass(frozen=True, slots=True)
class FromStep:
    """The step from which on everything runs again. `count` is 1-based."""

    name: str
    count: int = 1
    type: StepType = "do"


@dataclass(frozen=True, slots=True)
class StatusChange:
    """`from_step` comes with restart only, `rollback` with terminate only."""

    action: Literal["pause", "resume", "restart", "terminate"]
    from_step: FromStep | None = None
    rollback: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """What `wrangler deploy` tells of a workflow."""

    script_name: str
    class_name: str
    steps_max: int | None = None
    schedules: tuple[str, ...] = ()


def parse_creation(body: object) -> Creation:
    """`id` is what the local dialect calls `instance_id`. No body is an empty one. Raises ValueRefused."""
    members = object_of(
        body if body is not None else {}, "the body", {"instance_id", "id", "params", "instance_retention"}
    )
    if "instance_id" in members and "id" in members:
        raise ValueRefused("the body has both instance_id and id; send one")
    named = members.get("instance_id", members.get("id"))
    if named is not None and not isinstance(named, str):
        raise ValueRefused("instance_id must be a string")
    retention = object_of(
        members.get("instance_retention") or {}, "instance_retention", {"success_retention", "error_retention"}
    )
    return Creation(
        instance_id=named,
        params=members.get("params", {}),
        success_retention=duration_of(retention, "success_retention"),
        error_retention=duration_of(retention, "error_retention"),
    )


def parse_named_creation(body: object, *, named: str) -> Creation | None:
    """A creation at the path of the instance itself. None unless the body says so too: what was meant for something
    below that path, and lost its ending on the way, must create nothing."""
    if not isinstance(body, dict) or body.get("id") != named:
        return None
    return parse_creation(body)


def parse_batch(body: object) -> list[Creation]:
    if not isinstance(body, list) or not 1 <= len(body) <= BATCH_MAX:
        raise ValueRefused(f"the body must be a list of 1 to {BATCH_MAX} instances to create")
    return [parse_creation(each) for each in body]


def parse_deletion(body: object) -> list[str]:
    ids = object_of(body, "the body", {"instances"}).get("instances")
    if not isinstance(ids, list) or not 1 <= len(ids) <= BATCH_MAX or not all(isinstance(each, str) for each in ids):
        raise ValueRefused(f'the body must be {{"instances": [1 to {BATCH_MAX} ids]}}')
    return ids


def parse_status_change(body: object) -> StatusChange:
    """`action` is what one version of the local dialect calls `status`."""
    members = object_of(body, "the body", {"status", "action", "from", "rollback"})
    if ("status" in members) == ("action" in members):
        raise ValueRefused('the body must have "status": pause, resume, restart or terminate')
    action = members.get("status", members.get("action"))
    rollback, origin = members.get("rollback", False), members.get("from")
    if not isinstance(rollback, bool):
        raise ValueRefused("rollback must be true or false")
    if rollback and action != "terminate":
        raise ValueRefused("rollback comes with terminate only")
    if origin is not None and action != "restart":
        raise ValueRefused("from comes with restart only")
    match action:
        case "pause" | "resume" | "restart" | "terminate":
            return StatusChange(action, parse_from_step(origin) if origin is not None else None, rollback)
        case _:
            raise ValueRefused("status must be pause, resume, restart or terminate")


def parse_from_step(origin: object) -> FromStep:
    members = object_of(origin, "from", {"name", "count", "type"})
    name, count, kind = members.get("name"), members.get("count", 1), members.get("type", "do")
    if not isinstance(name, str) or not 1 <= len(name) <= TEXT_CHARACTERS_MAX:
        raise ValueRefused("from.name must be the name of a step")
    if type(count) is not int or not 1 <= count <= COUNT_MAX:
        raise ValueRefused(f"from.count must be a whole number from 1 to {COUNT_MAX}")
    match kind:
        case "do" | "sleep" | "waitForEvent":
            return FromStep(name, count, kind)
        case _:
            raise ValueRefused(f"from.type must be {', '.join(STEP_TYPES)}")


def parse_definition(body: object) -> Definition:
    members = object_of(body, "the body", {"script_name", "class_name", "limits", "schedules"})
    limits = object_of(members.get("limits") or {}, "limits", {"steps"})
    steps_max = limits.get("steps")
    if steps_max is not None and (type(steps_max) is not int or not 1 <= steps_max <= STEPS_MAX):
        raise ValueRefused(f"limits.steps must be a whole number from 1 to {STEPS_MAX}")
    schedules = members.get("schedules")
    if schedules is None:
        schedules = []
    elif not isinstance(schedules, list) or not 1 <= len(schedules) <= SCHEDULES_MAX:
        raise ValueRefused(f"schedules must be a list of 1 to {SCHEDULES_MAX} crons; leave it out where there is none")
    return Definition(
        script_name=text_of(members, "script_name"),
        class_name=text_of(members, "class_name"),
        steps_max=steps_max,
        schedules=tuple(text_of(object_of(each, "a schedule", {"cron"}), "cron") for each in schedules),
    )


def object_of(value: object, what: str, known: set[str]) -> Mapping[str, Any]:
    """Raises ValueRefused for what isn't an object, and for members that nobody would read."""
    if not isinstance(value, dict):
        raise ValueRefused(f"{what} must be a JSON object")
    if not value.keys() <= known:
        raise ValueRefused(f"{what} has members that mean nothing here; known are {', '.join(sorted(known))}")
    return value


def text_of(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_CHARACTERS_MAX:
        raise ValueRefused(f"{name} must be a string of 1 to {TEXT_CHARACTERS_MAX} characters")
    return value


def duration_of(members: Mapping[str, Any], name: str) -> int | str | None:
    value = members.get(name)
    if value is None or type(value) is int or (isinstance(value, str) and 1 <= len(value) <= TEXT_CHARACTERS_MAX):
        return value
    raise ValueRefused(f"{name} must be milliseconds or a duration such as '3 days'")
