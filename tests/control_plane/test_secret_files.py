import stat
from pathlib import Path

import pytest

from control_plane.secret_files import SecretUnusable, read_or_make_key, write_secret


def test_a_key_is_made_once_and_read_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "token-pepper"
    key = read_or_make_key(path)
    assert len(key) == 32
    assert read_or_make_key(path) == key


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "token-pepper"
    read_or_make_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["token-pepper"]


def test_a_key_that_others_may_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    path = tmp_path / "token-pepper"
    read_or_make_key(path)
    path.chmod(0o644)
    with pytest.raises(SecretUnusable, match="chmod 600"):
        read_or_make_key(path)


@pytest.mark.parametrize("content", ["", "beef", "not hex", "ab" * 33])
def test_a_file_that_holds_no_key_is_refused_rather_than_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token-pepper"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(SecretUnusable, match="backup"):
        read_or_make_key(path)
    assert path.read_text() == content


def test_of_two_writers_the_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_secret(path, "first")
    write_secret(path, "second")
    assert path.read_text() == "first\n"
