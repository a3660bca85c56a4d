"""Codes are part of the contract: see the traps of pages-api 1."""

from collections.abc import Iterator

import pytest

from control_plane import errors
from control_plane.errors import ApiError

MEANT_BY_WRANGLER = {8000007: errors.UnknownProject, 8000013: errors.UploadTokenRefused}


def every_error() -> Iterator[type[ApiError]]:
    return (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ApiError))


@pytest.mark.parametrize("error", [each for each in every_error() if each is not ApiError])
def test_exit_code_trap_no_code_is_a_multiple_of_256(error: type[ApiError]) -> None:
    assert error.code % 256 != 0


def test_codes_with_a_meaning_for_wrangler_have_one_use_each() -> None:
    uses = [each for each in every_error() if each is not ApiError]
    for code, meant in MEANT_BY_WRANGLER.items():
        assert [each for each in uses if each.code == code] == [meant]
    assert not [each for each in uses if each.code == 8000000]


def test_codes_are_unique_but_for_the_one_of_all_authentication_errors() -> None:
    codes = [each.code for each in every_error() if each is not ApiError]
    assert sorted(code for code in codes if codes.count(code) > 1) == [10000, 10000]
