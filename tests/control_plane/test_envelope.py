"""The one place where errors become HTTP: all that storage can raise is told as what it is, and nothing leaks."""

import errno
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from asset_server.durable import StoreFull as BlobStoreFull
from asset_server.manifest import ManifestCorrupt
from control_plane.catalogue import StoreInconsistent
from control_plane.envelope import TRANSLATED, translate
from envelope.answers import Page, render_success
from functions.bundle import BundleStoreFull
from router.key_files import KeysRefused
from router.kv import errors as store_errors
from router.pipeline import PipelineUnreadable
from router.records import RecordUnreadable

SECRET_PLACE = "/var/lib/secret-place"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (store_errors.StoreFull(SECRET_PLACE), 507),
        (BlobStoreFull(Path(SECRET_PLACE)), 507),
        (BundleStoreFull(Path(SECRET_PLACE)), 507),
        (store_errors.StoreRefused(SECRET_PLACE), 503),
        (store_errors.StoreError(SECRET_PLACE), 503),
        (KeysRefused(SECRET_PLACE), 503),
        (OSError(errno.EROFS, "read-only", SECRET_PLACE), 503),
        (store_errors.StoreDamaged(SECRET_PLACE), 500),
        (StoreInconsistent(SECRET_PLACE), 500),
        (RecordUnreadable(SECRET_PLACE), 500),
        (PipelineUnreadable(SECRET_PLACE), 500),
        (ManifestCorrupt(SECRET_PLACE), 500),
        (HTTPException(400, "bad"), 400),
        (RuntimeError(SECRET_PLACE), 500),
    ],
)
def test_hardening_60_an_error_is_told_as_what_it_is_without_our_paths(error: Exception, status: int) -> None:
    told = translate(error)
    assert told.status == status
    assert SECRET_PLACE not in told.message
    assert told.code % 256 != 0
    assert isinstance(error, TRANSLATED)


def test_every_error_of_the_store_has_a_translation() -> None:
    kinds = [each for each in vars(store_errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(kinds) > 3
    assert all(issubclass(kind, store_errors.StoreError) for kind in kinds)


def test_only_a_defect_is_left_to_the_last() -> None:
    assert TRANSLATED[-1] is Exception


def test_a_page_says_how_many_pages_there_are() -> None:
    body = bytes(render_success(Page(["a"], page=3, per_page=2, total_count=5)).body)
    assert b'"result_info":{"page":3,"per_page":2,"count":1,"total_count":5,"total_pages":3}' in body
