"""Between two batches: waits as long as the pace, the guard, a pause and the quiet hours want, and no longer.

All of them are looked at anew each time, so that what an operator changes while a job runs holds from the next batch.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Final, Self

from migration.guard import UNBOUNDED_PER_S, GuardState, Health, Limits, look
from migration.progress import Control
from migration.throttle import Pace, Throttle
from router.event_log import event_log

LOOK_EVERY_S: Final = 1.0
BASELINE_S: Final = 2.0
POLL_S: Final = 0.2
BATCH_ROWS_MAX: Final = 10_000
BATCH_S: Final = 0.1
"""A batch that takes longer at the asked pace is cut smaller: the edges then notice a trickle and no waves."""


class Stopped(Exception):
    """The guard, or whoever ended the process, has stopped the job; the text says why."""


@dataclass(frozen=True, slots=True)
class Hours:
    """A window of each day, local time, in which a job may work; it may pass midnight."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """ "22:00-06:00". Raises ValueError."""
        begin, separator, end = text.partition("-")
        if not separator:
            raise ValueError(f"{text!r} isn't a window of hours such as 22:00-06:00")
        parsed = cls(time.fromisoformat(begin.strip()), time.fromisoformat(end.strip()))
        if parsed.begin == parsed.end:
            raise ValueError("a window of hours begins and ends at different times")
        return parsed

    def include(self, now: time) -> bool:
        if self.begin < self.end:
            return self.begin <= now < self.end
        return now >= self.begin or now < self.end


@dataclass(slots=True)
class Pacer:
    """One job's. `control` is what the operator wants just now; `health` says how visitors have fared since it was
    asked last, None: nobody watches."""

    control: Callable[[], Control]
    health: Callable[[], Health] | None
    monotonic_s: Callable[[], float]
    local_now: Callable[[], datetime]
    limits: Limits = field(default_factory=Limits)
    hours: Hours | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    waiting_for: str = ""
    guard: GuardState | None = None
    _throttle: Throttle | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _looked_at_s: float = 0.0

    def begin(self) -> None:
        """Watches for a moment what serving is like without the job. Raises Stopped."""
        self._throttle = Throttle(self.monotonic_s())
        if self.health is not None:
            self.health()
            self._wait(BASELINE_S)
            before = self.health()
            p99_ms = round(before.p99_s * 1e3, 2) if before.p99_s is not None else None
            event_log().info("migration.serving_before", requests=before.requests_count, p99_ms=p99_ms)
            self.guard = GuardState(before=before)
            self._looked_at_s = self.monotonic_s()

    def pace(self, control: Control) -> Pace:
        asked = Pace(control.deployments_per_s, control.bytes_per_s)
        share = self.guard.share if self.guard is not None else 1.0
        if share >= 1.0:
            return asked
        return Pace(asked.deployments or UNBOUNDED_PER_S, asked.bytes).scaled(share)

    def batch_rows(self) -> int:
        """How many rows the next batch takes."""
        return self.pace(self.control()).batch_rows(BATCH_ROWS_MAX, BATCH_S)

    def after_batch(self, *, rows_count: float, bytes_count: float) -> None:
        """Returns when the next batch may begin; several at once wait for each other. Raises Stopped."""
        with self._turn:
            self._await_turn(rows_count, bytes_count)

    def _await_turn(self, rows_count: float, bytes_count: float) -> None:
        assert self._throttle is not None, "begun before its first batch"
        control = self.control()
        while control.is_paused or not self._is_in_hours():
            self.waiting_for = control.pause_reason or "paused" if control.is_paused else "outside of its hours"
            self._wait(POLL_S)
            control = self.control()
        self.waiting_for = ""
        self._look()
        wait_s = self._throttle.wait_s(
            self.pace(control), rows_count=rows_count, bytes_count=bytes_count, now_s=self.monotonic_s()
        )
        while wait_s > 0:
            part_s = min(wait_s, POLL_S)
            self._wait(part_s)
            wait_s -= part_s
            self._look()
        if self.stop.is_set():
            raise Stopped("it was asked to end")

    def _look(self) -> None:
        if self.health is None or self.guard is None:
            return
        now_s = self.monotonic_s()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        health, before = self.health(), self.guard
        self.guard = look(before, health, self.limits)
        if self.guard.before is not before.before:
            event_log().info(
                "migration.serving_measured", requests=health.requests_count, reason="too few came before the job",
                p99_ms=round(health.p99_s * 1e3, 2) if health.p99_s is not None else None,
            )  # fmt: skip
        if self.guard.share != before.share:
            event_log().warning(
                "migration.pace_changed", share=self.guard.share, reason=str(self.guard.verdict),
                p99_ms=round(health.p99_s * 1e3, 2) if health.p99_s is not None else None,
                errors=health.errors_count, requests=health.requests_count,
            )  # fmt: skip
        if self.guard.stop_reason:
            raise Stopped(self.guard.stop_reason)

    def told(self) -> str:
        """What the job waits for, and how visitors fare."""
        if self.guard is None:
            return self.waiting_for or "off"
        share = "" if self.guard.share >= 1.0 else f", at {self.guard.share:.0%} of the pace"
        return self.waiting_for or f"{self.guard.verdict}{share}"

    def _is_in_hours(self) -> bool:
        return self.hours is None or self.hours.include(self.local_now().time())

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped("it was asked to end")
