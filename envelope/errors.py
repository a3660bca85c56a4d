"""The refusals that any JSON API has, whatever it is about; each API adds its own.

    ApiError
    ├─ what can't be read   BodyUnreadable 400, BodyTooLarge 413, BodyTooSlow 408, ValueRefused 400
    ├─ who may not          Unauthenticated 401, Forbidden 403
    ├─ what isn't there     UnknownRoute 404, MethodRefused 405
    └─ what we lack         Busy 503

Codes are those of the deploy API, which clients know; an API with codes of its own replaces them where it answers.
"""

from collections.abc import Mapping
from typing import ClassVar


class ApiError(Exception):
    """A refusal that the client is told about. The message says what happened and what to do next."""

    status: ClassVar[int]
    code: ClassVar[int]

    def __init__(self, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.headers = dict(headers or {})


class BodyUnreadable(ApiError):
    """The body isn't the JSON or multipart that this route takes."""

    status, code = 400, 8000110


class ValueRefused(ApiError):
    """The body can be read, but a value in it is out of range or of the wrong type."""

    status, code = 400, 8000003


class BodyTooLarge(ApiError):
    status, code = 413, 8000111

    def __init__(self, body_bytes_max: int) -> None:
        super().__init__(
            f"the body is over this route's limit of {body_bytes_max} bytes", headers={"connection": "close"}
        )


class BodyTooSlow(ApiError):
    status, code = 408, 8000112

    def __init__(self, read_s_max: float) -> None:
        super().__init__(f"the body wasn't there after {read_s_max:.0f} s", headers={"connection": "close"})


class Unauthenticated(ApiError):
    status, code = 401, 10000

    def __init__(self) -> None:
        super().__init__(
            "Authentication error: no token, or one that isn't valid here; send one as 'Authorization: Bearer …', "
            "'onehop token create' makes them",
            headers={"www-authenticate": "Bearer"},
        )


class Forbidden(ApiError):
    """The token is valid and may know of the thing, but not do this to it."""

    status, code = 403, 10000


class UnknownRoute(ApiError):
    status, code = 404, 7003

    def __init__(self) -> None:
        super().__init__("No route for that URI")


class MethodRefused(ApiError):
    status, code = 405, 7001

    def __init__(self, allowed: str) -> None:
        super().__init__(f"this route takes {allowed}", headers={"allow": allowed})


class Busy(ApiError):
    status, code = 503, 8000504

    def __init__(self) -> None:
        super().__init__("too many uploads at once; try again in a few seconds", headers={"retry-after": "5"})
