"""How far a job is by both of its halves: never backwards for a clock's sake, with an estimate to rely on."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.progress import Control, Progress, State
from migration.pulse import Pulse, read_pulse, write_pulse
from migration.standing import standing_of

COLLECTING = Progress(job="j", state=State.COLLECTING, key_id="k", feed_seq=0, started_s=1_000.0)
NOTHING_ASKED = Control()


def pulse(**members: float) -> Pulse:
    collected = int(members.pop("collected", 10**9))
    return Pulse("j", members.pop("at_s", 1_010.0), "well", collected=collected, **members)  # type: ignore[arg-type]


def test_a_deployment_that_is_read_is_half_done() -> None:
    progress = replace(COLLECTING, total=1_000, collected=1_000, table_bytes=9, table_bytes_read=9)
    standing = standing_of(progress, pulse(per_s=100.0), NOTHING_ASKED, 0.0)
    assert (standing.share, standing.eta_s) == (0.5, 5.0)


def test_what_waits_for_the_pace_is_not_done_yet() -> None:
    progress = replace(COLLECTING, total=1_000, collected=1_000, table_bytes=9, table_bytes_read=9)
    standing = standing_of(progress, pulse(pending=400.0, per_s=100.0), NOTHING_ASKED, 0.0)
    assert (standing.share, standing.eta_s) == (0.1, 9.0)


def test_what_was_read_after_the_pulse_is_not_counted_before_the_next() -> None:
    progress = replace(COLLECTING, total=1_000, collected=1_000, table_bytes=9, table_bytes_read=9)
    assert standing_of(progress, pulse(collected=0, per_s=100.0), NOTHING_ASKED, 0.0).share == 0.0


def test_tables_that_are_still_to_be_read_are_reckoned_by_their_bytes() -> None:
    progress = replace(COLLECTING, total=100, collected=100, table_bytes=1_000, table_bytes_read=100)
    standing = standing_of(progress, pulse(per_s=10.0), NOTHING_ASKED, 0.0)
    assert (standing.whole, standing.share, standing.eta_s) == (1_000.0, 0.05, 95.0)


def test_the_time_of_reading_doesn_t_count_against_the_rate_of_writing() -> None:
    progress = replace(COLLECTING, state=State.WRITING, total=1_000, collected=1_000, migrated=100)
    standing = standing_of(progress, pulse(at_s=9_000.0, per_s=450.0), NOTHING_ASKED, 0.0)
    assert standing.eta_s == 1.0


def test_before_there_is_a_rate_the_pace_that_was_asked_tells() -> None:
    progress = replace(COLLECTING, total=1_000, collected=1_000, table_bytes=9, table_bytes_read=9)
    assert standing_of(progress, pulse(), Control(deployments_per_s=50.0), 0.0).eta_s == 10.0
    assert standing_of(progress, pulse(), NOTHING_ASKED, 0.0).eta_s is None


@pytest.mark.parametrize("told", [None, pulse(per_s=5.0)])
def test_while_nothing_goes_on_there_is_no_end_in_sight(told: Pulse | None) -> None:
    progress = replace(COLLECTING, total=10, collected=10)
    control = Control(is_paused=True) if told is not None else NOTHING_ASKED
    assert standing_of(progress, told, control, 2_000.0).eta_s is None


@given(
    st.sampled_from(State),
    st.tuples(*[st.integers(0, 10**9)] * 5),
    st.floats(-1e9, 1e9),
    st.floats(-1e9, 1e9),
    st.floats(0, 1e9),
)
def test_nothing_is_ever_negative_whatever_the_clock_does(
    state: State, counts: tuple[int, ...], ended_s: float, at_s: float, pending: float
) -> None:
    total, collected, migrated, table_bytes, read = counts
    progress = replace(
        COLLECTING, state=state, total=total, collected=collected, migrated=migrated, table_bytes=table_bytes,
        table_bytes_read=read, ended_s=ended_s,
    )  # fmt: skip
    for told in (None, pulse(at_s=at_s, pending=pending, per_s=1.0)):
        standing = standing_of(progress, told, NOTHING_ASKED, at_s)
        assert standing.elapsed_s >= 0
        assert (standing.per_s or 0.0) >= 0
        assert (standing.eta_s or 0.0) >= 0
        assert 0 <= standing.share <= 1


def test_a_pulse_is_its_own_job_s_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "pulse.json"
    assert read_pulse(path, "j") is None
    write_pulse(path, pulse(per_s=2.5))
    assert read_pulse(path, "j") == pulse(per_s=2.5)
    assert read_pulse(path, "other") is None
    path.write_bytes(path.read_bytes()[:-4])
    assert read_pulse(path, "j") is None
