"""How far a job is, how fast, how long it takes yet. Pure: of its progress, its pulse, what the operator asked for.

Both phases are half of the work each, as they are of the pace: a deployment that is collected is half done. While
tables are still being read nobody knows how many filters they have; the bytes read so far say about how many.
"""

import math
from dataclasses import dataclass, replace

from migration.progress import PHASES, Control, Progress, State
from migration.pulse import Pulse


@dataclass(frozen=True, slots=True)
class Standing:
    """`work` of `whole` deployments. `per_s` and `eta_s` are None where nothing tells them."""

    work: float
    whole: float
    per_s: float | None
    eta_s: float | None
    elapsed_s: float

    @property
    def share(self) -> float:
        return min(1.0, self.work / self.whole) if self.whole else 0.0


def work_of(progress: Progress, pending: float) -> float:
    """Deployments' worth: never more than there are, also where changed sites were collected twice."""
    done = (min(progress.collected, progress.total) + progress.done) / PHASES
    return max(0.0, done - pending)


def as_told(progress: Progress, pulse: Pulse | None) -> Progress:
    """Without what was read after the pulse: a chunk that has just been is still to be stretched by the pace."""
    if pulse is None or progress.state is not State.COLLECTING:
        return progress
    return replace(progress, collected=min(progress.collected, pulse.collected))


def whole_of(progress: Progress) -> float:
    if progress.state is State.COLLECTING and progress.table_bytes_read:
        return progress.total * max(1.0, progress.table_bytes / progress.table_bytes_read)
    return float(progress.total)


def standing_of(progress: Progress, pulse: Pulse | None, control: Control, now_s: float) -> Standing:
    """`pulse` is None unless the job's process lives. `now_s` counts where there is none."""
    if progress.state.is_end:
        elapsed_s = max(0.0, (progress.ended_s or progress.started_s) - progress.started_s)
        per_s = progress.done / elapsed_s if elapsed_s > 0 else None
        return Standing(progress.done, progress.total, per_s, None, elapsed_s)
    elapsed_s = max(0.0, (pulse.at_s if pulse is not None else now_s) - progress.started_s)
    progress = as_told(progress, pulse)
    work, whole = work_of(progress, pulse.pending if pulse is not None else 0.0), whole_of(progress)
    per_s = pulse.per_s if pulse is not None else None
    is_told = pulse is not None and not pulse.waiting_for and not control.is_paused
    is_told = is_told and whole > 0 and progress.state is not State.REVISITING
    expected_per_s = per_s or control.deployments_per_s
    eta_s = max(0.0, whole - work) / expected_per_s if is_told and expected_per_s else None
    return Standing(work, whole, per_s, eta_s if eta_s is None or math.isfinite(eta_s) else None, elapsed_s)
