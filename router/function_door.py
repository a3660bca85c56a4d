"""Where the dispatcher in workerd calls back: for a bundle's code, for assets, with events, for keys and values.

An ASGI application on a Unix socket. Only our own workerd processes get in (function_listener.py asks the kernel who
calls); each call says in its control field what it wants, which the dispatcher writes and no function can.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import orjson

from asset_server.message import Response
from router.app import write_response
from router.edge import Edge, EdgeRequest
from router.function_body import BodyTooLong, read_all
from router.function_cache import FunctionCache
from router.function_request import CONTROL, OWN_PREFIX
from router.metrics.function_meter import FunctionMeter
from router.pipeline import Pipeline, PipelineUnreadable

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

EVENTS_BYTES_MAX: Final = 4 * 1024 * 1024
JSON_TYPE: Final = (b"content-type", b"application/json")
NOT_FOR_ASSETS: Final = frozenset({b"accept-encoding"})
"""Assets come to a function as they are: one that passes them on under its own headers can't get the coding wrong."""


class CodeUnavailable(Exception):
    """A bundle's code can't be had; the text says why, for the operator and the author."""


class FunctionSource(Protocol):
    """What a function is made of, and where what it says goes."""

    def code(self, pipeline: Pipeline) -> bytes:
        """The dispatcher's JSON. Blocks. Raises CodeUnavailable."""

    def note_events(self, pipeline: Pipeline, events: bytes) -> None: ...


class FunctionDoor:
    def __init__(
        self, edge: Edge, source: FunctionSource, keys: "KeyValues", cache: FunctionCache, meter: FunctionMeter
    ) -> None:
        self._edge = edge
        self._source = source
        self._keys = keys
        self._cache = cache
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wants = control_of(scope)
        try:
            match wants:
                case {"assets": str(encoded)}:
                    response = self._assets(Pipeline.parse(encoded.encode()), scope)
                case {"code": str(encoded)}:
                    response = await self._code(Pipeline.parse(encoded.encode()))
                case {"events": str(encoded)}:
                    self._source.note_events(
                        Pipeline.parse(encoded.encode()), await read_all(receive, EVENTS_BYTES_MAX)
                    )
                    response = Response(204, [])
                case {"kv": str(namespace), "operation": str(operation)}:
                    response = await self._keys.answer(namespace, operation, wants, receive)
                case {"cache": str(encoded)}:
                    response = await self._cache.answer(encoded, scope["headers"], receive)
                case _:
                    response = said(400, "the control field says nothing that is known")
        except (PipelineUnreadable, CodeUnavailable) as error:
            response = said(500, str(error))
        except BodyTooLong:
            response = said(413, "the body is too long")
        if scope["method"] == "HEAD":
            response = Response(response.status, response.headers)
        await write_response(response, send)

    def _assets(self, pipeline: Pipeline, scope: Scope) -> Response:
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name not in NOT_FOR_ASSETS and not name.startswith(OWN_PREFIX)
        ]
        query: bytes = scope["query_string"]
        target: bytes = scope["raw_path"]
        schemes = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
        request = EdgeRequest(
            method=scope["method"],
            target=target + b"?" + query if query else target,
            host=next((value for name, value in headers if name == b"host"), b""),
            scheme="https" if schemes == [b"https"] else "http",
            headers=headers,
            client="",  # nothing here is dealt an arm, nor counted
            received_ns=0,
        )
        return self._edge.answer_from_assets(pipeline, request)

    async def _code(self, pipeline: Pipeline) -> Response:
        self._meter.loaded()
        code = await asyncio.to_thread(self._source.code, pipeline)
        return Response(200, [JSON_TYPE], code)


class KeyValues(Protocol):
    async def answer(self, namespace: str, operation: str, options: dict[str, Any], receive: Receive) -> Response: ...


def control_of(scope: Scope) -> dict[str, Any]:
    """Empty unless there is just one such field and it is JSON."""
    values = [value for name, value in scope["headers"] if name == CONTROL]
    if len(values) != 1:
        return {}
    try:
        control = orjson.loads(values[0])
    except orjson.JSONDecodeError:
        return {}
    return control if isinstance(control, dict) else {}


def said(status: int, text: str) -> Response:
    return Response(status, [(b"content-type", b"text/plain; charset=utf-8")], text.encode("utf-8"))
