"""What the kernel says of a process, from /proc (proc(5))."""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KIB: Final = 1024


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """`own_bytes` no file backs; `file_bytes` are resident pages of files: code, and the store's map, which all its
    readers share. Shared memory counts as a file's. `started_at_s` is Unix time."""

    own_bytes: int
    file_bytes: int
    cpu_s: float
    started_at_s: float


def read_process_info(pid: int) -> ProcessInfo | None:
    """None for a process that is gone, and where there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in status.splitlines())
           if name in ("RssAnon", "RssFile", "RssShmem")}  # fmt: skip
    if len(kib) < 3:
        return None  # a zombie has no memory
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / ticks_per_s
    return ProcessInfo(
        own_bytes=kib["RssAnon"] * KIB,
        file_bytes=(kib["RssFile"] + kib["RssShmem"]) * KIB,
        cpu_s=(int(fields[11]) + int(fields[12])) / ticks_per_s,
        started_at_s=time.time() - age_s,
    )
