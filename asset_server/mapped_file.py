"""A blob's file in memory, which knows the file: a body in it can also be sent without passing through this process."""

import mmap
import os
from typing import Self
from weakref import WeakValueDictionary


class MappedFile(mmap.mmap):
    """Read-only, the whole file. `descriptor` is its own and lives as long; `body_at` and `body_bytes` say where in the
    file the body lies that the map was made for."""

    descriptor: int
    body_at: int
    body_bytes: int

    @classmethod
    def of(cls, descriptor: int, *, body_at: int, body_bytes: int) -> Self:
        """`descriptor` stays the caller's to close."""
        mapped = cls(descriptor, 0, access=mmap.ACCESS_READ)
        mapped.descriptor, mapped.body_at, mapped.body_bytes = os.dup(descriptor), body_at, body_bytes
        return mapped

    @property
    def body(self) -> memoryview:
        return memoryview(self)[self.body_at : self.body_at + self.body_bytes]

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class SharedMaps:
    """One map for all who have a view of the same body, as each map takes two descriptors."""

    def __init__(self) -> None:
        self._living: WeakValueDictionary[tuple[int, int], MappedFile] = WeakValueDictionary()

    def body(self, descriptor: int, file_number: int, body_at: int, body_bytes: int) -> memoryview:
        """`file_number` is the inode's: while it is mapped, no other file gets it. Raises OSError."""
        mapped = self._living.get((file_number, body_at))
        if mapped is None:
            mapped = MappedFile.of(descriptor, body_at=body_at, body_bytes=body_bytes)
            self._living[file_number, body_at] = mapped
        return mapped.body


def file_of(body: memoryview) -> MappedFile | None:
    """The file that holds `body`, if it is all of a mapped one's: of a part nobody knows where it begins."""
    mapped = body.obj
    return mapped if isinstance(mapped, MappedFile) and len(body) == mapped.body_bytes else None
