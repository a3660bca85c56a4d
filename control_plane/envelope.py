"""The one place that maps errors of the deploy API to HTTP: to the envelope, whatever went wrong."""

import sqlite3
from typing import Final

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
from envelope.answers import render_error
from functions.bundle import BundleStoreFull
from router.event_log import event_log
from router.key_files import KeysRefused
from router.kv.store import StoreDamaged, StoreError, StoreFull
from router.pipeline import PipelineUnreadable
from router.records import RecordUnreadable

TRANSLATED: Final[tuple[type[Exception], ...]] = (
    ApiError, HTTPException, StoreError, BlobStoreFull, BundleStoreFull, OSError,
    KeysRefused, StoreInconsistent, RecordUnreadable, PipelineUnreadable, ManifestCorrupt,
    Exception,
)  # fmt: skip
"""What the app hands to `answer_error`; the last stands for defects."""


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
