import errno
from pathlib import Path

import pytest

from asset_server.durable import SYNCFS_FILES_MIN, DurableBatch, StoreFull, reporting_full_disk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("count", [1, SYNCFS_FILES_MIN + 1])
def test_published_files_are_whole_and_no_temporary_one_is_left(folder: Path, count: int) -> None:
    targets = [folder.parent / f"{n}.out" for n in range(count)]
    with DurableBatch(folder) as batch:
        files = [batch.write([b"a", b"%d" % n]) for n in range(count)]
        batch.sync_files()
        for file, target in zip(files, targets, strict=True):
            batch.publish(file, target)
        batch.sync_folders()
    assert [target.read_bytes() for target in targets] == [b"a%d" % n for n in range(count)]
    assert list(folder.iterdir()) == []


def test_publish_never_takes_a_name_from_other_bytes(folder: Path) -> None:
    target = folder.parent / "out"
    target.write_bytes(b"first")
    with DurableBatch(folder) as batch, pytest.raises(FileExistsError):
        batch.publish(batch.write([b"second"]), target)
    assert target.read_bytes() == b"first"


def test_replace_takes_the_name(folder: Path) -> None:
    target = folder.parent / "out"
    target.write_bytes(b"first")
    with DurableBatch(folder) as batch:
        batch.replace(batch.write([b"second"]), target)
        batch.sync_folders()
    assert target.read_bytes() == b"second"


def test_a_failed_batch_leaves_no_temporary_file(folder: Path) -> None:
    with pytest.raises(TypeError), DurableBatch(folder) as batch:
        batch.write([b"x", "no bytes"])  # type: ignore[list-item]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_and_quota_are_reported_with_what_to_do(number: int) -> None:
    with pytest.raises(StoreFull, match="onehop gc"), reporting_full_disk(Path("data")):
        raise OSError(number, "full")


def test_other_errors_of_the_disk_keep_their_name() -> None:
    with pytest.raises(OSError, match="broken") as caught, reporting_full_disk(Path("data")):
        raise OSError(errno.EIO, "broken")
    assert caught.value.errno == errno.EIO


def test_bytes_that_a_full_device_refuses_are_store_full() -> None:
    with pytest.raises(StoreFull), reporting_full_disk(Path("data")), Path("/dev/full").open("wb") as full:
        full.write(b"x" * 100_000)
