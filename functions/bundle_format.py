"""A deployment's function as wrangler uploads it (`_worker.bundle`): its modules, and what it says of how to run them.

    body → parse_bundle → Bundle;  body and settings → content_id

Nothing here runs code or touches a file; bundle.py keeps bundles. Module names are import paths and become
no file names here, but they may further on: a name that could climb out of a folder is refused.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import orjson
from blake3 import blake3

from functions.bundle_parts import BundleRefused, Part, split_parts

BUNDLE_BYTES_MAX: Final = 25 * 1024 * 1024
METADATA_BYTES_MAX: Final = 1024 * 1024
NAME_CHARACTERS_MAX: Final = 512
BINDINGS_MAX: Final = 1_000
FLAGS_MAX: Final = 200
METADATA: Final = "metadata"
COMPATIBILITY_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
DRIVE: Final = re.compile(r"[A-Za-z]:")
CONTENT_ID_BYTES: Final = 16
DRAWN: Final = re.compile(
    rb"(?<=functionsWorker-)0\.[0-9]+|(?<=bundledWorker-)0\.[0-9]+|(?<=functionsRoutes-)0\.[0-9]+"
    rb"|(?<=\.wrangler/tmp/pages-)[A-Za-z0-9]{6}(?=/)"
)
"""What wrangler draws anew at each build: a number in its entry's name, and the folder of its drafts in comments."""


class ModuleKind(Enum):
    """By the content type of its part. Source maps are kept, and never run."""

    ES_MODULE = "application/javascript+module"
    COMMON_JS = "application/javascript"
    WASM = "application/wasm"
    TEXT = "text/plain"
    DATA = "application/octet-stream"
    SOURCE_MAP = "application/source-map"


@dataclass(frozen=True, slots=True)
class Module:
    """`name` is the path by which other modules import it."""

    name: str
    kind: ModuleKind
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """One entry of the metadata's `bindings`; `fields` are its other members, such as "text"."""

    name: str
    type: str
    fields: Mapping[str, object] = field(repr=False)  # plain_text and json hold the site's own values


@dataclass(frozen=True, slots=True)
class Bundle:
    """`main` begins. The others are None where the metadata doesn't say: the site's settings count then."""

    main: Module
    modules: tuple[Module, ...]
    bindings: tuple[Binding, ...] | None
    compatibility_date: str | None
    compatibility_flags: tuple[str, ...] | None
    metadata: bytes = field(repr=False)
    """As it came: JSON that may say more than the members above."""

    @property
    def binding_types(self) -> frozenset[str]:
        return frozenset(binding.type for binding in self.bindings or ())


def parse_bundle(body: bytes) -> Bundle:
    """Raises BundleRefused."""
    if len(body) > BUNDLE_BYTES_MAX:
        raise BundleRefused(f"it has {len(body)} bytes, the limit is {BUNDLE_BYTES_MAX}")
    metadata: bytes | None = None
    modules: dict[str, Module] = {}
    for part in split_parts(body):
        if part.name == METADATA and part.content_type in (None, "application/json"):
            if metadata is not None:
                raise BundleRefused("it has two metadata parts")
            metadata = part.content
            continue
        module = _parse_module(part)
        if module.name in modules:
            raise BundleRefused(f"it has two modules named {module.name!r}")
        modules[module.name] = module
    if metadata is None:
        raise BundleRefused("it has no metadata part")
    return _assemble(metadata, modules)


def content_id(bundle: Bundle, settings: bytes) -> str:
    """22 characters of base64url: the same for the same modules, metadata and settings, whatever wrangler drew."""
    hasher = blake3()
    pieces = [settings, bundle.metadata]
    for module in sorted(bundle.modules, key=lambda each: (each.name != bundle.main.name, each.name)):
        pieces += [module.name.encode("utf-8"), module.kind.value.encode("ascii"), module.content]
    for piece in pieces:
        stable = DRAWN.sub(b"", piece)
        hasher.update(len(stable).to_bytes(8, "big") + stable)
    return urlsafe_b64encode(hasher.digest(length=CONTENT_ID_BYTES)).rstrip(b"=").decode("ascii")


def why_name_refused(name: str) -> str | None:
    """Why a module can't have this name; None when it can."""
    if len(name) > NAME_CHARACTERS_MAX:
        return f"is over {NAME_CHARACTERS_MAX} characters long"
    if CONTROL.search(name) is not None or "\\" in name:
        return "has a control character or a backslash in it"
    if name.startswith("/") or DRIVE.match(name) is not None:
        return "isn't relative"
    if not {"", ".", ".."}.isdisjoint(name.split("/")):
        return 'has an empty segment, "." or ".." in it'
    return None


def _parse_module(part: Part) -> Module:
    name = _plain_name(part.name)
    if (problem := why_name_refused(name)) is not None:
        raise BundleRefused(f"the module name {part.name[:NAME_CHARACTERS_MAX]!r} {problem}")
    try:
        kind = ModuleKind(part.content_type)
    except ValueError:
        raise BundleRefused(f"the module {part.name!r} has the unknown type {part.content_type!r}") from None
    return Module(name, kind, part.content)


def _plain_name(name: str) -> str:
    """wrangler writes "./…" for text, data and wasm modules that functions/ import; the import means the plain name."""
    return name.removeprefix("./")


def _assemble(metadata: bytes, modules: Mapping[str, Module]) -> Bundle:
    if len(metadata) > METADATA_BYTES_MAX:
        raise BundleRefused(f"its metadata has {len(metadata)} bytes, the limit is {METADATA_BYTES_MAX}")
    try:
        members = orjson.loads(metadata)
    except orjson.JSONDecodeError as error:
        raise BundleRefused(f"its metadata isn't JSON: {error}") from None
    if not isinstance(members, dict) or not isinstance(members.get("main_module"), str):
        raise BundleRefused("its metadata doesn't name a main_module")
    main = modules.get(_plain_name(members["main_module"]))
    if main is None or main.kind is ModuleKind.SOURCE_MAP:
        raise BundleRefused(f"its main_module {members['main_module'][:NAME_CHARACTERS_MAX]!r} isn't among its modules")
    date, flags = members.get("compatibility_date"), members.get("compatibility_flags")
    if date is not None and not (isinstance(date, str) and COMPATIBILITY_DATE.fullmatch(date)):
        raise BundleRefused("its compatibility_date isn't a date such as 2026-01-31")
    if flags is not None and not _is_flags(flags):
        raise BundleRefused(f"its compatibility_flags aren't a list of at most {FLAGS_MAX} names")
    return Bundle(
        main=main,
        modules=tuple(modules.values()),
        bindings=_parse_bindings(members.get("bindings")),
        compatibility_date=date,
        compatibility_flags=None if flags is None else tuple(flags),
        metadata=metadata,
    )


def _is_flags(flags: object) -> bool:
    return isinstance(flags, list) and len(flags) <= FLAGS_MAX and all(isinstance(flag, str) for flag in flags)


def _parse_bindings(entries: object) -> tuple[Binding, ...] | None:
    if entries is None:
        return None
    if not isinstance(entries, list) or len(entries) > BINDINGS_MAX:
        raise BundleRefused(f"its bindings aren't a list of at most {BINDINGS_MAX}")
    bindings: dict[str, Binding] = {}
    for entry in entries:
        match entry:
            case {"name": str(name), "type": str(kind)} if name and kind:
                if name in bindings:
                    raise BundleRefused(f"it has two bindings named {name!r}")
                fields = {key: value for key, value in entry.items() if key not in ("name", "type")}
                bindings[name] = Binding(name, kind, fields)
            case _:
                raise BundleRefused("a binding has no name or no type")
    return tuple(bindings.values())
