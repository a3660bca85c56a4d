"""What the store remembers of sites, deployments, branch aliases and custom domains.

Records are JSON objects whose members carry the dataclass's field names; a member at its default is left out, since
a million deployments pay for each byte. Unknown members are refused: they come from a newer release, and writing the
record back would lose them.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import orjson

JsonObject = dict[str, Any]
"""A JSON document that the API stores and returns whole, without meaning to the router."""

Environment = Literal["production", "preview"]
KEEP_DAYS_DEFAULT: Final = 7
KEEP_DAYS_MAX: Final = 30


class RecordUnreadable(ValueError):
    """A stored record isn't of the form that this release writes."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a changing host (production, alias) shows now.

    `seq` is the deployment's; `order` is the point in the site's history at which the pointing deploy or rollback
    began: a deploy that began before it may not move the pointer again.
    """

    seq: int
    order: int


@dataclass(frozen=True, slots=True)
class Site:
    """One project. `seq_last` and `order_last` are counters that only grow; `keep_days` is differences 16; `domains`
    names its records in the domains database."""

    site_no: int
    id: str
    name: str
    production_branch: str
    created_on: str
    production: Pointer | None = None
    seq_last: int = 0
    order_last: int = 0
    keep_days: int = KEEP_DAYS_DEFAULT
    dual_write: bool = True
    domains: tuple[str, ...] = ()
    build_config: JsonObject = field(default_factory=dict)
    deployment_configs: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One immutable upload. `id` is 32 hex; `order` is when it began, in the site's own count (see Pointer)."""

    site_no: int
    seq: int
    id: str
    created_on: str
    manifest: str
    environment: Environment = "production"
    branch: str = ""
    order: int = 0
    bundle: str | None = None
    alias: str | None = None
    commit_hash: str = ""
    commit_message: str = ""
    commit_dirty: bool = False
    files_count: int = 0
    bytes_count: int = 0
    superseded: bool = False
    log: tuple[str, ...] = ()
    env_vars: JsonObject = field(default_factory=dict)
    build_config: JsonObject = field(default_factory=dict)
    details: JsonObject = field(default_factory=dict)

    @property
    def short_id(self) -> str:
        return self.id[:8]


@dataclass(frozen=True, slots=True)
class Alias:
    """A branch's host: `slug` is the first label, `branch` the one branch that owns it (differences 15)."""

    site_no: int
    slug: str
    branch: str
    pointer: Pointer


@dataclass(frozen=True, slots=True)
class CustomDomain:
    """A custom hostname of a site, in its normal form. `state` is one of the API's domain states."""

    name: str
    site_no: int
    id: str
    created_on: str
    state: str = "active"


Record = TypeVar("Record", Site, Deployment, Alias, CustomDomain)


def encode_record(record: Site | Deployment | Alias | CustomDomain) -> bytes:
    members: JsonObject = {}
    for name, default in MEMBER_DEFAULTS[type(record).__name__]:
        value = getattr(record, name)
        if value != default:
            members[name] = value
    return orjson.dumps(members)


def decode_record(kind: type[Record], value: bytes | memoryview) -> Record:
    """Raises RecordUnreadable for anything but what `encode_record` writes."""
    try:
        members = orjson.loads(value)
        if "pointer" in members:
            members["pointer"] = decode_pointer(members["pointer"])
        if members.get("production") is not None:
            members["production"] = decode_pointer(members["production"])
        for name in ("log", "domains"):
            if type(members.get(name)) is list:
                members[name] = tuple(members[name])
        allowed = MEMBER_TYPES[kind.__name__]
        wrong = [name for name, member in members.items() if type(member) not in allowed[name]]
        if not wrong:
            return kind(**members)
    except KeyError as error:
        raise RecordUnreadable(f"{kind.__name__} record: unknown member {error}, of a newer release?") from None
    except (orjson.JSONDecodeError, TypeError, AttributeError) as error:
        raise RecordUnreadable(f"{kind.__name__} record: {error}") from None
    raise RecordUnreadable(f"{kind.__name__} record: {', '.join(wrong)} of the wrong type")


def decode_pointer(members: JsonObject) -> Pointer:
    """Raises TypeError."""
    pointer = Pointer(**members)
    if type(pointer.seq) is not int or type(pointer.order) is not int:
        raise TypeError("a pointer's numbers aren't numbers")
    return pointer


def plain_types(hint: Any) -> Iterator[type]:
    match get_origin(hint):
        case None:
            yield hint
        case types.UnionType:
            for each in get_args(hint):
                yield from plain_types(each)
        case typing.Literal:
            yield str
        case origin:
            yield origin


MEMBER_TYPES: Final[dict[str, dict[str, frozenset[type]]]] = {
    kind.__name__: {name: frozenset(plain_types(hint)) for name, hint in get_type_hints(kind).items()}
    for kind in (Site, Deployment, Alias, CustomDomain)
}
"""What each member of a record may be: exactly, so that `true` is no number."""

MEMBER_DEFAULTS: Final[dict[str, tuple[tuple[str, object], ...]]] = {
    kind.__name__: tuple(
        (each.name, each.default if each.default_factory is dataclasses.MISSING else each.default_factory())
        for each in dataclasses.fields(kind)
    )
    for kind in (Site, Deployment, Alias, CustomDomain)
}
"""What is left out of a record; `MISSING`, which equals nothing, where there's no default."""
