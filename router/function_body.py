"""Bodies of the dispatcher's calls, read whole within a bound."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any


class BodyTooLong(Exception):
    """A body went past its limit."""


async def read_all(receive: Callable[[], Awaitable[MutableMapping[str, Any]]], bytes_max: int) -> bytes:
    """Raises BodyTooLong."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > bytes_max:
            raise BodyTooLong
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
