"""Files that somebody names, read without trust: a device has no end, and a pipe may have nobody who writes."""

import os
import stat
from pathlib import Path


class FileRefused(Exception):
    """It isn't a regular file, or is too large; the text says which."""


def read_regular(path: Path, *, bytes_max: int) -> bytes:
    """Never waits, and never reads more than a byte too many. Raises FileRefused, OSError."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise FileRefused("isn't a regular file")
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise FileRefused(f"has {max(len(data), status.st_size)} bytes")
    return data
