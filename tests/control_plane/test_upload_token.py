import json
from base64 import urlsafe_b64decode

import jwt
import pytest

from control_plane.errors import UploadTokenRefused
from control_plane.upload_token import LIFETIME_S, UploadGrant, UploadTokens

KEY = bytes(range(32))
GRANT = UploadGrant(account="a", site_no=7, order=3)


def tokens(*, now_s: float = 1_000_000.0, key: bytes = KEY) -> UploadTokens:
    return UploadTokens(key=key, now_s=lambda: now_s)


def claims(token: str) -> dict[str, object]:
    middle = token.split(".")[1]
    document: dict[str, object] = json.loads(urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return document


def test_pages_api_6_4_three_parts_with_a_future_expiry_and_the_most_files() -> None:
    token = tokens().issue(GRANT)
    assert token.count(".") == 2
    assert claims(token)["exp"] == 1_000_000 + LIFETIME_S
    assert claims(token)["max_file_count_allowed"] == 20_000


def test_pages_api_6_4_it_is_bound_to_account_and_project() -> None:
    assert tokens().read(tokens().issue(GRANT)) == GRANT


def test_it_lasts_until_its_expiry_by_our_clock() -> None:
    token = tokens().issue(GRANT)
    assert tokens(now_s=1_000_000 + LIFETIME_S - 1).read(token) == GRANT
    with pytest.raises(UploadTokenRefused):
        tokens(now_s=1_000_000 + LIFETIME_S).read(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "x" * 10_000,
        tokens(key=bytes(32)).issue(GRANT),
        jwt.encode({"account": "a", "site_no": 7, "order": 3, "exp": 2_000_000}, None, algorithm="none"),
        jwt.encode({"account": "a", "site_no": "7", "order": 3, "exp": 2_000_000}, KEY),
        jwt.encode({"account": "a", "site_no": True, "order": 3, "exp": 2_000_000}, KEY),
        jwt.encode({"account": "a", "site_no": 7, "order": 3}, KEY),
        jwt.encode({"account": "a", "site_no": 7, "order": 3, "exp": 1e300}, KEY),
        "tok\u00e9n.b.c",
    ],
)
def test_what_we_did_not_issue_is_refused(token: str) -> None:
    with pytest.raises(UploadTokenRefused):
        tokens().read(token)


def test_a_repr_does_not_hold_the_key() -> None:
    assert repr(KEY) not in repr(tokens())
