"""The dispatcher's calls for keys and values, to the store. The operation is in the control field, a value in the body.

Each call is a short transaction of SQLite's, in a thread: a writer in another process may have to be waited for.
"""

import asyncio
import sqlite3
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import orjson

from asset_server.message import Response
from functions.key_values import (
    LIST_MAX,
    VALUE_BYTES_MAX,
    Entry,
    KeyValueRefused,
    KeyValueStore,
    decode_cursor,
    encode_cursor,
)
from router.function_body import read_all
from router.function_door import JSON_TYPE, said

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

METADATA_FIELD: Final = b"onehop-metadata"
"""JSON as base64, since it may hold any character."""


class FunctionKeyValues:
    def __init__(self, store: KeyValueStore) -> None:
        self._store = store

    async def answer(self, namespace: str, operation: str, options: Mapping[str, Any], receive: Receive) -> Response:
        body = await read_all(receive, VALUE_BYTES_MAX) if operation == "put" else b""
        try:
            return await asyncio.to_thread(self._run, namespace, operation, options, body)
        except KeyValueRefused as error:
            return said(400, str(error))
        except (sqlite3.Error, OSError):
            return said(503, "the store can't be written or read now")

    def _run(self, namespace: str, operation: str, options: Mapping[str, Any], body: bytes) -> Response:
        """Raises KeyValueRefused."""
        now_s = int(time.time())
        match operation, options:
            case "get", {"key": str(key)}:
                return found(self._store.get(namespace, key, now_s=now_s))
            case "put", {"key": str(key)}:
                self._store.put(namespace, key, entry_of(body, options, now_s), now_s=now_s)
                return Response(204, [])
            case "delete", {"key": str(key)}:
                self._store.delete(namespace, key)
                return Response(204, [])
            case "list", _:
                return self._list(namespace, options, now_s)
        raise KeyValueRefused("no such operation")

    def _list(self, namespace: str, options: Mapping[str, Any], now_s: int) -> Response:
        prefix, cursor, limit = options.get("prefix") or "", options.get("cursor") or "", options.get("limit")
        listed, is_complete = self._store.list_keys(
            namespace,
            prefix=str(prefix),
            after=decode_cursor(str(cursor)),
            limit=limit if isinstance(limit, int) else LIST_MAX,
            now_s=now_s,
        )
        names: list[dict[str, object]] = []
        for each in listed:
            name: dict[str, object] = {"name": each.key}
            if each.expires_s is not None:
                name["expiration"] = each.expires_s
            if each.metadata is not None:
                name["metadata"] = orjson.loads(each.metadata)
            names.append(name)
        document: dict[str, object] = {"keys": names, "list_complete": is_complete, "cacheStatus": None}
        if not is_complete:
            document["cursor"] = encode_cursor(listed[-1].key)
        return Response(200, [JSON_TYPE], orjson.dumps(document))


def found(entry: Entry | None) -> Response:
    if entry is None:
        return Response(404, [])
    fields = [(b"content-type", b"application/octet-stream")]
    if entry.metadata is not None:
        fields.append((METADATA_FIELD, urlsafe_b64encode(entry.metadata.encode("utf-8"))))
    return Response(200, fields, entry.value)


def entry_of(body: bytes, options: Mapping[str, Any], now_s: int) -> Entry:
    """Raises KeyValueRefused."""
    expires_s, lifetime_s, metadata = (options.get(name) for name in ("expiration", "expirationTtl", "metadata"))
    for given in (expires_s, lifetime_s):
        if given is not None and (isinstance(given, bool) or not isinstance(given, int | float)):
            raise KeyValueRefused("expiration and expirationTtl are numbers of seconds")
    if lifetime_s is not None:
        expires_s = now_s + lifetime_s
    return Entry(
        body,
        None if metadata is None else orjson.dumps(metadata).decode("utf-8"),
        None if expires_s is None else int(expires_s),
    )
