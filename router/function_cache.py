"""The calls of a function's `caches`, to the edge worker's cache of responses."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson

from asset_server.message import Response
from functions.response_cache import ENTRY_BYTES_MAX, CacheKey, ResponseCache
from router.function_body import read_all

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

WANTS: Final = b"onehop-cache"
HEAD: Final = b"onehop-cached"
"""Both as functions/caches.js writes them: JSON, percent-encoded."""


class FunctionCache:
    def __init__(self, cache: ResponseCache) -> None:
        self._cache = cache

    async def answer(self, owner: str, fields: list[tuple[bytes, bytes]], receive: Receive) -> Response:
        """A function may write these fields as it likes: what can't be read is a 400, and nothing but its own."""
        given = dict(fields)
        try:
            operation, name, url = orjson.loads(unquote(given[WANTS].decode("ascii")))
            key = CacheKey(owner, str(name), str(url))
            if operation == "put":
                head = unquote(given[HEAD].decode("ascii"))
                status, _, pairs = orjson.loads(head)
                headers = [(str(each), str(value)) for each, value in pairs]
                body = await read_all(receive, ENTRY_BYTES_MAX)
                is_kept = self._cache.put(key, status=int(status), fields=headers, head=head, body=body)
                return Response(204 if is_kept else 202, [])
        except (KeyError, ValueError, TypeError):
            return Response(400, [])
        if operation == "delete":
            return Response(200 if self._cache.delete(key) else 404, [])
        found = self._cache.match(key)
        if found is None:
            return Response(404, [])
        return Response(
            200, [(HEAD, quote(found.head).encode()), (b"age", b"%d" % self._cache.age_s(found))], found.body
        )
