"""The disk is full, at whichever write of a deploy it happens: the deploy is refused, and the site stays as it was."""

import os
from http.client import HTTPException
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import serving
from tests.faults.breakable_site import (
    HOST,
    SITE,
    assert_check_is_clean,
    site_files,
    version_served,
)
from tests.plain_deploy import Refused, create_site, plain_deploy
from tests.real_parts import small_disk

KIB: Final = 1024
DISK_BYTES: Final = 48 * KIB * KIB
ROOM_KIB: Final = (0, 4, 12, 40, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1500)


def leave_room(disk: Path, kib: int) -> None:
    """Fills the disk but for `kib`."""
    status = os.statvfs(disk)
    free_bytes = status.f_bavail * status.f_frsize
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, max(free_bytes - kib * KIB, 1))


def test_a_full_disk_refuses_the_deploy_and_leaves_the_site_alone(tmp_path: Path) -> None:
    version = 0
    refused_count = 0
    with small_disk(tmp_path / "disk", size_bytes=DISK_BYTES) as disk, serving(disk / "data") as server:
        create_site(server, SITE)
        plain_deploy(server, SITE, site_files(version))
        for kib in ROOM_KIB:
            leave_room(disk, kib)
            try:
                plain_deploy(server, SITE, site_files(version + 1))
            except Refused as refused:
                refused_count += 1
                assert refused.status in (503, 507), refused
                assert version_served(server, HOST, (version,)) == version
            except (OSError, HTTPException) as broken:
                pytest.fail(f"with {kib} KiB left the server broke off instead of refusing: {broken!r}")
            assert version_served(server, HOST, (version, version + 1)) in (version, version + 1)
            (disk / "filler").unlink()
            plain_deploy(server, SITE, site_files(version + 1))
            version = version_served(server, HOST, (version + 1,))
        assert_check_is_clean(server)
    assert refused_count >= len(ROOM_KIB) // 2
