"""KV namespaces over the API, as wrangler's `kv` commands and the public API's clients know them."""

import asyncio
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any, Final

import orjson
from starlette.responses import Response

from control_plane.endpoints import AccountCall
from control_plane.errors import BodyUnreadable, KeyValueInvalid, UnknownKey, UnknownNamespace, ValueRefused
from control_plane.multipart import parse_form
from control_plane.namespace_access import reachable
from control_plane.plane import ControlPlane
from envelope.answers import Page, render_body
from envelope.bodies import parse_json, parse_large_json
from envelope.paging import bounded_number
from functions.key_values import (
    LIST_MAX,
    VALUE_BYTES_MAX,
    Entry,
    KeyValueRefused,
    Listed,
    Namespace,
    decode_cursor,
    encode_cursor,
)
from router.records import JsonObject

TITLE_CHARACTERS_MAX: Final = 512
BULK_BYTES_MAX: Final = 100 * 1024 * 1024
BULK_MAX: Final = 10_000
BULK_GET_MAX: Final = 100
NAMESPACES_A_PAGE_MAX: Final = 1_000  # which is what wrangler asks for
FORM_OVERHEAD_BYTES: Final = 64 * 1024


async def list_namespaces(plane: ControlPlane, call: AccountCall) -> Page:
    page, per_page = call.paging(per_page_max=NAMESPACES_A_PAGE_MAX)
    namespaces = await asyncio.to_thread(plane.key_values.namespaces)
    known = await asyncio.to_thread(reachable, plane, call.caller)
    if known is not None:
        namespaces = [each for each in namespaces if each.id in known]
    shown = [namespace_document(each) for each in namespaces[(page - 1) * per_page : page * per_page]]
    return Page(shown, page, per_page, len(namespaces))


async def create_namespace(plane: ControlPlane, call: AccountCall) -> JsonObject:
    namespace = Namespace(plane.clock.new_id(), parse_title(await call.json_object()))
    await kv(plane.key_values.add_namespace, namespace)
    return namespace_document(namespace)


async def rename_namespace(plane: ControlPlane, call: AccountCall) -> JsonObject:
    namespace = Namespace(await namespace_of(plane, call), parse_title(await call.json_object()))
    await kv(plane.key_values.rename_namespace, namespace)
    return namespace_document(namespace)


async def show_namespace(plane: ControlPlane, call: AccountCall) -> JsonObject:
    namespace_id = await namespace_of(plane, call)
    namespaces = await asyncio.to_thread(plane.key_values.namespaces)
    return namespace_document(next(each for each in namespaces if each.id == namespace_id))


async def delete_namespace(plane: ControlPlane, call: AccountCall) -> None:
    await kv(plane.key_values.remove_namespace, await namespace_of(plane, call))


async def list_keys(plane: ControlPlane, call: AccountCall) -> Response:
    namespace = await namespace_of(plane, call)
    limit = bounded_number("limit", call.query("limit"), default=LIST_MAX, maximum=LIST_MAX)

    def read() -> tuple[list[Listed], bool]:
        return plane.key_values.list_keys(
            namespace,
            prefix=call.query("prefix"),
            after=decode_cursor(call.query("cursor")),
            limit=limit,
            now_s=int(plane.clock.now_s()),
        )

    listed, is_complete = await kv(read)
    cursor = "" if is_complete else encode_cursor(listed[-1].key)
    return render_body(
        {
            "success": True,
            "errors": [],
            "messages": [],
            "result": [key_document(each) for each in listed],
            "result_info": {"count": len(listed), "cursor": cursor},
        }
    )


async def read_value(plane: ControlPlane, call: AccountCall) -> Response:
    entry = await entry_of(plane, call)
    headers = {
        "content-type": "application/octet-stream",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
    if entry.expires_s is not None:
        headers["expiration"] = str(entry.expires_s)
    return Response(entry.value, headers=headers)


async def read_metadata(plane: ControlPlane, call: AccountCall) -> object:
    entry = await entry_of(plane, call)
    return orjson.loads(entry.metadata) if entry.metadata is not None else None


async def write_value(plane: ControlPlane, call: AccountCall) -> None:
    """The body is the value, or a form with `value` and `metadata`."""
    namespace = await namespace_of(plane, call)
    body = await call.body(bytes_max=VALUE_BYTES_MAX + FORM_OVERHEAD_BYTES)
    content_type = call.request.headers.get("content-type", "")
    metadata: str | None = None
    if content_type.startswith("multipart/form-data"):
        parts = parse_form(body, content_type)
        body = parts.get("value", b"")
        if "metadata" in parts:
            metadata = metadata_text(parse_json(parts["metadata"]))
    entry = Entry(body, metadata, expires_s(plane, call.query("expiration"), call.query("expiration_ttl")))
    await kv(plane.key_values.put, namespace, call.path("key"), entry, now_s=int(plane.clock.now_s()))


async def delete_value(plane: ControlPlane, call: AccountCall) -> None:
    await kv(plane.key_values.delete, await namespace_of(plane, call), call.path("key"))


async def write_many(plane: ControlPlane, call: AccountCall) -> JsonObject:
    namespace = await namespace_of(plane, call)
    items = parse_large_json(await call.body(bytes_max=BULK_BYTES_MAX))
    if not isinstance(items, list) or len(items) > BULK_MAX:
        raise BodyUnreadable(f"the body must be a list of at most {BULK_MAX} keys with their values")
    entries = [parse_item(plane, item) for item in items]

    def write() -> None:
        for key, entry in entries:
            plane.key_values.put(namespace, key, entry, now_s=int(plane.clock.now_s()))

    await kv(write)
    return {"successful_key_count": len(entries), "unsuccessful_keys": []}


async def delete_many(plane: ControlPlane, call: AccountCall) -> JsonObject:
    namespace = await namespace_of(plane, call)
    keys = parse_large_json(await call.body(bytes_max=BULK_BYTES_MAX))
    if not isinstance(keys, list) or len(keys) > BULK_MAX or not all(isinstance(key, str) for key in keys):
        raise BodyUnreadable(f"the body must be a list of at most {BULK_MAX} keys")

    def delete() -> None:
        for key in keys:
            plane.key_values.delete(namespace, key)

    await kv(delete)
    return {"successful_key_count": len(keys), "unsuccessful_keys": []}


async def read_many(plane: ControlPlane, call: AccountCall) -> JsonObject:
    namespace = await namespace_of(plane, call)
    body = await call.json_object()
    keys = body.get("keys")
    if not isinstance(keys, list) or len(keys) > BULK_GET_MAX or not all(isinstance(key, str) for key in keys):
        raise ValueRefused(f"keys must be a list of at most {BULK_GET_MAX}")
    is_json = body.get("type") == "json"
    now_s = int(plane.clock.now_s())

    def read() -> JsonObject:
        values: JsonObject = {}
        for key in keys:
            entry = plane.key_values.get(namespace, key, now_s=now_s)
            text = entry.value.decode("utf-8", "replace") if entry is not None else None
            values[key] = orjson.loads(text) if is_json and text is not None else text
        return values

    return {"values": await kv(read)}


async def kv(action: Any, *arguments: Any, **options: Any) -> Any:
    """Runs one call of the store in a thread. Raises KeyValueInvalid for what it refuses."""
    try:
        return await asyncio.to_thread(action, *arguments, **options)
    except KeyValueRefused as error:
        raise KeyValueInvalid(str(error)) from None


async def namespace_of(plane: ControlPlane, call: AccountCall) -> str:
    """Raises UnknownNamespace, also for one that the token doesn't reach: the two must not be told apart."""
    namespace_id = call.path("namespace")
    known = await asyncio.to_thread(reachable, plane, call.caller)
    if known is not None and namespace_id not in known:
        raise UnknownNamespace
    if not await asyncio.to_thread(plane.key_values.has_namespace, namespace_id):
        raise UnknownNamespace
    return namespace_id


async def entry_of(plane: ControlPlane, call: AccountCall) -> Entry:
    """Raises UnknownNamespace, UnknownKey."""
    namespace = await namespace_of(plane, call)
    entry: Entry | None = await kv(plane.key_values.get, namespace, call.path("key"), now_s=int(plane.clock.now_s()))
    if entry is None:
        raise UnknownKey
    return entry


def parse_title(body: JsonObject) -> str:
    title = body.get("title")
    if not isinstance(title, str) or not 1 <= len(title) <= TITLE_CHARACTERS_MAX:
        raise ValueRefused(f"title must be 1 to {TITLE_CHARACTERS_MAX} characters")
    return title


def parse_item(plane: ControlPlane, item: object) -> tuple[str, Entry]:
    match item:
        case {"key": str(key), "value": str(text), **rest}:
            try:
                value = b64decode(text, validate=True) if rest.get("base64") is True else text.encode("utf-8")
            except (Base64Error, UnicodeEncodeError):
                raise ValueRefused(f"the value of {key[:100]!r} can't be read") from None
            metadata = rest.get("metadata")
            end = expires_s(plane, str(rest.get("expiration") or ""), str(rest.get("expiration_ttl") or ""))
            return key, Entry(value, metadata_text(metadata), end)
    raise ValueRefused('each item must be {"key": "…", "value": "…"}')


def metadata_text(metadata: object) -> str | None:
    return None if metadata is None else orjson.dumps(metadata).decode("utf-8")


def expires_s(plane: ControlPlane, expiration: str, lifetime: str) -> int | None:
    if lifetime:
        return int(plane.clock.now_s()) + bounded_number("expiration_ttl", lifetime, default=0, maximum=10**9 - 1)
    if not expiration:
        return None
    if not (expiration.isascii() and expiration.isdigit() and len(expiration) < 12):
        raise ValueRefused("expiration must be a time in seconds since 1970")
    return int(expiration)


def namespace_document(namespace: Namespace) -> JsonObject:
    return {"id": namespace.id, "title": namespace.title, "supports_url_encoding": True}


def key_document(listed: Listed) -> JsonObject:
    document: JsonObject = {"name": listed.key}
    if listed.expires_s is not None:
        document["expiration"] = listed.expires_s
    if listed.metadata is not None:
        document["metadata"] = orjson.loads(listed.metadata)
    return document
