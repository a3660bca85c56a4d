"""A rollout in this process, its holds as long as a call: operators act and visitors come while it waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from migration.rollout_record import Stage, put_rollout, read_rollout
from migration.samples import SampleLog
from onehop.migration_rollout import (
    Rollout,
    RolloutOptions,
    RolloutOverridden,
    RolloutRefused,
    RolloutTakenBack,
    rollout_now,
    take_back,
)
from onehop.output import Unwatched
from onehop.rollout_lock import RolloutUnderWay, is_rolling_out, only_rollout
from router.metrics.meter import EdgeMeter
from router.metrics.slot import held_slot
from router.policy import Percentage, Policy, RuleName, Scheme
from router.policy_record import change_policy, read_policy, undo_last
from tests.migration.legacy_store import LegacyStore, legacy_store

MS: Final = 1_000_000
MANY: Final = 200


class Killed(BaseException):
    """As a SIGKILL ends it: nothing that follows is run."""


@dataclass
class Town:
    """A migrated store, whose default is the legacy scheme. `while_waiting` runs at each wait, told at which percentage
    the policy is; `visits` are what an edge counted meanwhile."""

    legacy: LegacyStore
    meter: EdgeMeter
    while_waiting: list[Callable[[float], None]] = field(default_factory=list)

    def visits(self, count: int, elapsed_ms: float) -> None:
        for _ in range(count):
            self.meter.answered((Scheme.LEGACY, RuleName.DEFAULT), 200, round(elapsed_ms * MS))

    def rollout(self, *, step: float = 50.0, hold_s: float = 2.0, needs_visitors: bool = False) -> Rollout:
        it = self.legacy.it
        options = RolloutOptions(100.0, step, hold_s, needs_visitors=needs_visitors)
        return Rollout(it, options, "rollout", Unwatched(), SampleLog(it.folder.samples), wait=self.wait)

    def wait(self, _seconds: float) -> None:
        percent = self.policy().percentage
        for each in self.while_waiting:
            each(percent.percent if percent is not None else 0.0)

    def policy(self) -> Policy:
        with self.legacy.it.store.read() as snapshot:
            return read_policy(snapshot)

    def stage(self) -> Stage:
        with self.legacy.it.store.read() as snapshot:
            record = read_rollout(snapshot)
        assert record is not None
        return record.stage

    def change(self, percent: float) -> None:
        with self.legacy.it.store.write() as transaction:
            change_policy(
                transaction, lambda policy: Policy(default=policy.default, percentage=Percentage(percent)),
                who="operator", when="now", why="no", what=f"--percent {percent:g}",
            )  # fmt: skip

    def undo(self) -> None:
        with self.legacy.it.store.write() as transaction:
            undo_last(transaction, who="operator", when="now", why="no")

    def killed_at(self, percent: float) -> None:
        def kill(at: float) -> None:
            if at == percent:
                raise Killed

        self.while_waiting.append(kill)
        with pytest.raises(Killed):
            self.rollout().run()
        self.while_waiting.remove(kill)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with migrated_town(tmp_path) as made:
        yield made


@contextmanager
def migrated_town(root: Path) -> Iterator[Town]:
    with legacy_store(root) as legacy, held_slot(legacy.it.folder.metrics, "edge") as cells:
        legacy.migrate()
        legacy.it.folder.migration.mkdir(exist_ok=True)
        with legacy.it.store.write() as transaction:
            change_policy(transaction, lambda _: Policy(default=Scheme.LEGACY), who="w", when="now", why="y", what="w")
        yield Town(legacy, EdgeMeter(cells))


@pytest.mark.parametrize("by", ["undo", "percent"])
def test_who_changes_the_policy_while_a_step_is_held_has_the_last_word(town: Town, by: str) -> None:
    acts = [town.undo if by == "undo" else lambda: town.change(0.0)]
    town.while_waiting.append(lambda percent: acts.pop()() if percent and acts else None)
    with pytest.raises(RolloutOverridden, match="operator"):
        town.rollout().run()
    percentage = town.policy().percentage
    assert percentage is None or percentage.percent == 0.0
    assert town.stage() is Stage.OVERRIDDEN


def test_one_call_takes_a_finished_rollout_back_and_a_default_set_since(town: Town) -> None:
    before = town.policy()
    assert town.rollout().run().percentage == Percentage(100.0)
    with town.legacy.it.store.write() as transaction:
        change_policy(transaction, lambda _: Policy(percentage=Percentage(100.0)), who="w", when="n", why="y", what="w")
    back = take_back(town.legacy.it, "operator", "why not")
    assert (back.default, back.percentage, back.shadow_percent) == (before.default, None, before.shadow_percent)
    with pytest.raises(RolloutRefused):
        take_back(town.legacy.it, "operator", "twice")


def test_a_rollout_that_is_under_way_stops_when_it_is_taken_back(town: Town) -> None:
    acts = [lambda: take_back(town.legacy.it, "operator", "stop")]
    town.while_waiting.append(lambda percent: acts.pop()() if percent and acts else None)
    with pytest.raises(RolloutOverridden):
        town.rollout().run()
    assert town.policy().percentage is None


def test_a_killed_rollout_is_gone_on_with_at_the_step_that_it_was_at(town: Town) -> None:
    town.killed_at(50.0)
    assert town.stage() is Stage.UNDER_WAY
    told = rollout_now(town.legacy.it)
    assert told is not None
    assert (told["state"], told["percent"]) == ("cut short", 50.0)
    held: list[float] = []
    town.while_waiting.append(held.append)
    policy = town.rollout().run()
    assert held[-4:] == [50.0, 50.0, 100.0, 100.0]
    assert policy.shadow_percent == 0.0, "as it was before the rollout that was killed"
    assert town.stage() is Stage.FINISHED
    assert rollout_now(town.legacy.it) is None


def test_a_killed_rollout_that_is_gone_on_with_is_taken_back_to_where_the_first_began(town: Town) -> None:
    before = town.policy()
    town.killed_at(50.0)
    town.while_waiting.append(lambda percent: town.visits(MANY, 90.0 if percent == 100.0 else 3.0))
    with pytest.raises(RolloutTakenBack):
        town.rollout().run()
    assert (town.policy().percentage, town.policy().shadow_percent) == (before.percentage, before.shadow_percent)


def test_a_killed_rollout_whose_percentage_was_set_since_is_over(town: Town) -> None:
    town.killed_at(50.0)
    town.change(10.0)
    held: list[float] = []
    town.while_waiting.append(held.append)
    assert town.rollout(step=90.0).run().percentage == Percentage(100.0)
    assert take_back(town.legacy.it, "operator", "why").percentage == Percentage(10.0)


def test_a_second_rollout_is_refused_with_the_first_ones_name(town: Town) -> None:
    folder = town.legacy.it.folder
    assert not is_rolling_out(folder)
    with only_rollout(folder, "abcd"):
        assert is_rolling_out(folder)
        with pytest.raises(RolloutUnderWay, match=r"abcd \(process \d+\)"):
            town.rollout().run()
    assert town.policy().percentage is None


def test_where_nobody_came_before_the_first_visitors_are_the_measure(town: Town) -> None:
    town.while_waiting.append(lambda percent: town.visits(MANY, 9.0) if percent else None)
    assert town.rollout().run().percentage == Percentage(100.0)


def test_errors_are_measured_against_none_where_nobody_came_before(town: Town) -> None:
    def fail(percent: float) -> None:
        for _ in range(MANY if percent else 0):
            town.meter.answered((Scheme.LEGACY, RuleName.DEFAULT), 500, MS)

    town.while_waiting.append(fail)
    with pytest.raises(RolloutTakenBack, match=r"errors have risen.*while the step was held"):
        town.rollout().run()


def test_without_a_visitor_it_goes_by_the_compare_alone_and_says_so_or_is_refused(town: Town) -> None:
    with pytest.raises(RolloutRefused, match="--needs-visitors"):
        town.rollout(needs_visitors=True).run()
    assert town.policy().percentage is None
    unseen = town.rollout()
    unseen.run()
    assert unseen.unseen == [50.0, 100.0]


def test_visitors_who_stay_away_during_a_hold_take_it_back(town: Town) -> None:
    town.while_waiting.append(lambda percent: None if percent else town.visits(MANY, 3.0))
    with pytest.raises(RolloutTakenBack, match="not one request"):
        town.rollout().run()
    assert town.policy().percentage is None


def test_a_record_comes_back_as_it_was_written(town: Town) -> None:
    town.rollout().run()
    with town.legacy.it.store.write() as transaction:
        record = read_rollout(transaction)
        assert record is not None
        put_rollout(transaction, record)
        assert read_rollout(transaction) == record


def test_a_p99_that_doubles_late_in_a_hold_is_seen_in_the_last_seconds(town: Town) -> None:
    """Of the whole step's requests fewer than one in a hundred are slow: its own p99 says nothing."""
    seconds = iter(range(1_000))

    def visit(percent: float) -> None:
        slow_ms = 10.0 if percent and next(seconds) >= 45 else 5.0
        town.visits(98, 0.3)
        town.visits(2, slow_ms)

    town.while_waiting.append(visit)
    with pytest.raises(RolloutTakenBack, match=r"p99.*in the last seconds of the hold"):
        town.rollout(step=100.0, hold_s=60.0).run()
    assert town.policy().percentage is None
