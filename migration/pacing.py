"""Between two batches: waits as long as the pace, the guard, a pause and the quiet hours want, and no longer.

All of them are looked at anew each time, so that what an operator changes while a job runs holds from the next batch.
"""

import re
import threading
from collections import deque
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
HOURS: Final = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9]) ?- ?((?:[01][0-9]|2[0-3]):[0-5][0-9])")
"""Local time without a zone: one that names a zone can't be compared with the clock on the wall."""
WAIT_S_MIN: Final = 0.001
"""A shorter wait is owed on: a sleep takes longer than that anyhow."""
EVENTS_MAX: Final = 1_000
ASKED_TO_END: Final = "it was asked to end"
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
        match = HOURS.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text[:40]!r} isn't a window of hours such as 22:00-06:00")
        parsed = cls(time.fromisoformat(match[1]), time.fromisoformat(match[2]))
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
    charged_rows: float = 0.0
    _asked: Control | None = None
    _queued_rows: float = 0.0
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS_MAX))

    def begin(self) -> None:
        """Watches for a moment what serving is like without the job. Raises Stopped."""
        self._asked = self.control()
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
        with self._counting:
            self._queued_rows += rows_count
            self.charged_rows += rows_count
        with self._turn:
            with self._counting:
                self._queued_rows -= rows_count
            self._await_turn(rows_count, bytes_count)

    @property
    def pending_rows(self) -> float:
        """Done, and waiting for the pace to allow them."""
        return self._queued_rows + (self._throttle.owed_rows if self._throttle is not None else 0.0)

    def take_events(self) -> list[str]:
        """What has happened since they were taken last, in words."""
        taken = []
        while self._events:
            taken.append(self._events.popleft())
        return taken

    def _await_turn(self, rows_count: float, bytes_count: float) -> None:
        """All that an operator may change is looked at anew at each poll: a wait can be long."""
        assert self._throttle is not None, "begun before its first batch"
        while True:
            control = self._ask()
            wait_s = self._throttle.wait_s(
                self.pace(control), rows_count=rows_count, bytes_count=bytes_count, now_s=self.monotonic_s()
            )
            rows_count, bytes_count = 0.0, 0.0  # they are owed now
            held_up = self._held_up(control)
            if held_up != self.waiting_for:
                self._happened(f"waits: {held_up}" if held_up else "goes on")
                self.waiting_for = held_up
            if held_up:
                self._wait(POLL_S)
                continue
            self._look()
            if wait_s <= WAIT_S_MIN:
                break
            self._wait(min(wait_s, POLL_S))
        if self.stop.is_set():
            raise Stopped(ASKED_TO_END)

    def _ask(self) -> Control:
        control, before = self.control(), self._asked
        self._asked = control
        pace = Pace(control.deployments_per_s, control.bytes_per_s)
        if before is not None and pace != Pace(before.deployments_per_s, before.bytes_per_s):
            self._happened(f"the pace was set to {pace}")
        return control

    def _held_up(self, control: Control) -> str:
        if control.is_paused:
            return control.pause_reason or "paused"
        return "" if self.hours is None or self.hours.include(self.local_now().time()) else "outside of its hours"

    def _happened(self, words: str) -> None:
        self._events.append(words)
        event_log().info("migration.changed", what=words)

    def _look(self) -> None:
        if self.health is None or self.guard is None:
            return
        now_s = self.monotonic_s()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        health, before = self.health(), self.guard
        self.guard = look(before, health, self.limits)
        if self.guard.share != before.share:
            event_log().warning(
                "migration.pace_changed", share=self.guard.share, reason=str(self.guard.verdict),
                p99_ms=round(health.p99_s * 1e3, 2) if health.p99_s is not None else None,
                errors=health.errors_count, requests=health.requests_count,
            )  # fmt: skip
            self._events.append(pace_words(before, self.guard, health))
        if self.guard.stop_reason:
            raise Stopped(self.guard.stop_reason)

    def told(self) -> str:
        """How visitors fare, and which share of the pace that leaves."""
        if self.guard is None:
            return "off"
        share = "" if self.guard.share >= 1.0 else f", at {self.guard.share:.0%} of the pace"
        return f"{self.guard.verdict}{share}"

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped(ASKED_TO_END)


def pace_words(before: GuardState, now: GuardState, health: Health) -> str:
    """What the guard did to the pace, and why."""
    p99, p99_before = (
        f"{each * 1e3:.1f} ms" if each is not None else "none" for each in (health.p99_s, now.before.p99_s)
    )
    figures = f"p99 {p99} (before {p99_before}), {health.errors_share:.2%} errors"
    if now.stop_reason:
        return f"stopped by the guard: {now.stop_reason}"
    if now.share < before.share:
        return f"the guard slowed it to {now.share:.0%} of the pace: {now.verdict}, {figures}"
    return f"the guard let it go on at {now.share:.0%} of the pace: {figures}"
