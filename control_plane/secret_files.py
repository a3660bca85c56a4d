"""The control plane's keys: 32 random bytes each, in files that only their owner reads.

A key is made at first use, written whole under another name and then linked, so that of two processes that start at
once one wins and both use its key. A file that holds anything else is refused: carrying on with a new key would make
every token and secret of the store worthless without a word.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
SECRET_FILE_MODE: Final = 0o600
SECRET_FOLDER_MODE: Final = 0o700


class SecretUnusable(Exception):
    """A secret's file can't be used. The message names the file and what to do; never the secret."""


def read_or_make_key(path: Path) -> bytes:
    """Raises SecretUnusable."""
    if not path.exists():
        write_secret(path, secrets.token_hex(KEY_BYTES))
    return read_key(path)


def read_key(path: Path) -> bytes:
    """Raises SecretUnusable."""
    try:
        key = bytes.fromhex(read_secret(path))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SecretUnusable(f"{path} doesn't hold {KEY_BYTES} bytes as hex digits; restore it from a backup")
    return key


def read_secret(path: Path) -> str:
    """The text of the file, without white space around it. Raises SecretUnusable when others may read the file."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SecretUnusable(f"{path} may be read by others (mode {mode:04o}); run: chmod 600 {path}")
    return path.read_text("ascii", "replace").strip()


def write_secret(path: Path, text: str) -> None:
    """Leaves a file that is there already as it is."""
    path.parent.mkdir(mode=SECRET_FOLDER_MODE, parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_FILE_MODE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
