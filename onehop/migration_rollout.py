"""`onehop migrate rollout`: changes the policy step by step, looks at the edges meanwhile, takes it back if it must."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from control_plane.clock import Clock
from migration.guard import Health
from migration.rollout import Look, RolloutRefused, finished, objection, raised, steps, taken_back
from migration.samples import Sample, SampleLog
from onehop.errors import CommandFailed
from onehop.migration_finish import verify_sites
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from router.event_log import event_log
from router.kv.schema import SITE_NO, Database
from router.metrics.catalogue import SHADOW_DIFFERENCES
from router.metrics.reading import Reading, read_metrics
from router.policy import BUCKETS, PERCENT_MAX, Policy, site_bucket
from router.policy_record import change_policy, read_policy

LOOK_S = 1.0
BASELINE_S = 5.0
ROLLOUT = "rollout"


class RolloutTakenBack(CommandFailed):
    """The policy is as it was before."""


@dataclass(frozen=True, slots=True)
class RolloutOptions:
    """Percent of sites, and seconds that each step is held."""

    to: float
    step: float
    hold_s: float
    verifies: bool = True


@dataclass(slots=True)
class Rollout:
    """One rollout of one data folder; `who` changes the policy."""

    it: OpenedStore
    options: RolloutOptions
    who: str
    watcher: Watcher
    log: SampleLog
    wait: Callable[[float], None] = time.sleep
    _begun: Reading = field(init=False)
    _step_begun: Reading = field(init=False)

    def run(self) -> Policy:
        """The policy that it has come to. Raises RolloutRefused, RolloutTakenBack."""
        with self.it.store.read() as snapshot:
            before = read_policy(snapshot)
        percents = list(steps(before, to=self.options.to, step=self.options.step))
        self._begun = self._step_begun = read_metrics(self.it.folder.metrics)
        self.watcher.begin("looking at serving as it is")
        self.wait(min(BASELINE_S, self.options.hold_s))
        baseline = self._look().health
        reached = before.percentage.percent if before.percentage is not None else 0.0
        for percent in percents:
            reason = self._step(percent, reached, baseline)
            if reason is not None:
                self._change(lambda policy: taken_back(policy, before), f"rollout taken back at {percent:g} %", reason)
                self._note(percent, f"taken back: {reason}")
                event_log().error("rollout.taken_back", percent=percent, reason=reason)
                raise RolloutTakenBack(f"taken back at {percent:g} %: {reason}")
            reached = percent
        return self._change(
            lambda policy: finished(policy, before), f"rollout at {reached:g} %, shadow compare as before", "done"
        )

    def _step(self, percent: float, reached: float, baseline: Health) -> str | None:
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
        while held_s < self.options.hold_s:
            part_s = min(LOOK_S, self.options.hold_s - held_s)
            self.wait(part_s)
            held_s += part_s
            self.watcher.advance()
            look = self._look()
            self._note(percent, "", look)
            reason = objection(look, baseline)
            if reason is not None:
                return reason
        return None

    def _look(self) -> Look:
        """Since the step began: the longer it is held, the surer the figures."""
        now = read_metrics(self.it.folder.metrics)
        passed = now.since(self._step_begun)
        health = Health(passed.requests_count, passed.errors_count, passed.request_seconds().quantile(0.99))
        return Look(health, now.since(self._begun).count(SHADOW_DIFFERENCES))

    def _sites_between(self, low: float, high: float) -> list[int]:
        first, last = (round(each * BUCKETS / PERCENT_MAX) for each in (low, high))
        with self.it.store.read() as snapshot:
            numbers = [SITE_NO.unpack(key)[0] for key, _ in snapshot.sizes(Database.LEGACY_TABLES)]
        return [number for number in numbers if first <= site_bucket(number) < last]

    def _change(self, change: Callable[[Policy], Policy], what: str, why: str) -> Policy:
        with self.it.store.write() as transaction:
            return change_policy(transaction, change, who=self.who, when=Clock().now(), why=why, what=what)

    def _note(self, percent: float, event: str, look: Look | None = None) -> None:
        health = look.health if look is not None else Health(0, 0, None)
        sample = Sample(
            job=ROLLOUT, at_s=time.time(), stage=ROLLOUT, requests=health.requests_count, errors=health.errors_count,
            p99_ms=health.p99_s * 1e3 if health.p99_s is not None else None, percent=percent, event=event,
        )  # fmt: skip
        self.log.add(sample)


__all__ = ["Rollout", "RolloutOptions", "RolloutRefused", "RolloutTakenBack"]
