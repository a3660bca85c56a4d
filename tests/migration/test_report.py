"""The page of a migration: whole in itself, with whatever happened in it, and nothing of a stranger's as markup."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.chart import (
    POINTS_MAX,
    TICKS_MAX,
    Mark,
    duration,
    line_chart,
    round_up,
    stretches,
    thinned,
    time_ticks,
    value_ticks,
)
from migration.failures import Failure
from migration.progress import Progress, State
from migration.report import Story, rates_of, render_report
from migration.report_svg import render_picture
from migration.samples import INTERVAL_S, Sample, SampleLog, read_samples, steadied

PROGRESS = Progress(
    job="0badcafe", state=State.COMPLETE, key_id="k", feed_seq=0, started_s=100.0, ended_s=110.0, total=30, migrated=20,
    failed=4, skipped=6, skipped_by_reason={"there already": 6},
)  # fmt: skip
SAMPLES = [
    Sample("0badcafe", 100.0 + at, "writing", done=at * 100, total=1_000, requests=9, p99_ms=1.0 + at)
    for at in range(9)
]


def story(
    samples: Sequence[Sample] = SAMPLES,
    *,
    rollout: Sequence[Sample] = (),
    failures: Sequence[Failure] = (),
    names: Mapping[int, str] | None = None,
) -> Story:
    return Story(PROGRESS, samples, rollout, failures, names or {})


class Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def outline(page: str) -> Outline:
    read = Outline()
    read.feed(page)
    return read


def test_the_page_asks_for_nothing_else() -> None:
    read = outline(render_report(story()))
    assert read.links == []
    assert "script" not in read.tags
    assert read.tags.count("svg") == 3


def test_what_strangers_wrote_is_text() -> None:
    evil = "<script>alert(1)</script>"
    told = story(
        [*SAMPLES, Sample("0badcafe", 120.0, evil, event=evil)],
        rollout=[Sample("rollout", 121.0, "rollout", event=evil)],
        failures=[Failure(1, evil, evil + "\0\x1b")],
        names={1: evil},
    )
    assert "script" not in outline(render_report(told)).tags
    assert "script" not in [each.tag.split("}")[1] for each in ElementTree.fromstring(render_picture(told)).iter()]


@pytest.mark.parametrize("render", [render_report, render_picture])
def test_counts_reasons_and_events_are_on_it(render: Callable[[Story], str]) -> None:
    slowed = Sample("j", 109.0, "writing", event="slowed: p99 has risen")
    told = render(story([*SAMPLES, slowed], failures=[Failure(3, "a.example.com", "names no pipeline")]))
    for words in ("there already", "names no pipeline", "after 9 s: slowed: p99 has risen", "0badcafe"):
        assert words in told


def test_failures_are_under_the_names_of_their_sites() -> None:
    failures = [Failure(3, "a.example.com", "no"), Failure(4, "b.example.com", "no")]
    page = render_report(story(failures=failures, names={3: "shop"}))
    assert "<td>shop</td>" in page
    assert "<td>number 4</td>" in page


def test_where_nobody_visited_that_is_said_and_no_empty_chart_drawn() -> None:
    quiet = [replace(sample, requests=0, p99_ms=None) for sample in SAMPLES]
    assert "Nobody visited" in render_report(story(quiet))
    assert outline(render_report(story(quiet))).tags.count("svg") == 1
    assert "Nobody visited" in render_picture(story(quiet))
    assert "Nobody visited" not in render_report(story())


@given(st.floats(1, 1e8))
def test_no_two_times_of_an_axis_have_one_label(span_s: float) -> None:
    labels = [duration(each) for each in time_ticks(span_s)]
    assert 1 <= len(labels) == len(set(labels)) <= TICKS_MAX + 1


@given(st.floats(0, 1e15))
def test_the_highest_value_is_within_the_axis(value: float) -> None:
    ticks = value_ticks(value)
    assert ticks[0] == 0
    assert ticks[-1] >= value * 0.999999
    assert len(ticks) <= TICKS_MAX + 1


def test_a_line_breaks_where_nothing_was_measured() -> None:
    points = [(float(at), 1.0) for at in (0, 1, 2, 30, 31)]
    assert [len(each) for each in stretches(points)] == [3, 2]


def test_a_clock_that_was_stepped_back_makes_no_time_negative() -> None:
    stepped = [replace(sample, at_s=sample.at_s - (3_600 if at > 4 else 0)) for at, sample in enumerate(SAMPLES)]
    times = [sample.at_s for sample in steadied(stepped)]
    assert times == [100, 101, 102, 103, 104, 104, 105, 106, 107]
    assert all(rate >= 0 for _, rate in rates_of(steadied(stepped)))
    assert "after -" not in render_report(story([*stepped, replace(stepped[-1], event="something")]))


def test_rates_are_of_the_time_between_samples() -> None:
    assert [rate for _, rate in rates_of(SAMPLES)] == [100.0] * 8


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e12)), max_size=50).map(sorted))
def test_any_points_make_an_svg(points: list[tuple[float, float]]) -> None:
    drawn = line_chart("title & <all>", "ms", points, [Mark(5.0, 1)], (0.0, 1e6))
    assert (drawn == "") == (not points)
    ElementTree.fromstring(drawn or "<none/>")


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=3_000))
def test_thinning_keeps_the_highest(values: list[float]) -> None:
    points = [(float(at), value) for at, value in enumerate(values)]
    kept = thinned(points)
    assert len(kept) <= POINTS_MAX
    assert max(value for _, value in kept) == max(values)


@given(st.floats(1e-9, 1e15))
def test_axes_end_at_a_round_number_above_all(value: float) -> None:
    assert value <= round_up(value) <= value * 10


def test_samples_are_kept_as_they_fall_due_and_events_always(tmp_path: Path) -> None:
    log = SampleLog(tmp_path / "samples.jsonl")
    for tenth in range(30):
        log.add(Sample("j", 100.0 + tenth * INTERVAL_S / 10, "writing"))
    log.add(Sample("j", 103.0, "writing", event="now"))
    assert [sample.event for sample in read_samples(tmp_path / "samples.jsonl")] == ["", "", "", "now"]


def test_samples_go_on_being_kept_after_the_clock_was_stepped_back(tmp_path: Path) -> None:
    log = SampleLog(tmp_path / "samples.jsonl")
    for at_s in (5_000.0, 1_400.0, 1_401.5):
        log.add(Sample("j", at_s, "writing"))
    assert [sample.at_s for sample in read_samples(tmp_path / "samples.jsonl")] == [5_000.0, 1_400.0, 1_401.5]


def test_a_line_that_a_crash_has_cut_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    SampleLog(path).add(Sample("j", 1.0, "writing"))
    path.write_bytes(path.read_bytes() + b'{"job":"j","at_')
    assert len(list(read_samples(path))) == 1
    assert list(read_samples(tmp_path / "none")) == []
