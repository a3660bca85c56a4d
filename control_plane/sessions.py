"""Who is signed in with a browser. In memory: a restart signs everybody out, and nothing on disk can be stolen.

A session is worth what its token is worth now: it names a token, whose rights are read again at each request, and a
revoked token's sessions are worth nothing. Cookies are looked up by their hash, so that no comparison tells of them.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

COOKIE: Final = "__Host-onehop-session"
"""Browsers take a cookie of this prefix only from a secure origin (this machine's own counts) and for this very host:
a deployed site, which is another host under the same parent, can neither read nor set it."""
SESSION_S_MAX: Final = 12 * 3600.0
SESSIONS_COUNT_MAX: Final = 1000
ID_BYTES: Final = 32
ID_CHARACTERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Session:
    token_id: str
    ends_s: float


class Sessions:
    """`now_s`: Unix time. Beyond the most there may be, the oldest one ends."""

    def __init__(self, now_s: Callable[[], float], *, count_max: int = SESSIONS_COUNT_MAX) -> None:
        self._now_s = now_s
        self._count_max = count_max
        self._sessions: dict[bytes, Session] = {}

    def begin(self, token_id: str) -> str:
        """Returns the new session's cookie: never one that a browser brought along."""
        cookie = secrets.token_urlsafe(ID_BYTES)
        while len(self._sessions) >= self._count_max:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[key_of(cookie)] = Session(token_id, self._now_s() + SESSION_S_MAX)
        return cookie

    def find(self, cookie: str | None) -> str | None:
        """The id of the session's token."""
        if cookie is None or len(cookie) > ID_CHARACTERS_MAX:
            return None
        session = self._sessions.get(key_of(cookie))
        if session is None:
            return None
        if session.ends_s <= self._now_s():
            del self._sessions[key_of(cookie)]
            return None
        return session.token_id

    def end(self, cookie: str | None) -> None:
        if cookie is not None:
            self._sessions.pop(key_of(cookie), None)


def key_of(cookie: str) -> bytes:
    return sha256(cookie.encode("utf-8", "surrogatepass")).digest()


def read_cookie(request: Request) -> str | None:
    """None also where two cookies claim the name: a browser sends one."""
    values = [
        value
        for field in request.headers.getlist("cookie")
        for name, separator, value in (pair.strip().partition("=") for pair in field.split(";"))
        if separator and name == COOKIE
    ]
    return values[0] if len(values) == 1 else None


def set_cookie(response: Response, cookie: str) -> None:
    response.set_cookie(
        COOKIE, cookie, max_age=round(SESSION_S_MAX), path="/", secure=True, httponly=True, samesite="strict"
    )


def clear_cookie(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
