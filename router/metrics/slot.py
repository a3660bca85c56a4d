"""A process's cells, in a file that outlives it.

    offset  size
    0       8      MAGIC
    8       8      the layout's id (catalogue.LAYOUT_ID), little-endian like all that follows
    16      8      process id of the last owner
    24      8      its start, in clock ticks since boot: a process id alone may be another's by now
    32      32     its role, UTF-8, padded with zeros
    64      8 each the cells

A process takes the first file that no living process holds the lock of, and counts on from what it finds: a counter
neither loses nor repeats anything when its process is killed and replaced, nor when the server is started anew. The
kernel lets go of the lock at the owner's end. Gauges begin at zero, and count only while their owner lives.
"""

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.event_log import event_log
from router.metrics.catalogue import CELLS_COUNT, COUNTED, LAYOUT_ID, OFFSETS, Kind

MAGIC: Final = b"1hopcell"
HEADER: Final = struct.Struct("<8sQQQ32s")
CELL_BYTES: Final = 8
SLOT_BYTES: Final = HEADER.size + CELLS_COUNT * CELL_BYTES
SLOTS_MAX: Final = 1_024
"""Four times the workers that a server may have: those that drain while their heirs serve hold theirs too."""
SLOT_SUFFIX: Final = ".cells"
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

ENDED_STATES: Final = (b"Z", b"X")

Cells = memoryview
"""Of unsigned 64-bit numbers, CELLS_COUNT of them."""


def unshared_cells() -> Cells:
    """Cells that nobody else reads, for tests and for when there is no room for shared ones."""
    return memoryview(bytearray(CELLS_COUNT * CELL_BYTES)).cast("Q")


@contextmanager
def held_slot(folder: Path, role: str) -> Iterator[Cells]:
    """The calling process's cells under `folder`. An edge must serve without metrics too: where no slot can be had,
    that is logged and the cells are unshared."""
    try:
        descriptor = take_slot(folder)
    except OSError as error:
        event_log().error("metrics.unshared", role=role, folder=str(folder), reason=error.strerror or str(error))
        yield unshared_cells()
        return
    try:
        with mmap.mmap(descriptor, SLOT_BYTES) as mapped:
            # The map keeps a descriptor of its own, and with it the lock, until it is closed.
            cells = claim(mapped, role)
            try:
                yield cells
            finally:
                cells.release()
    finally:
        os.close(descriptor)


def take_slot(folder: Path) -> int:
    """A descriptor of the first free slot, locked, and its blocks on disk: a map of a file with holes is a fatal
    signal on a full disk. Raises OSError."""
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    for number in range(SLOTS_MAX):
        descriptor = os.open(folder / f"{number:04d}{SLOT_SUFFIX}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, SLOT_BYTES)
            os.posix_fallocate(descriptor, 0, SLOT_BYTES)
        except BlockingIOError:
            os.close(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        else:
            return descriptor
    raise OSError(f"all of {SLOTS_MAX} slots are held by living processes")


def claim(mapped: mmap.mmap, role: str) -> Cells:
    """Makes the slot this process's: what another layout wrote is gone, what was counted stays."""
    magic, layout_id, *_ = HEADER.unpack_from(mapped)
    if (magic, layout_id) != (MAGIC, LAYOUT_ID):
        mapped[:] = bytes(SLOT_BYTES)
    cells = memoryview(mapped)[HEADER.size :].cast("Q")
    for metric in COUNTED:
        if metric.kind is Kind.GAUGE:
            for index in range(OFFSETS[metric.name], OFFSETS[metric.name] + metric.cells_count):
                cells[index] = 0
    pid = os.getpid()
    HEADER.pack_into(mapped, 0, MAGIC, LAYOUT_ID, pid, start_ticks(pid) or 0, role.encode("utf-8")[:32])
    return cells


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot held when it was read. `is_alive`: its last owner still runs."""

    role: str
    pid: int
    is_alive: bool
    cells: tuple[int, ...]


def read_slots(folder: Path) -> list[Slot]:
    """All that this release's processes wrote; none where there is no folder."""
    return [slot for path in sorted(folder.glob(f"*{SLOT_SUFFIX}")) if (slot := read_slot(path)) is not None]


def read_slot(path: Path) -> Slot | None:
    """None for a slot that nobody has claimed yet, and for another layout's."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if len(data) != SLOT_BYTES:
        return None
    magic, layout_id, pid, ticks, role = HEADER.unpack_from(data)
    if (magic, layout_id) != (MAGIC, LAYOUT_ID):
        return None
    cells = tuple(memoryview(data)[HEADER.size :].cast("Q"))
    is_alive = ticks != 0 and start_ticks(pid) == ticks
    return Slot(role.rstrip(b"\0").decode("utf-8", "replace"), pid, is_alive, cells)


def start_ticks(pid: int) -> int | None:
    """When the process began, proc(5) `starttime`; None for one that has ended, and where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, *fields = stat[stat.rindex(b")") + 2 :].split()
    return int(fields[18]) if state not in ENDED_STATES else None
