"""From a method and a path to what is asked for.

Clients put names, ids and event types into the path unescaped, and an id that a schedule made holds slashes, spaces
and stars: `instances/*/30%20*%20*%20*%20*-1786001400000/events/a/b`. So ids are taken greedily: fixed words first, then
what ends the path, then all the rest; and percent signs are decoded once, after the cutting.

    /                                     workflows
    /{w}  /{w}/versions[/{v}]  /{w}/metrics
    /{w}/instances  /{w}/instances/batch[/delete]  /{w}/instances/terminate
    /{w}/instances/{id}[/status | /events/{type} | /subscribe | /log]
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from envelope.errors import MethodRefused, UnknownRoute


class Action(Enum):
    """Everything that the API can be asked to do."""

    LIST_WORKFLOWS = auto()
    SHOW_WORKFLOW = auto()
    PUT_WORKFLOW = auto()
    DELETE_WORKFLOW = auto()
    LIST_VERSIONS = auto()
    SHOW_VERSION = auto()
    SHOW_METRICS = auto()
    LIST_INSTANCES = auto()
    CREATE_INSTANCE = auto()
    CREATE_BATCH = auto()
    DELETE_BATCH = auto()
    TERMINATE_ALL = auto()
    SHOW_INSTANCE = auto()
    SHOW_LOG = auto()
    SUBSCRIBE = auto()
    CHANGE_STATUS = auto()
    SEND_EVENT = auto()
    CREATE_NAMED_INSTANCE = auto()
    DELETE_INSTANCE = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked for. Names are decoded and not yet examined; those that the action has no use for are empty."""

    action: Action
    workflow: str = ""
    instance: str = ""
    event_type: str = ""
    version: str = ""


Methods = Mapping[str, Action]

WORKFLOWS: Final[Methods] = MappingProxyType({"GET": Action.LIST_WORKFLOWS})
WORKFLOW: Final[Methods] = MappingProxyType(
    {"GET": Action.SHOW_WORKFLOW, "PUT": Action.PUT_WORKFLOW, "DELETE": Action.DELETE_WORKFLOW}
)
VERSIONS: Final[Methods] = MappingProxyType({"GET": Action.LIST_VERSIONS})
VERSION: Final[Methods] = MappingProxyType({"GET": Action.SHOW_VERSION})
METRICS: Final[Methods] = MappingProxyType({"GET": Action.SHOW_METRICS})
INSTANCES: Final[Methods] = MappingProxyType({"GET": Action.LIST_INSTANCES, "POST": Action.CREATE_INSTANCE})
FIXED: Final[Mapping[tuple[str, bytes], Action]] = MappingProxyType(
    {
        ("POST", b"batch"): Action.CREATE_BATCH,
        ("POST", b"batch/delete"): Action.DELETE_BATCH,
        ("PUT", b"terminate"): Action.TERMINATE_ALL,
    }
)
"""Words in an id's place, each with one method only: an instance may be named so, and be read."""
GET_ENDINGS: Final[Mapping[bytes, Action]] = MappingProxyType(
    {b"/subscribe": Action.SUBSCRIBE, b"/log": Action.SHOW_LOG}
)
INSTANCE: Final[Methods] = MappingProxyType(
    {"GET": Action.SHOW_INSTANCE, "POST": Action.CREATE_NAMED_INSTANCE, "DELETE": Action.DELETE_INSTANCE}
)
STATUS_ENDING: Final = b"/status"
EVENTS: Final = b"/events/"


def find_target(method: str, path: bytes) -> Target:
    """`path` is what follows "…/workflows", as it was sent. Raises UnknownRoute, MethodRefused."""
    method = "GET" if method == "HEAD" else method
    name, below = cut(path)
    if not name:
        return Target(choose(method, WORKFLOWS))
    workflow = decode(name)
    word, rest = cut(below)
    match word:
        case b"":
            return Target(choose(method, WORKFLOW), workflow)
        case b"versions" if rest in (b"", b"/"):
            return Target(choose(method, VERSIONS), workflow)
        case b"versions":
            return Target(choose(method, VERSION), workflow, version=decode(whole(rest)))
        case b"metrics" if rest in (b"", b"/"):
            return Target(choose(method, METRICS), workflow)
        case b"instances" if rest in (b"", b"/"):
            return Target(choose(method, INSTANCES), workflow)
        case b"instances":
            return find_instance_target(method, workflow, whole(rest))
    raise UnknownRoute


def find_instance_target(method: str, workflow: str, rest: bytes) -> Target:
    """`rest` is what follows "instances/"."""
    if (fixed := FIXED.get((method, rest))) is not None:
        return Target(fixed, workflow)
    if method == "PATCH":
        instance, ending = rest[: -len(STATUS_ENDING)], rest[-len(STATUS_ENDING) :]
        if ending != STATUS_ENDING or not instance:
            # An id with "#" arrives without what followed it: the rest mustn't be taken for another instance.
            raise MethodRefused(", ".join(INSTANCE))
        return Target(Action.CHANGE_STATUS, workflow, decode(instance))
    if method == "POST":
        instance, separator, event_type = rest.rpartition(EVENTS)
        if separator and instance:
            return Target(Action.SEND_EVENT, workflow, decode(instance), event_type=decode(event_type))
    if method == "GET":
        for ending, action in GET_ENDINGS.items():
            if rest.endswith(ending) and rest != ending:
                return Target(action, workflow, decode(rest.removesuffix(ending)))
    return Target(choose(method, INSTANCE), workflow, decode(rest))


def cut(path: bytes) -> tuple[bytes, bytes]:
    """The first segment, and the rest with its slash."""
    if not path:
        return b"", b""
    first, slash, rest = path.removeprefix(b"/").partition(b"/")
    return first, slash + rest


def whole(rest: bytes) -> bytes:
    """All that follows the slash, without the slash that some clients end a path with."""
    return rest.removeprefix(b"/").removesuffix(b"/")


def choose(method: str, methods: Methods) -> Action:
    if (action := methods.get(method)) is None:
        raise MethodRefused(", ".join(methods))
    return action


def decode(text: bytes) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError:
        raise UnknownRoute from None
