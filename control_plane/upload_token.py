"""Upload tokens: short-lived JWTs under which a client stores assets for one site.

The asset routes carry neither account nor project, so the token alone says for whom an upload is. It allows storing
bytes and nothing else: what those bytes become is decided by the deployment, under an API token. `order` is the
site's count at the time of issue, by which a deploy that began earlier is told from one that finished earlier.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from control_plane.errors import UploadTokenRefused

ALGORITHM: Final = "HS256"
LIFETIME_S: Final = 2 * 60 * 60
"""Clients compare `exp` with their own clock, which may be off by minutes."""
FILES_COUNT_MAX: Final = 20_000
TOKEN_CHARACTERS_MAX: Final = 4_096


@cache
def jwt() -> Any:
    """PyJWT, imported at the first token: it loads certificate formats that we never read, 22 ms of the 300 that a
    start may take."""
    import jwt as library

    return library


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """What a valid upload token says."""

    account: str
    site_no: int
    order: int


@dataclass(frozen=True, slots=True)
class UploadTokens:
    """Issues and reads upload tokens. `now_s` is Unix time."""

    key: bytes = field(repr=False)
    now_s: Callable[[], float]

    def issue(self, grant: UploadGrant) -> str:
        issued_s = int(self.now_s())
        token: str = jwt().encode(
            {
                "account": grant.account,
                "site_no": grant.site_no,
                "order": grant.order,
                "iat": issued_s,
                "exp": issued_s + LIFETIME_S,
                "max_file_count_allowed": FILES_COUNT_MAX,
            },
            self.key,
            algorithm=ALGORITHM,
        )
        return token

    def read(self, token: str) -> UploadGrant:
        """Raises UploadTokenRefused: forged, expired, or not one of ours."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise UploadTokenRefused
        try:
            # The expiry is compared below, with the clock that issued it.
            claims = jwt().decode(
                token, self.key, algorithms=[ALGORITHM], options={"verify_exp": False, "verify_iat": False}
            )
        except jwt().InvalidTokenError:
            raise UploadTokenRefused from None
        account, site_no, order, expires_s = (claims.get(name) for name in ("account", "site_no", "order", "exp"))
        if not isinstance(account, str) or type(site_no) is not int or type(order) is not int:
            raise UploadTokenRefused
        if type(expires_s) is not int or expires_s <= self.now_s():
            raise UploadTokenRefused
        return UploadGrant(account=account, site_no=site_no, order=order)
