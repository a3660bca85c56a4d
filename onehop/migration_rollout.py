"""`onehop migrate rollout`: changes the policy step by step, looks at the edges meanwhile, takes it back if it must.

What it began from is in the store (`migration.rollout_record`): a rollout that was killed is gone on with by the next
one, and its way back stays the true one. A policy that somebody else has changed meanwhile is theirs: it stops.
"""

import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from control_plane.clock import Clock
from migration.guard import Health
from migration.rollout import (
    Look,
    RolloutRefused,
    finished,
    measure,
    objection,
    raised,
    silence,
    steps,
    taken_back,
)
from migration.rollout_record import RolloutRecord, Stage, end_rollout, put_rollout, read_rollout
from migration.samples import Sample, SampleLog
from onehop.errors import CommandFailed
from onehop.migration_finish import verify_sites
from onehop.migration_parts import health_of
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from onehop.rollout_lock import is_rolling_out, only_rollout
from router.event_log import event_log
from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot
from router.metrics.catalogue import SHADOW_DIFFERENCES
from router.metrics.reading import Reading, read_metrics
from router.policy import BUCKETS, PERCENT_MAX, Policy, site_bucket
from router.policy_record import change_policy, changes_newest_first, read_policy

LOOK_S = 1.0
LATELY_LOOKS = 10
BASELINE_S = 5.0
BASELINE_MAX_S = 30.0
"""As long as the hold, and no longer than this, it waits for enough visitors to measure the time before it by."""
ROLLOUT = "rollout"
ID_BYTES = 4
UNDER_WAY = "under way"
CUT_SHORT = "cut short"


class RolloutTakenBack(CommandFailed):
    """The policy is as it was before."""


class RolloutOverridden(CommandFailed):
    """Somebody else has changed the policy meanwhile; it stays as they have set it."""


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """Percent of sites, and seconds that each step is held."""

    to: float
    step: float
    hold_s: float
    verifies: bool = True
    needs_visitors: bool = False


@dataclass(slots=True)
class Rollout:
    """One rollout of one data folder; `who` changes the policy. `unseen` are the percentages that were held without a
    single visitor."""

    it: OpenedStore
    options: RolloutOptions
    who: str
    watcher: Watcher
    log: SampleLog
    wait: Callable[[float], None] = time.sleep
    unseen: list[float] = field(default_factory=list)
    _record: RolloutRecord = field(init=False)
    _baseline: Health = field(init=False)
    _begun: Reading = field(init=False)
    _step_begun: Reading = field(init=False)
    _lately: deque[Reading] = field(init=False)

    def run(self) -> Policy:
        """The policy that it has come to. Raises RolloutRefused, RolloutUnderWay, RolloutTakenBack,
        RolloutOverridden."""
        rollout_id = secrets.token_hex(ID_BYTES)
        with only_rollout(self.it.folder, rollout_id):
            percents = self._take_up(rollout_id)
            self._measure_before()
            try:
                return self._through(percents)
            except RolloutOverridden as error:
                with self.it.store.write() as transaction:
                    end_rollout(transaction, Stage.OVERRIDDEN, str(error), rollout_id=rollout_id)
                self._note(self._record.percent, str(error))
                event_log().error("rollout.overridden", percent=self._record.percent, reason=str(error))
                raise

    def _take_up(self, rollout_id: str) -> list[float]:
        """The percentages to hold: of one that was cut short, first the one that it was at, anew."""
        with self.it.store.read() as snapshot:
            policy, last = read_policy(snapshot), read_rollout(snapshot)
        to, percent = self.options.to, percent_of(policy)
        is_taken_up = last is not None and last.is_unfinished(policy)
        self._record = RolloutRecord(
            id=rollout_id, pid=os.getpid(), who=self.who, begun_s=time.time(), to=to,
            before=last.before if last is not None and is_taken_up else policy,
            stage=Stage.UNDER_WAY, generation=policy.generation, percent=percent, shadow_percent=policy.shadow_percent,
        )  # fmt: skip
        if not is_taken_up:
            return list(steps(policy, to=to, step=self.options.step))
        event_log().warning("rollout.taken_up", percent=percent, reason="the last rollout was cut short")
        held_anew = [percent] if to >= percent else []
        return held_anew + (list(steps(policy, to=to, step=self.options.step)) if to != percent else [])

    def _measure_before(self) -> None:
        """Raises RolloutRefused where nobody is there to look at."""
        self._begun = self._step_begun = read_metrics(self.it.folder.metrics)
        self._lately = deque([self._begun], maxlen=LATELY_LOOKS + 1)
        self.watcher.begin("looking at serving as it is")
        least_s = min(BASELINE_S, self.options.hold_s)
        most_s = min(BASELINE_MAX_S, self.options.hold_s)
        waited_s = 0.0
        while True:
            part_s = min(LOOK_S, most_s - waited_s)
            self.wait(part_s)
            waited_s += part_s
            self._baseline = self._look().health
            is_idle = self._baseline.requests_count == 0 and not self.options.needs_visitors
            if waited_s >= most_s or (waited_s >= least_s and (is_idle or self._baseline.tells)):
                break
        if self._baseline.requests_count == 0 and self.options.needs_visitors:
            raise RolloutRefused(
                f"nobody has visited for {waited_s:g} s: there is nothing to look at while steps are held; let "
                "visitors come, or leave --needs-visitors out. Nothing was changed"
            )

    def _through(self, percents: list[float]) -> Policy:
        before = self._record.before
        reached = percent_of(before)
        for percent in percents:
            reason = self._step(percent, reached)
            if reason is not None:
                what = f"rollout taken back at {percent:g} %"
                self._change(lambda policy: taken_back(policy, before), what, reason, stage=Stage.TAKEN_BACK)
                self._note(percent, f"taken back: {reason}")
                event_log().error("rollout.taken_back", percent=percent, reason=reason)
                raise RolloutTakenBack(f"taken back at {percent:g} %: {reason}")
            reached = percent
        what = f"rollout at {reached:g} %, shadow compare as before"
        return self._change(lambda policy: finished(policy, before), what, "done", stage=Stage.FINISHED)

    def _step(self, percent: float, reached: float) -> str | None:
        """Why it must be taken back; None when it has held."""
        if self.options.verifies:
            report = verify_sites(self.it, self._sites_between(reached, percent), self.watcher)
            if report.differences_count:
                return f"{report.differences_count} hosts differ by the two schemes; 'onehop migrate verify' names them"
        self._change(
            lambda policy: raised(policy, percent), f"rollout to {percent:g} %", f"on to {self.options.to:g} %"
        )
        self._note(percent, f"raised to {percent:g} %")
        event_log().info("rollout.raised", percent=percent)
        self.watcher.begin(f"holding {percent:g} %", round(self.options.hold_s))
        held_s, self._step_begun = 0.0, read_metrics(self.it.folder.metrics)
        self._lately = deque([self._step_begun], maxlen=LATELY_LOOKS + 1)
        look = self._look()
        while held_s < self.options.hold_s:
            part_s = min(LOOK_S, self.options.hold_s - held_s)
            self.wait(part_s)
            held_s += part_s
            self.watcher.advance()
            with self.it.store.read() as snapshot:
                self._need_own_policy(snapshot)
            look = self._look()
            self._note(percent, "", look)
            reason = self._object(percent, look)
            if reason is not None:
                return reason
        return self._hold_ended(percent, look)

    def _object(self, percent: float, look: Look) -> str | None:
        measured = measure(self._baseline, look)
        if measured is not self._baseline:
            self._baseline = measured
            event_log().info(
                "rollout.serving_measured", percent=percent, requests=measured.requests_count,
                reason="too few came before the rollout began",
                p99_ms=round(measured.p99_s * 1e3, 2) if measured.p99_s is not None else None,
            )  # fmt: skip
        return objection(look, self._baseline)

    def _hold_ended(self, percent: float, look: Look) -> str | None:
        if look.health.requests_count:
            return None
        self.unseen.append(percent)
        event_log().warning("rollout.nobody_came", percent=percent, held_s=self.options.hold_s)
        return silence(look, self._baseline)

    def _look(self) -> Look:
        """Since the step began, which gets surer the longer it is held; and lately, so that what begins late shows."""
        now = read_metrics(self.it.folder.metrics)
        self._lately.append(now)
        return Look(
            health_of(now.since(self._step_begun)),
            now.since(self._begun).count(SHADOW_DIFFERENCES),
            lately=health_of(now.since(self._lately[0])),
        )

    def _sites_between(self, low: float, high: float) -> list[int]:
        first, last = (round(each * BUCKETS / PERCENT_MAX) for each in (low, high))
        with self.it.store.read() as snapshot:
            numbers = [SITE_NO.unpack(key)[0] for key, _ in snapshot.sizes(Database.LEGACY_TABLES)]
        return [number for number in numbers if first <= site_bucket(number) < last]

    def _need_own_policy(self, snapshot: Snapshot) -> None:
        """Raises RolloutOverridden."""
        if read_policy(snapshot).generation == self._record.generation:
            return
        theirs = next(changes_newest_first(snapshot))
        raise RolloutOverridden(
            f"stopped at {self._record.percent:g} %: {theirs.who} has changed the policy meanwhile ({theirs.what}), "
            "and that stays; 'onehop policy show' has it, 'onehop migrate rollout --back' takes the rest back"
        )

    def _change(
        self, change: Callable[[Policy], Policy], what: str, why: str, stage: Stage = Stage.UNDER_WAY
    ) -> Policy:
        with self.it.store.write() as transaction:
            self._need_own_policy(transaction)
            policy = change_policy(transaction, change, who=self.who, when=Clock().now(), why=why, what=what)
            record = replace(
                self._record, stage=stage, generation=policy.generation, percent=percent_of(policy),
                shadow_percent=policy.shadow_percent, reason=why,
            )  # fmt: skip
            put_rollout(transaction, record)
        self._record = record
        return policy

    def _note(self, percent: float, event: str, look: Look | None = None) -> None:
        health = look.health if look is not None else Health(0, 0, None)
        sample = Sample(
            job=ROLLOUT, at_s=time.time(), stage=ROLLOUT, requests=health.requests_count, errors=health.errors_count,
            p99_ms=health.p99_s * 1e3 if health.p99_s is not None else None, percent=percent, event=event,
        )  # fmt: skip
        self.log.add(sample)


def take_back(it: OpenedStore, who: str, why: str) -> Policy:
    """What the last rollout has changed is as it was before it, whether it is under way (it then stops), was cut short
    or has come to its end. Raises RolloutRefused."""
    with it.store.write() as transaction:
        policy, record = read_policy(transaction), read_rollout(transaction)
        if record is None:
            raise RolloutRefused(
                "there was no rollout yet; 'onehop policy set' and 'onehop policy undo' change the policy"
            )
        before = record.before
        back = replace(taken_back(policy, before), default=before.default)
        if back == policy:
            raise RolloutRefused("what the last rollout has changed is as it was before it already")
        what = f"rollout taken back from {percent_of(policy):g} %, default {before.default}"
        policy = change_policy(transaction, lambda _: back, who=who, when=Clock().now(), why=why, what=what)
        end_rollout(transaction, Stage.TAKEN_BACK, why)
    event_log().warning("rollout.taken_back", percent=percent_of(policy), reason=why)
    return policy


def rollout_now(it: OpenedStore) -> dict[str, Any] | None:
    """The rollout that hasn't come to its end: one that a process works at, or one that was cut short."""
    with it.store.read() as snapshot:
        policy, record = read_policy(snapshot), read_rollout(snapshot)
    if record is None or not record.is_unfinished(policy):
        return None
    state = UNDER_WAY if is_rolling_out(it.folder) else CUT_SHORT
    told = {name: getattr(record, name) for name in ("id", "pid", "who", "begun_s", "percent", "to")}
    return {"state": state, **told}


def percent_of(policy: Policy) -> float:
    return policy.percentage.percent if policy.percentage is not None else 0.0


__all__ = [
    "UNDER_WAY",
    "Rollout",
    "RolloutOptions",
    "RolloutOverridden",
    "RolloutRefused",
    "RolloutTakenBack",
    "percent_of",
    "rollout_now",
    "take_back",
]
