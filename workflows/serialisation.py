"""Values to bytes and back: JSON, with tags for what JSON lacks. Never a pickle: reading runs no code.

    None, bool, int, float, str, list, dict   as JSON has them
    bytes, datetime, date, time, timedelta, Decimal, UUID, set, tuple, int past 64 bits, nan and infinities,
    dicts with keys that are not text, or with the key "$"        {"$": tag, "v": ...}
    a dataclass                                                    the dict of its fields

`None` is a value: what has no result is no bytes at all. What is stored can be read: a member of a set and a key of a
dict must be hashable as they are read, so a frozenset (read as a set) and a dataclass (read as a dict) are refused.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, fields, is_dataclass
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
INT_BITS_WRITTEN_MAX: Final = 14_000  # Python writes and reads an int as text up to 4300 digits, 14,284 bits
VALUE_BYTES_MAX: Final = 1 << 20
PLAIN_KINDS: Final = "such as numbers, texts, times, lists and dicts (docs/workflows.md, “What can be stored”)"
HASHED_TAGS: Final = frozenset({"int", "float", "bytes", "datetime", "date", "time", "timedelta", "decimal", "uuid"})
STREAM: Final = "stream"  # no tag that `serialise` writes: an author's value can't be taken for one
STREAM_BEGINS: Final = b'{"$":"stream",'
UNREADABLE: Final = "[a value that can't be read back]"


class Unserialisable(TypeError):
    """The value, or one within it, has no stored form."""


@dataclass(frozen=True, slots=True)
class StreamMark:
    """A streamed result as its step's row has it; `size` in bytes. The chunks lie apart (store/chunks.py)."""

    stream_id: int
    chunks_count: int
    size: int

    def encode(self) -> bytes:
        return orjson.dumps({TAG: STREAM, "v": [self.stream_id, self.chunks_count, self.size]})


class Room:
    """What a value may still take, in bytes: so that far too large a one is refused before it is copied."""

    __slots__ = ("_left", "bytes_max", "what")

    def __init__(self, what: str, bytes_max: int) -> None:
        self.what = what
        self.bytes_max = bytes_max
        self._left = bytes_max

    def take(self, least_bytes: int) -> None:
        """Raises PayloadTooLarge."""
        self._left -= least_bytes
        if self._left < 0:
            raise PayloadTooLarge(self.what, f"at least {self.bytes_max - self._left}", self.bytes_max)


def serialise(value: object) -> bytes:
    """Raises Unserialisable."""
    return _written(value, None)


def serialise_limited(value: object, what: str, bytes_max: int = VALUE_BYTES_MAX) -> bytes:
    """As `serialise`; raises PayloadTooLarge past `bytes_max`."""
    data = _written(value, Room(what, bytes_max))
    if len(data) > bytes_max:
        raise PayloadTooLarge(what, len(data), bytes_max)
    return data


def _written(value: object, room: Room | None) -> bytes:
    tagged = _tagged(value, 0, room)
    try:
        return orjson.dumps(tagged)
    except orjson.JSONEncodeError as problem:  # a text with half of a surrogate pair
        raise Unserialisable(f"can't be stored: {problem}") from problem


def deserialise(data: bytes) -> Any:
    """A fresh value each time, so that no reader sees another's changes."""
    value = orjson.loads(data)
    return _untagged(value) if type(value) in (dict, list) else value


def shown(data: bytes) -> Any:
    """The value as plain JSON for people and APIs: times as ISO texts, `[bytes(N bytes)]` for bytes. One that an
    earlier release stored and that can't be read hides nothing else: it is shown as such."""
    try:
        return _shown(deserialise(data))
    except (TypeError, ValueError, LookupError, ArithmeticError):
        return UNREADABLE


def stored_bytes(result: bytes | None) -> int:
    """What a result takes in the store, a stream with its chunks."""
    if result is None:
        return 0
    if not result.startswith(STREAM_BEGINS):
        return len(result)
    mark: StreamMark = deserialise(result)
    return len(result) + mark.size


def _tagged(value: object, depth: int, room: Room | None) -> object:
    if type(value) in PLAIN:
        if room is not None and type(value) is str:
            room.take(len(value))
        return value
    if depth > DEPTH_MAX:
        raise Unserialisable(f"can't be stored: nested deeper than {DEPTH_MAX} levels, or within itself")
    if room is not None and isinstance(value, Sized):
        room.take(len(value))  # a byte for each item, at the very least
    match value:
        case bool() | None:
            return value
        case int():
            return _tagged_int(int(value))
        case float():
            return float(value) if value - value == 0 else {TAG: "float", "v": repr(float(value))}
        case str():
            return str.__str__(value)
        case list():
            return [_tagged(item, depth + 1, room) for item in value]
        case Mapping():
            if TAG not in value and all(type(key) is str for key in value):
                return {key: _tagged(item, depth + 1, room) for key, item in value.items()}
            keys = [_hashed(_tagged(key, depth + 1, room), key, "a dict's key") for key in value]
            items = [_tagged(item, depth + 1, room) for item in value.values()]
            return {TAG: "dict", "v": [[key, item] for key, item in zip(keys, items, strict=True)]}
        case tuple():
            return {TAG: "tuple", "v": [_tagged(item, depth + 1, room) for item in value]}
        case set() | frozenset():
            members = [_hashed(_tagged(item, depth + 1, room), item, "a set's member") for item in value]
            return {TAG: "set", "v": members}
    return _tagged_scalar(value, depth, room)


def _tagged_int(whole: int) -> object:
    bits = whole.bit_length()
    if bits <= INT_BITS_MAX:
        return whole
    if bits > INT_BITS_WRITTEN_MAX:
        raise Unserialisable(f"an int of {bits} bits can't be stored, limit {INT_BITS_WRITTEN_MAX}")
    return {TAG: "int", "v": str(whole)}


def _hashed(tagged: object, value: object, what: str) -> object:
    """As it is. Raises Unserialisable where what will be read of it has no hash."""
    if not _has_hash(tagged):
        raise Unserialisable(
            f"a {type(value).__name__} can't be stored as {what}: what is read back of it has no hash; use a tuple"
        )
    return tagged


def _has_hash(tagged: object) -> bool:
    match tagged:
        case list():
            return False
        case {"$": "tuple", "v": list(items)}:
            return all(_has_hash(item) for item in items)
        case dict():
            return tagged.get(TAG) in HASHED_TAGS
    return True


def _tagged_scalar(value: object, depth: int, room: Room | None) -> object:
    match value:
        case bytes() | bytearray() | memoryview():
            return {TAG: "bytes", "v": b64encode(value).decode()}
        case datetime():
            return {TAG: "datetime", "v": datetime.isoformat(value)}
        case date():
            return {TAG: "date", "v": date.isoformat(value)}
        case time():
            return {TAG: "time", "v": time.isoformat(value)}
        case timedelta():
            return {TAG: "timedelta", "v": [value.days, value.seconds, value.microseconds]}
        case Decimal():
            return {TAG: "decimal", "v": Decimal.__str__(value)}
        case UUID():
            return {TAG: "uuid", "v": UUID.__str__(value)}
    if is_dataclass(value) and not isinstance(value, type):
        return _tagged({field.name: getattr(value, field.name) for field in fields(value)}, depth + 1, room)
    raise Unserialisable(f"a {type(value).__name__} can't be stored; return plain data, {PLAIN_KINDS}")


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
    STREAM: lambda parts: StreamMark(*parts),
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
        case StreamMark():
            return f"[stream({value.size} bytes)]"
        case datetime() | date() | time():
            return value.isoformat()
        case dict():
            return {key if isinstance(key, str) else str(_shown(key)): _shown(item) for key, item in value.items()}
        case list() | tuple() | set():
            return [_shown(item) for item in value]
    return str(value)
