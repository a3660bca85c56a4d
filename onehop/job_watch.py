"""What the process that runs a job tells others of it: its pulse once a second, samples for the report, a bar."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from migration.pacing import Pacer
from migration.progress import PHASES, Control, Progress, State
from migration.pulse import Pulse, write_pulse
from migration.samples import Sample, SampleLog
from migration.standing import work_of
from onehop.data_folder import DataFolder
from onehop.job_display import JobShow, document_of
from onehop.migration_parts import WatchedHealth
from onehop.steady_clock import SteadyClock

PULSE_S: Final = 0.5
RATE_WINDOW_S: Final = 10.0
RATE_S_MIN: Final = 1.0


@dataclass(slots=True)
class Speed:
    """Deployments a second over the last seconds."""

    _seen: deque[tuple[float, float]] = field(default_factory=deque)

    def begin_anew(self) -> None:
        """What was before tells nothing of what comes: the pace has changed, or a wait has ended."""
        self._seen.clear()

    def after(self, at_s: float, work: float) -> float | None:
        if self._seen and work <= self._seen[0][1]:
            self._seen.clear()  # nothing yet: the time until the first table is read is no part of the rate
        self._seen.append((at_s, work))
        while at_s - self._seen[0][0] > RATE_WINDOW_S:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return max(0.0, work - first) / (at_s - first_s) if at_s - first_s >= RATE_S_MIN else None


@dataclass(slots=True)
class JobWatch:
    """Of one life of one job."""

    folder: DataFolder
    shown: JobShow
    clock: SteadyClock = field(default_factory=SteadyClock)
    monotonic_s: Callable[[], float] = time.monotonic
    _events: list[str] = field(default_factory=list)
    _speed: Speed = field(default_factory=Speed)
    _next_pulse_s: float = 0.0
    _collected_before: int = 0
    _health: WatchedHealth = field(init=False)
    _log: SampleLog = field(init=False)

    def __post_init__(self) -> None:
        self._health = WatchedHealth(self.folder.metrics)
        self._log = SampleLog(self.folder.samples)

    def goes_on(self, progress: Progress) -> None:
        """It is what is left of a job whose earlier life was cut short there."""
        self._collected_before = progress.collected
        self._events.append("goes on after it was cut short")

    def look(self, progress: Progress, control: Control, pacer: Pacer) -> None:
        now_s, monotonic_s = self.clock.now_s(), self.monotonic_s()
        pending = self._pending(progress, pacer)
        events = pacer.take_events()
        if events:
            self._speed.begin_anew()
        work = work_of(progress, pending)
        per_s = self._speed.after(monotonic_s, work)
        pulse = Pulse(progress.job, now_s, pacer.told(), pacer.waiting_for, progress.collected, pending, per_s)
        self.shown.show(document_of(progress, control, pulse, now_s))
        self._events += events
        if progress.state.is_end and progress.reason:
            self._events.append(f"{progress.state}: {progress.reason}")
        with suppress(OSError):  # a full disk ends the job where it writes what counts, with a reason
            if monotonic_s >= self._next_pulse_s:
                self._next_pulse_s = monotonic_s + PULSE_S
                write_pulse(self.folder.pulse, pulse)
            self._keep(progress, pacer, work, now_s)

    def _pending(self, progress: Progress, pacer: Pacer) -> float:
        """A chunk counts as read the moment that it is; the pace hears of it after that, and stretches it."""
        pending = pacer.pending_rows
        if progress.state is not State.COLLECTING:
            return pending
        collected = (progress.collected - self._collected_before) / PHASES
        return max(0.0, collected - (pacer.charged_rows - pending))

    def _keep(self, progress: Progress, pacer: Pacer, work: float, now_s: float) -> None:
        if not self._events and not self._log.is_due(now_s):
            return
        health = self._health()
        share = pacer.guard.share if pacer.guard is not None else 1.0

        def sample(event: str) -> Sample:
            return Sample(
                job=progress.job, at_s=now_s, stage=progress.state.value, done=int(work), total=progress.total,
                requests=health.requests_count, errors=health.errors_count, share=share, event=event,
                p99_ms=health.p99_s * 1e3 if health.p99_s is not None else None,
            )  # fmt: skip

        self._log.add(sample(""))
        while self._events:
            self._log.add(sample(self._events.pop(0)))
