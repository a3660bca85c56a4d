"""The page of a migration: whole in itself, with whatever happened in it, and nothing of a stranger's as markup."""

from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from migration.chart import POINTS_MAX, Mark, line_chart, round_up, thinned
from migration.failures import Failure
from migration.progress import Progress, State
from migration.report import rates_of, render_report
from migration.samples import INTERVAL_S, Sample, SampleLog, read_samples

PROGRESS = Progress(
    job="0badcafe", state=State.COMPLETE, key_id="k", feed_seq=0, started_s=100.0, ended_s=110.0, total=30, migrated=20,
    failed=4, skipped=6, skipped_by_reason={"there already": 6},
)  # fmt: skip
SAMPLES = [Sample("0badcafe", 100.0 + at, "writing", done=at * 100, total=1_000, p99_ms=1.0 + at) for at in range(9)]


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
    read = outline(render_report(PROGRESS, SAMPLES, [], []))
    assert read.links == []
    assert "script" not in read.tags
    assert read.tags.count("svg") == 3


def test_what_strangers_wrote_is_text() -> None:
    evil = "<script>alert(1)</script>"
    page = render_report(
        PROGRESS,
        [*SAMPLES, Sample("0badcafe", 120.0, evil, event=evil)],
        [Sample("rollout", 121.0, "rollout", event=evil)],
        [Failure(1, evil, evil)],
    )
    assert "script" not in outline(page).tags


def test_counts_reasons_and_events_are_on_it() -> None:
    page = render_report(PROGRESS, [*SAMPLES, Sample("j", 109.0, "writing", event="guard: p99 has risen")], [], [
        Failure(3, "a.example.com", "names no pipeline")
    ])  # fmt: skip
    for words in ("there already", "a.example.com", "names no pipeline", "guard: p99 has risen", "0badcafe"):
        assert words in page


def test_rates_are_of_the_time_between_samples() -> None:
    assert [rate for _, rate in rates_of(SAMPLES)] == [100.0] * 8


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e12)), max_size=50).map(sorted))
def test_any_points_make_an_svg(points: list[tuple[float, float]]) -> None:
    drawn = line_chart("title & <all>", "ms", points, [Mark(5.0, 1)], (0.0, 1e6))
    ElementTree.fromstring(drawn)


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


def test_a_line_that_a_crash_has_cut_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    SampleLog(path).add(Sample("j", 1.0, "writing"))
    path.write_bytes(path.read_bytes() + b'{"job":"j","at_')
    assert len(list(read_samples(path))) == 1
    assert list(read_samples(tmp_path / "none")) == []
