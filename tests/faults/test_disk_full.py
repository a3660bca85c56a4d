"""The disk is full, at whichever write of a deploy it happens: the deploy is refused, and the site stays as it was."""

import os
import subprocess
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import serving
from tests.faults.breakable_site import (
    FILE_BYTES,
    FILES_COUNT,
    HOST,
    SITE,
    assert_check_is_clean,
    site_files,
    version_served,
)
from tests.plain_deploy import Refused, create_site, plain_deploy
from tests.real_parts import refuse_to_run_without

KIB: Final = 1024
DISK_BYTES: Final = 48 * KIB * KIB
DEPLOY_KIB: Final = FILES_COUNT * FILE_BYTES * 2 // KIB
ROOM_KIB: Final = (0, 4, 12, 40, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1500)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a size that a test can fill."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    size = f"size={DISK_BYTES}"
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", mount_point]).returncode != 0:
        refuse_to_run_without("a file system of a few MiB", "mounting a tmpfs takes root")
    try:
        yield mount_point
    finally:
        subprocess.run(["umount", "--lazy", mount_point], check=True)


def leave_room(disk: Path, kib: int) -> None:
    """Fills the disk but for `kib`."""
    status = os.statvfs(disk)
    free_bytes = status.f_bavail * status.f_frsize
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, max(free_bytes - kib * KIB, 1))


def test_a_full_disk_refuses_the_deploy_and_leaves_the_site_alone(small_disk: Path) -> None:
    version = 0
    refused_count = 0
    with serving(small_disk / "data") as server:
        create_site(server, SITE)
        plain_deploy(server, SITE, site_files(version))
        for kib in ROOM_KIB:
            leave_room(small_disk, kib)
            try:
                plain_deploy(server, SITE, site_files(version + 1))
            except Refused as refused:
                refused_count += 1
                assert refused.status in (503, 507), refused
                assert version_served(server, HOST, (version,)) == version
            except (OSError, HTTPException) as broken:
                pytest.fail(f"with {kib} KiB left the server broke off instead of refusing: {broken!r}")
            assert version_served(server, HOST, (version, version + 1)) in (version, version + 1)
            (small_disk / "filler").unlink()
            plain_deploy(server, SITE, site_files(version + 1))
            version = version_served(server, HOST, (version + 1,))
        assert_check_is_clean(server)
    assert refused_count >= len(ROOM_KIB) // 2
