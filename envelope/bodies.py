"""Request bodies: read within bounds, parsed by route. What a client declares as content type is never asked.

JSON is read strictly: UTF-8, no NaN, numbers in range, no member twice, and no deeper than a person would write.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect, Request

from envelope.errors import BodyTooLarge, BodyTooSlow, BodyUnreadable, Busy

JSON_BYTES_MAX: Final = 1024 * 1024
BODY_READ_S_MAX: Final = 600.0
IN_FLIGHT_BYTES_MAX: Final = 512 * 1024 * 1024
JSON_DEPTH_MAX: Final = 64
FORM_FIELDS_MAX: Final = 32


class BodyBudget:
    """The bytes of bodies that are in memory now, over all requests. Refuses rather than waits: a client that sends
    slowly would otherwise hold up those that don't, and clients try again by themselves."""

    def __init__(self, bytes_max: int = IN_FLIGHT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @contextmanager
    def holding(self) -> Iterator["Held"]:
        held = Held(self)
        try:
            yield held
        finally:
            self._held_bytes -= held.bytes_count

    def take(self, bytes_count: int) -> None:
        if self._held_bytes + bytes_count > self._bytes_max:
            raise Busy
        self._held_bytes += bytes_count


class Held:
    """One request's share of the budget, given back when its `holding()` ends."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self.bytes_count = 0

    def add(self, bytes_count: int) -> None:
        self._budget.take(bytes_count)
        self.bytes_count += bytes_count


async def read_body(request: Request, held: Held, *, bytes_max: int) -> bytes:
    """Raises BodyTooLarge at once when the length is declared, else at the first byte too many."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 18 or int(declared) > bytes_max):
        raise BodyTooLarge(bytes_max)
    chunks: list[bytes] = []
    read_bytes = 0
    try:
        async with asyncio.timeout(BODY_READ_S_MAX):
            async for chunk in request.stream():
                read_bytes += len(chunk)
                if read_bytes > bytes_max:
                    raise BodyTooLarge(bytes_max)
                held.add(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        raise BodyTooSlow(BODY_READ_S_MAX) from None
    except ClientDisconnect:
        raise BodyUnreadable("the client went away before its body was complete") from None
    return b"".join(chunks)


def parse_json(body: bytes, *, what: str = "the body") -> object:
    """Raises BodyUnreadable, which calls it `what`. An empty one is None: clients send none where all is optional."""
    if not body.strip():
        return None
    value = parse_large_json(body, what=what)
    refuse_depth(value)
    try:
        # A second reading, for the one thing that the quick parser passes over: which of two members was meant?
        json.loads(body, object_pairs_hook=refuse_repeats, parse_int=lambda _: 0, parse_float=lambda _: 0)
    except ValueError as error:
        raise BodyUnreadable(f"{what} isn't the JSON that is taken here: {error}") from None
    return value


def parse_form(body: bytes) -> dict[str, str]:
    """What a page's form sends (application/x-www-form-urlencoded). Raises BodyUnreadable, also for a field twice."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise BodyUnreadable("the body isn't a form that this page has") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BodyUnreadable("the form has a field twice")
    return fields


def parse_large_json(body: bytes, *, what: str = "the body") -> object:
    """As `parse_json`, but of a member that comes twice the last counts: for large bodies of known, flat shape."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BodyUnreadable(f"{what} isn't JSON: {error}") from None


def refuse_repeats(pairs: list[tuple[str, object]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("an object has a member twice")


def refuse_depth(value: object) -> None:
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise BodyUnreadable(f"the JSON is nested deeper than {JSON_DEPTH_MAX} levels")
