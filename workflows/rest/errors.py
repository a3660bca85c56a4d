"""What the API tells of each error: the one place that maps an engine's refusals to HTTP.

    404  10200 workflow.not_found      10400 instance.not_found    7003 no such path
    409  10405 instance.already_exists 10406 instance.cannot_…
    400  10407 what can't be read or can't be meant                413  10413 payload
    429  10429 too much at once        401, 403  10000 tokens      503  10001 the store is locked
    500  10001 all else

Messages begin with the model's own word for the error, so that a person can look it up.
"""

from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException

from envelope.errors import (
    ApiError,
    BodyTooLarge,
    BodyTooSlow,
    BodyUnreadable,
    Busy,
    MethodRefused,
    UnknownRoute,
    ValueRefused,
)
from workflows.errors import InstanceNotFound, StoreError, WorkflowError, WorkflowNotFound
from workflows.intake import RateExceeded

RETRY_AFTER_S: Final = 1
BUSY_RETRY_AFTER_S: Final = 5


class Refusal(ApiError):
    """An answer of this API, with codes of its own."""

    def __init__(self, status: int, code: int, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message, headers=headers)
        self.status, self.code = status, code  # type: ignore[misc]  # of this answer, where others have one a class


LISTED: Final[Mapping[str, str]] = {
    "workflow": "'onehop workflow list' shows those there are",
    "instance": "'onehop workflow list WORKFLOW' shows those there are",
}
STORE_TOLD: Final[Mapping[str, str]] = {
    "store.busy": "the store is in use by another program; try again in a few seconds",
    "store.full": "the disk of the store is full; what was asked for was not done",
    "store.damaged": "the store can't be read; the server's log says how to restore it",
}
"""What a client may know of the store's troubles: never where it lies."""


def translate(error: Exception) -> ApiError:
    match error:
        case WorkflowNotFound():
            return Refusal(404, 10200, f"workflow.not_found: {error.why}; {LISTED['workflow']}")
        case InstanceNotFound():
            return Refusal(
                404, 10400, f"workflows.api.error.instance.not_found: there is no such instance; {LISTED['instance']}"
            )
        case StoreError():
            return translate_store(error)
        case RateExceeded():
            return too_many(f"{error.code}: {error.why}", retry_after_s=error.retry_after_s)
        case WorkflowError():
            return translate_refusal(error)
        case BodyUnreadable() | ValueRefused():
            return Refusal(400, 10407, f"body: {error.message}")
        case BodyTooLarge():
            return Refusal(413, 10413, f"payload.too_large: {error.message}", headers=error.headers)
        case BodyTooSlow():
            return Refusal(408, 10407, f"body: {error.message}", headers=error.headers)
        case Busy():
            return too_many("too many large requests at once")
        case ApiError():
            return error
        case HTTPException(status_code=404):
            return UnknownRoute()
        case HTTPException(status_code=405):
            return MethodRefused((error.headers or {}).get("Allow", "another method"))
        case HTTPException():
            return Refusal(400, 10407, f"body: {error.detail}")
        case _:
            return Refusal(500, 10001, "workflows.api.error.internal_server: the server's log has the reason")


def translate_store(error: StoreError) -> ApiError:
    told = STORE_TOLD.get(error.code, "the store failed; the server's log has the reason")
    message = f"workflows.api.error.internal_server: {told}"
    if error.code == "store.busy":
        return Refusal(503, 10001, message, headers={"retry-after": str(BUSY_RETRY_AFTER_S)})
    return Refusal(500, 10001, message)


def translate_refusal(error: WorkflowError) -> ApiError:
    message = f"{error.code}: {error.why}" if error.why else error.code
    match error.code:
        case "instance.already_exists":
            return Refusal(409, 10405, message)
        case "payload.too_large":
            return Refusal(413, 10413, message)
        case code if code.startswith("instance.cannot_"):
            return Refusal(409, 10406, message)
        case _:
            return Refusal(400, 10407, message)


def too_many(message: str, *, retry_after_s: int = RETRY_AFTER_S) -> ApiError:
    return Refusal(429, 10429, message, headers={"retry-after": str(retry_after_s)})
