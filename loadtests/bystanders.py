"""What the machine does beside a load test: a figure that was taken while others worked is of them as well."""

import os
from pathlib import Path
from typing import Final

KTHREADD: Final = 2
"""Its children are the kernel's threads; those that write to the disk work for whoever is measured."""
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def bystanders_cpu_s() -> float:
    """Processor time so far of all processes but this one, those below it, and the kernel's (proc_pid_stat(5))."""
    parents: dict[int, int] = {}
    used: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            members = path.read_bytes().rpartition(b") ")[2].split()
        except OSError:
            continue  # it has just ended; its parent has its time
        pid = int(path.parent.name)
        parents[pid] = int(members[1])
        used[pid] = sum(int(each) for each in members[11:15])  # user, system, and both of children that have ended
    return sum(ticks for pid, ticks in used.items() if not is_ours(pid, parents)) / TICKS_PER_S


def is_ours(pid: int, parents: dict[int, int]) -> bool:
    while pid > 0:
        if pid in (os.getpid(), KTHREADD):
            return True
        pid = parents.get(pid, 0)
    return False
