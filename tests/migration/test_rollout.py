"""Which percentages a rollout goes through, and what makes it take itself back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.guard import Health
from migration.rollout import Look, RolloutRefused, finished, objection, raised, steps, taken_back
from router.policy import Percentage, Policy, Scheme

LEGACY = Policy(default=Scheme.LEGACY, shadow_percent=1.0, pins={7: Scheme.LEGACY})
BEFORE = Health(1_000, 0, 0.010)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_steps_rise_to_the_end_and_no_further(to: float, step: float) -> None:
    percents = list(steps(LEGACY, to=to, step=max(step, to / 50)))
    assert percents == sorted(set(percents))
    assert percents[-1] == to


def test_a_rollout_goes_on_from_where_the_policy_is() -> None:
    at_thirty = raised(LEGACY, 30.0)
    assert list(steps(at_thirty, to=60, step=20)) == [50.0, 60.0]


@pytest.mark.parametrize(
    ("policy", "to", "step"),
    [
        (Policy(), 100, 10),
        (LEGACY, 0, 10),
        (LEGACY, 101, 10),
        (LEGACY, 100, 0),
        (raised(LEGACY, 50.0), 50, 10),
        (Policy(default=Scheme.LEGACY, percentage=Percentage(5, Scheme.LEGACY_COMPILED)), 100, 10),
    ],
)
def test_what_is_no_rollout_is_refused(policy: Policy, to: float, step: float) -> None:
    with pytest.raises(RolloutRefused):
        list(steps(policy, to=to, step=step))


def test_it_changes_the_percentage_and_shadow_compare_and_nothing_else() -> None:
    up = raised(LEGACY, 20.0)
    assert (up.percentage, up.shadow_percent, up.pins) == (Percentage(20.0, Scheme.HASHED), 5.0, LEGACY.pins)
    assert finished(up, LEGACY).shadow_percent == 1.0
    assert taken_back(up, LEGACY) == LEGACY


@pytest.mark.parametrize(
    ("look", "word"),
    [
        (Look(Health(1_000, 0, 0.010), differences=1), "differed"),
        (Look(Health(1_000, 0, 0.020), differences=0), "p99"),
        (Look(Health(1_000, 5, 0.010), differences=0), "errors"),
    ],
)
def test_differences_a_doubled_p99_and_errors_take_it_back(look: Look, word: str) -> None:
    assert word in (objection(look, BEFORE) or "")


@pytest.mark.parametrize("health", [Health(1_000, 0, 0.011), Health(3, 3, 9.0), Health(0, 0, None)])
def test_what_is_well_or_tells_nothing_goes_on(health: Health) -> None:
    assert objection(Look(health, differences=0), BEFORE) is None
