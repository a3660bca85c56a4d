"""The API's envelope, and the one place that maps errors to HTTP.

Clients branch on `success` alone, and print the messages of `errors`; a body that isn't this JSON means nothing to
them. So every answer of the API is an envelope, whatever went wrong.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from asset_server.durable import StoreFull as BlobStoreFull
from asset_server.manifest import ManifestCorrupt
from control_plane.catalogue import StoreInconsistent
from control_plane.errors import (
    ApiError,
    BodyUnreadable,
    Defect,
    MethodRefused,
    StorageDamaged,
    StorageFailed,
    StorageFull,
    UnknownRoute,
)
from functions.bundle import BundleStoreFull
from router.event_log import event_log
from router.key_files import KeysRefused
from router.kv.store import StoreDamaged, StoreError, StoreFull
from router.pipeline import PipelineUnreadable
from router.records import RecordUnreadable

JSON_HEADERS: Final = {
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",  # a commit message may hold anything; no browser is to guess at it
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}

TRANSLATED: Final[tuple[type[Exception], ...]] = (
    ApiError, HTTPException, StoreError, BlobStoreFull, BundleStoreFull, OSError,
    KeysRefused, StoreInconsistent, RecordUnreadable, PipelineUnreadable, ManifestCorrupt,
    Exception,
)  # fmt: skip
"""What the app hands to `answer_error`; the last stands for defects."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. `total_count` is of the whole list."""

    items: Sequence[object]
    page: int
    per_page: int
    total_count: int


def render_success(result: object) -> Response:
    """A handler that answers with more or less than a result has made its own answer."""
    if isinstance(result, Response):
        return result
    document: dict[str, object] = {"success": True, "errors": [], "messages": [], "result": result}
    if isinstance(result, Page):
        document["result"] = result.items
        document["result_info"] = {
            "page": result.page,
            "per_page": result.per_page,
            "count": len(result.items),
            "total_count": result.total_count,
            "total_pages": -(-result.total_count // result.per_page),
        }
    return render_body(document)


def render_body(document: dict[str, object]) -> Response:
    return Response(orjson.dumps(document), headers=JSON_HEADERS)


def render_error(error: ApiError) -> Response:
    document = {
        "success": False,
        "errors": [{"code": error.code, "message": error.message}],
        "messages": [],
        "result": None,
    }
    return Response(orjson.dumps(document), status_code=error.status, headers={**JSON_HEADERS, **error.headers})


def translate(error: Exception) -> ApiError:
    """What the client is told of an error that isn't the API's own."""
    match error:
        case ApiError():
            return error
        case HTTPException(status_code=404):
            return UnknownRoute()
        case HTTPException(status_code=405):
            return MethodRefused((error.headers or {}).get("Allow", "another method"))
        case HTTPException():
            return BodyUnreadable(error.detail)
        case StoreFull() | BlobStoreFull() | BundleStoreFull():
            return StorageFull()
        case StoreDamaged() | StoreInconsistent() | RecordUnreadable() | PipelineUnreadable() | ManifestCorrupt():
            return StorageDamaged()
        case StoreError() | KeysRefused() | OSError() | sqlite3.Error():
            return StorageFailed()
        case _:
            return Defect()


async def answer_error(request: Request, error: Exception) -> Response:
    answer = translate(error)
    if answer.status >= 500 and answer is not error:
        event_log().error(
            "request.failed", method=request.method, path=request.url.path, code=answer.code, exc_info=error
        )
    return render_error(answer)
