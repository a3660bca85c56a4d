"""What a deploy learns from git."""

import subprocess
from pathlib import Path

import pytest

from onehop.git_checkout import MESSAGE_BYTES_MAX, read_checkout, shorten_message


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "feature/x")
    (tmp_path / "a.txt").write_text("x")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-q", "-m", "First\n\nAnd why.")
    return tmp_path


def test_branch_commit_and_message_are_read(checkout: Path) -> None:
    found = read_checkout(checkout)
    assert found is not None
    assert found.branch == "feature/x"
    assert len(found.commit_hash) == 40
    assert found.commit_message == "First\n\nAnd why."
    assert not found.is_dirty


def test_an_uncommitted_file_makes_it_dirty(checkout: Path) -> None:
    (checkout / "b.txt").write_text("x")
    found = read_checkout(checkout)
    assert found is not None
    assert found.is_dirty


def test_a_detached_checkout_has_the_branch_head(checkout: Path) -> None:
    git(checkout, "checkout", "-q", "--detach")
    found = read_checkout(checkout)
    assert found is not None
    assert found.branch == "HEAD"


def test_nothing_is_known_outside_of_git_or_before_the_first_commit(tmp_path: Path) -> None:
    assert read_checkout(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert read_checkout(tmp_path) is None


def test_a_long_message_is_cut_between_characters() -> None:
    cut = shorten_message("é" * MESSAGE_BYTES_MAX)
    assert len(cut.encode()) == MESSAGE_BYTES_MAX
    assert set(cut) == {"é"}
    assert shorten_message("x" + "é" * MESSAGE_BYTES_MAX).encode()[-2:] == "é".encode()
