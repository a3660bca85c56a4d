"""What a job's process tells of itself, with a clock that is stepped back under it."""

from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from migration.progress import Control, Progress, State
from migration.pulse import read_pulse
from migration.samples import read_samples
from onehop.data_folder import DataFolder
from onehop.job_display import document_of, job_bar, words_of
from onehop.job_watch import JobWatch
from onehop.steady_clock import SteadyClock
from tests.migration.slow_clock import Operator, SlowClock, slow_pacer

WRITING = Progress(
    job="j", state=State.WRITING, key_id="k", feed_seq=0, started_s=5_000.0, total=1_000, collected=1_000
)


@dataclass
class Told:
    """What a terminal would show."""

    documents: list[dict[str, Any]] = field(default_factory=list)

    def show(self, told: dict[str, Any]) -> None:
        self.documents.append(told)


@dataclass
class Wall:
    now_s: float = 5_000.0

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path)
    folder.migration.mkdir()
    return folder


def test_a_clock_that_is_stepped_back_spoils_no_figure(folder: DataFolder) -> None:
    clock, wall, told = SlowClock(), Wall(), Told()
    watch = JobWatch(folder, told, SteadyClock(wall.time, clock.monotonic_s), clock.monotonic_s)
    pacer = slow_pacer(clock, Operator())
    for second in range(12):
        if second == 4:
            wall.now_s -= 3_600
        watch.look(replace(WRITING, migrated=second * 50), Control(), pacer)
        clock.now_s += 1.0
        wall.now_s += 1.0
    rates = [each["rate"] for each in told.documents]
    assert rates == [0.0, *[25.0] * 11]
    assert [each["elapsed_s"] for each in told.documents] == [float(second) for second in range(12)]
    samples = list(read_samples(folder.samples))
    assert [sample.at_s for sample in samples] == [5_000.0 + second for second in range(12)]
    assert (pulse := read_pulse(folder.pulse, "j")) is not None
    assert pulse.at_s == 5_011.0


def test_tables_count_as_read_only_as_the_pace_allows_them(folder: DataFolder) -> None:
    clock, told = SlowClock(), Told()
    watch = JobWatch(folder, told, SteadyClock(Wall().time, clock.monotonic_s), clock.monotonic_s)
    pacer = slow_pacer(clock, Operator(deployments_per_s=100.0))
    read = replace(WRITING, state=State.COLLECTING, table_bytes=9, table_bytes_read=9)
    watch.look(read, Control(deployments_per_s=100.0), pacer)
    clock.due[10] = lambda: watch.look(read, Control(deployments_per_s=100.0), pacer)
    pacer.after_batch(rows_count=500, bytes_count=0)
    watch.look(read, Control(deployments_per_s=100.0), pacer)
    assert [each["collected"] for each in told.documents] == [0, pytest.approx(360, abs=1), pytest.approx(1_000, abs=1)]
    assert [each["percent"] for each in told.documents] == [0.0, 18.0, 50.0]
    assert words_of(told.documents[1]) == "360 read · 90/s · 9 s left · guard: off"


def test_the_end_s_reason_is_kept_with_the_samples(folder: DataFolder) -> None:
    watch = JobWatch(folder, Told())
    failed = replace(WRITING, state=State.FAILED, reason="p99 has risen", ended_s=5_001.0)
    watch.look(failed, Control(), slow_pacer(SlowClock(), Operator()))
    assert [each.event for each in read_samples(folder.samples)] == ["", "failed: p99 has risen"]


def test_on_a_narrow_terminal_stage_bar_and_share_stay_whole() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=72, color_system=None)
    progress = replace(WRITING, migrated=500)
    told = document_of(progress, Control(), None, 5_010.0)
    with job_bar(console) as bar:
        bar.show({**told, "rate": 2_500.0, "eta_s": 4.0})
    assert isinstance(console.file, StringIO)
    drawn = console.file.getvalue()
    assert "writing    ━" in drawn
    assert " 75% 500 of 1,000 · 2,500/s · 4 s left" in drawn
