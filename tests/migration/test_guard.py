"""The guard halves the pace when visitors fare worse, stops past a limit, and comes back slowly."""

from hypothesis import given
from hypothesis import strategies as st

from migration.guard import CALM_LOOKS, ERRORS_MIN, LEAST_SHARE, REQUESTS_MIN, GuardState, Health, Verdict, look

BEFORE = Health(10_000, 0, 0.010)
WELL = Health(1_000, 0, 0.010)
SLOW = Health(1_000, 0, 0.020)
AWFUL = Health(1_000, 0, 0.200)
FAILING = Health(1_000, 10, 0.010)


def after(*looks: Health, before: Health = BEFORE) -> GuardState:
    state = GuardState(before)
    for health in looks:
        state = look(state, health)
    return state


def test_a_risen_p99_halves_the_pace() -> None:
    assert after(SLOW).share == 0.5
    assert after(SLOW, SLOW).share == 0.25


def test_errors_halve_the_pace() -> None:
    state = after(FAILING)
    assert (state.share, state.verdict) == (0.5, Verdict.FAILING)


def test_a_few_errors_are_no_rise_whatever_their_share() -> None:
    few = Health(REQUESTS_MIN, ERRORS_MIN - 1, 0.010)
    assert after(few).verdict is Verdict.WELL
    assert after(*[SLOW] * 10, few).stop_reason == ""
    assert after(Health(REQUESTS_MIN, ERRORS_MIN, 0.010)).verdict is Verdict.FAILING


def test_the_pace_comes_back_one_step_at_a_time() -> None:
    assert after(SLOW, SLOW, *[WELL] * (CALM_LOOKS - 1)).share == 0.25
    assert after(SLOW, SLOW, *[WELL] * CALM_LOOKS).share == 0.5
    assert after(SLOW, SLOW, *[WELL] * (2 * CALM_LOOKS)).share == 1.0


def test_one_bad_look_begins_the_calm_anew() -> None:
    assert after(SLOW, SLOW, *[WELL] * (CALM_LOOKS - 1), SLOW, *[WELL] * (CALM_LOOKS - 1)).share == 0.125


def test_past_the_limit_at_the_least_pace_it_stops_and_says_why() -> None:
    state = after(*[SLOW] * 10)
    assert (state.share, state.stop_reason) == (LEAST_SHARE, "")
    state = after(*[SLOW] * 10, AWFUL)
    assert state.share == 0.0
    assert "p99" in state.stop_reason


def test_too_few_requests_tell_nothing() -> None:
    state = after(Health(REQUESTS_MIN - 1, REQUESTS_MIN - 1, 9.0))
    assert (state.share, state.verdict) == (1.0, Verdict.UNTOLD)


def test_noise_below_the_floor_is_no_rise() -> None:
    assert after(Health(1_000, 0, 0.001), before=Health(1_000, 0, 0.0002)).share == 1.0


@given(st.lists(st.sampled_from([WELL, SLOW, AWFUL, FAILING, Health(0, 0, None)]), max_size=60))
def test_the_share_stays_between_its_bounds_until_it_stops(looks: list[Health]) -> None:
    state = GuardState(BEFORE)
    for health in looks:
        state = look(state, health)
        assert state.share == 0.0 if state.stop_reason else LEAST_SHARE <= state.share <= 1.0
        if state.stop_reason:
            return


def test_where_too_few_came_before_the_first_look_that_tells_is_the_measure() -> None:
    state = GuardState(before=Health(0, 0, None))
    state = look(state, Health(3, 0, 0.001))
    assert not state.before.tells
    for _ in range(20):
        state = look(state, Health(1_000, 0, 0.009))
    assert (state.share, state.stop_reason, state.before.p99_s) == (1.0, "", 0.009)
    assert look(state, Health(1_000, 0, 0.020)).share < 1.0
