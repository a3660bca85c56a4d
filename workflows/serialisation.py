"""Values to bytes and back: JSON, with tags for what JSON lacks. Never a pickle: reading runs no code.

    None, bool, int, float, str, list, dict   as JSON has them
    bytes, datetime, date, time, timedelta, Decimal, UUID, set, tuple, int past 64 bits, nan and infinities,
    dicts with keys that are not text, or with the key "$"        {"$": tag, "v": ...}
    a dataclass                                                    the dict of its fields

`None` is a value: what has no result is no bytes at all.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson

from workflows.errors import PayloadTooLarge

TAG: Final = "$"
DEPTH_MAX: Final = 100  # orjson reads 1024 levels and writes 254; a tag adds up to three
PLAIN: Final = frozenset({str, bool, type(None)})
INT_BITS_MAX: Final = 63
VALUE_BYTES_MAX: Final = 1 << 20


class Unserialisable(TypeError):
    """The value, or one within it, has no stored form."""


def serialise(value: object) -> bytes:
    """Raises Unserialisable."""
    try:
        return orjson.dumps(value if type(value) in PLAIN else _tagged(value, 0))
    except orjson.JSONEncodeError as problem:  # a text with half of a surrogate pair
        raise Unserialisable(f"can't be stored: {problem}") from problem


def serialise_limited(value: object, what: str, bytes_max: int = VALUE_BYTES_MAX) -> bytes:
    """As `serialise`; raises PayloadTooLarge past `bytes_max`."""
    data = serialise(value)
    if len(data) > bytes_max:
        raise PayloadTooLarge(what, len(data), bytes_max)
    return data


def deserialise(data: bytes) -> Any:
    """A fresh value each time, so that no reader sees another's changes."""
    value = orjson.loads(data)
    return _untagged(value) if type(value) in (dict, list) else value


def shown(data: bytes) -> Any:
    """The value as plain JSON for people and APIs: times as ISO texts, `[bytes(N bytes)]` for bytes."""
    return _shown(deserialise(data))


def _tagged(value: object, depth: int) -> object:
    if type(value) in PLAIN:
        return value
    if depth > DEPTH_MAX:
        raise Unserialisable(f"can't be stored: nested deeper than {DEPTH_MAX} levels, or within itself")
    match value:
        case bool() | None:
            return value
        case int():
            whole = int(value)
            return whole if whole.bit_length() <= INT_BITS_MAX else {TAG: "int", "v": str(whole)}
        case float():
            return float(value) if value - value == 0 else {TAG: "float", "v": repr(float(value))}
        case str():
            return str.__str__(value)
        case list():
            return [_tagged(item, depth + 1) for item in value]
        case Mapping():
            if TAG not in value and all(type(key) is str for key in value):
                return {key: _tagged(item, depth + 1) for key, item in value.items()}
            pairs = [[_tagged(key, depth + 1), _tagged(item, depth + 1)] for key, item in value.items()]
            return {TAG: "dict", "v": pairs}
        case tuple():
            return {TAG: "tuple", "v": [_tagged(item, depth + 1) for item in value]}
        case set() | frozenset():
            return {TAG: "set", "v": [_tagged(item, depth + 1) for item in value]}
    return _tagged_scalar(value, depth)


def _tagged_scalar(value: object, depth: int) -> object:
    match value:
        case bytes() | bytearray() | memoryview():
            return {TAG: "bytes", "v": b64encode(value).decode()}
        case datetime():
            return {TAG: "datetime", "v": value.isoformat()}
        case date():
            return {TAG: "date", "v": value.isoformat()}
        case time():
            return {TAG: "time", "v": value.isoformat()}
        case timedelta():
            return {TAG: "timedelta", "v": [value.days, value.seconds, value.microseconds]}
        case Decimal():
            return {TAG: "decimal", "v": str(value)}
        case UUID():
            return {TAG: "uuid", "v": str(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return _tagged({field.name: getattr(value, field.name) for field in fields(value)}, depth + 1)
    raise Unserialisable(f"a {type(value).__name__} can't be stored; return plain data (see the list of kinds)")


READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "int": int,
    "float": float,
    "bytes": b64decode,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "timedelta": lambda parts: timedelta(*parts),
    "decimal": Decimal,
    "uuid": UUID,
    "tuple": lambda items: tuple(_untagged(item) for item in items),
    "set": lambda items: {_untagged(item) for item in items},
    "dict": lambda pairs: {_untagged(key): _untagged(item) for key, item in pairs},
}


def _untagged(value: Any) -> Any:
    if type(value) is list:
        return [_untagged(item) for item in value]
    if type(value) is not dict:
        return value
    if TAG in value:
        return READERS[value[TAG]](value["v"])
    return {key: _untagged(item) for key, item in value.items()}


def _shown(value: Any) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int():
            return value if value.bit_length() <= INT_BITS_MAX else str(value)
        case float():
            return value if value - value == 0 else repr(value)
        case bytes():
            return f"[bytes({len(value)} bytes)]"
        case datetime() | date() | time():
            return value.isoformat()
        case dict():
            return {key if isinstance(key, str) else str(_shown(key)): _shown(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [_shown(item) for item in value]
    return str(value)
