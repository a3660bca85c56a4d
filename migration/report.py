"""A migration on one page: how fast it went, how visitors fared, what failed and why, what was rolled out. Pure.

The page is whole in itself: no script, no second request, readable in light and dark.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from migration.chart import Mark, line_chart
from migration.failures import Failure
from migration.progress import Progress
from migration.samples import Sample, steadied

FAILURES_SHOWN: Final = 200
EVENTS_SHOWN: Final = 50
NO_FAILURES: Final = "Nothing failed."
NO_ROLLOUT: Final = "Nothing was rolled out since."
STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .75rem .2rem 0;vertical-align:top;"
    "border-bottom:1px solid #8884}.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem}"
    "svg{width:100%;max-width:30rem;height:auto}code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}"
    ".none{opacity:.65}ol{padding-left:1.5rem}"
)


@dataclass(frozen=True, slots=True)
class Story:
    """All that a report tells of the last job; `samples` are its own, `rollout` those of rollouts since it began.
    `names` are sites' by number, of those that still have one."""

    progress: Progress
    samples: Sequence[Sample]
    rollout: Sequence[Sample]
    failures: Sequence[Failure]
    names: Mapping[int, str]

    @property
    def title(self) -> str:
        return f"Migration {self.progress.job}: {self.progress.state.value}"


@dataclass(frozen=True, slots=True)
class Chapter:
    """A stretch of time: its charts as SVG, its events in words, and what there is no chart of, and why."""

    charts: list[str]
    events: list[str]
    silences: list[str]


def render_report(story: Story) -> str:
    """HTML."""
    progress = story.progress
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Migration {escape(progress.job)}</title><style>{STYLE}</style>",
        f"<h1>{escape(story.title)}</h1>",
        f"<p>{escape(progress.reason)}</p>" if progress.reason else "",
        counts_table(progress),
        "<h2>While it ran</h2>",
        chapter_part(chapter_of(story.samples)),
        "<h2>Failures</h2>",
        failures_part(story),
        "<h2>Rollout</h2>",
        chapter_part(chapter_of(story.rollout)) if story.rollout else f'<p class="none">{NO_ROLLOUT}</p>',
        "</html>\n",
    ]
    return "".join(parts)


def chapter_of(samples: Sequence[Sample]) -> Chapter:
    samples = steadied(samples)
    span = (samples[0].at_s, samples[-1].at_s) if samples else (0.0, 0.0)
    happened = [sample for sample in samples if sample.event]
    events = happened[:EVENTS_SHOWN]
    marks = [Mark(sample.at_s, number) for number, sample in enumerate(events, start=1)]
    latencies = [(sample.at_s, sample.p99_ms) for sample in samples if sample.p99_ms is not None]
    errors = [(sample.at_s, float(sample.errors)) for sample in samples if sample.requests]
    charts = [
        line_chart("deployments a second", "/s", list(rates_of(samples)), marks, span),
        line_chart("p99 of requests", "ms", latencies, marks, span),
        line_chart("answers with 5xx", "", errors, marks, span),
    ]
    words = [f"after {sample.at_s - span[0]:.0f} s: {sample.event}" for sample in events]
    if len(happened) > len(events):
        words.append(f"and {len(happened) - len(events)} more")
    silences = [] if latencies else ["Nobody visited in that time: there is no p99 to show, and there were no errors."]
    return Chapter([each for each in charts if each], words, silences)


def chapter_part(chapter: Chapter) -> str:
    words = "".join(f"<li>{escape(each)}</li>" for each in chapter.events)
    silences = "".join(f'<p class="none">{escape(each)}</p>' for each in chapter.silences)
    return f'<div class="charts">{"".join(chapter.charts)}</div>{silences}' + (f"<ol>{words}</ol>" if words else "")


def counts_of(progress: Progress) -> list[tuple[str, str]]:
    elapsed_s = (progress.ended_s or progress.started_s) - progress.started_s
    rows: list[tuple[str, str]] = [
        ("hosts in tables", f"{progress.total:,}"),
        ("migrated", f"{progress.migrated:,}"),
        *((f"skipped: {reason}", f"{count:,}") for reason, count in sorted(progress.skipped_by_reason.items())),
        ("failed", f"{progress.failed:,}"),
    ]
    if elapsed_s > 0:
        rows += [("took", f"{elapsed_s:,.1f} s"), ("rate", f"{progress.done / elapsed_s:,.0f} a second")]
    return rows


def counts_table(progress: Progress) -> str:
    rows = counts_of(progress)
    cells = "".join(f'<tr><td>{escape(name)}</td><td class="n">{value}</td></tr>' for name, value in rows)
    return f"<table>{cells}</table>"


def rates_of(samples: Iterable[Sample]) -> Iterator[tuple[float, float]]:
    """(time, deployments a second since the sample before)."""
    before: Sample | None = None
    for sample in samples:
        if sample.event or not sample.total:
            continue
        if before is not None and sample.at_s > before.at_s and sample.done >= before.done:
            yield sample.at_s, (sample.done - before.done) / (sample.at_s - before.at_s)
        before = sample


def failures_part(story: Story) -> str:
    if not story.failures:
        return f'<p class="none">{NO_FAILURES}</p>'
    reasons = "".join(
        f'<tr><td>{escape(reason)}</td><td class="n">{count:,}</td></tr>'
        for reason, count in reasons_of(story.failures)
    )
    rows = "".join(
        f"<tr><td>{escape(story.names.get(each.site_no) or f'number {each.site_no}')}</td>"
        f"<td><code>{escape(each.what)}</code></td><td>{escape(each.reason)}</td></tr>"
        for each in story.failures[:FAILURES_SHOWN]
    )
    left_count = story.progress.failed - FAILURES_SHOWN
    more = f"<p>and {left_count:,} more; 'onehop migrate failures' names them</p>" if left_count > 0 else ""
    return (
        f'<table><tr><th>reason</th><th class="n">hosts</th></tr>{reasons}</table>'
        f"<table><tr><th>site</th><th>host or pattern</th><th>reason</th></tr>{rows}</table>{more}"
    )


def reasons_of(failures: Sequence[Failure]) -> list[tuple[str, int]]:
    """The most frequent first."""
    return Counter(each.reason for each in failures).most_common()
