"""A migration on one page: how fast it went, how visitors fared, what failed and why, what was rolled out. Pure.

The page is whole in itself: no script, no second request, readable in light and dark.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from migration.chart import Mark, line_chart
from migration.failures import Failure
from migration.progress import Progress
from migration.samples import Sample

FAILURES_SHOWN: Final = 200
EVENTS_SHOWN: Final = 50
STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem;margin:0 0 .25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .75rem .2rem 0;vertical-align:top;"
    "border-bottom:1px solid #8884}td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "svg{width:100%;height:auto}code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}"
    ".none{opacity:.65}ol{padding-left:1.5rem}"
)


def render_report(
    progress: Progress, samples: Sequence[Sample], rollout: Sequence[Sample], failures: Sequence[Failure]
) -> str:
    """HTML of the last job; `samples` are its own, `rollout` those of rollouts since it began."""
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>Migration {escape(progress.job)}</title><style>{STYLE}</style>",
        f"<h1>Migration {escape(progress.job)}: {escape(progress.state.value)}</h1>",
        f"<p>{escape(progress.reason)}</p>" if progress.reason else "",
        counts_table(progress),
        "<h2>While it ran</h2>",
        charts(samples),
        "<h2>Failures</h2>",
        failures_part(progress, failures),
        "<h2>Rollout</h2>",
        charts(rollout) if rollout else '<p class="none">Nothing was rolled out since.</p>',
        "</html>\n",
    ]
    return "".join(parts)


def counts_table(progress: Progress) -> str:
    elapsed_s = (progress.ended_s or progress.started_s) - progress.started_s
    rows: list[tuple[str, str]] = [
        ("hosts in tables", f"{progress.total:,}"),
        ("migrated", f"{progress.migrated:,}"),
        *((f"skipped: {reason}", f"{count:,}") for reason, count in sorted(progress.skipped_by_reason.items())),
        ("failed", f"{progress.failed:,}"),
    ]
    if elapsed_s > 0:
        rows += [("took", f"{elapsed_s:,.1f} s"), ("rate", f"{progress.done / elapsed_s:,.0f} a second")]
    cells = "".join(f'<tr><td>{escape(name)}</td><td class="n">{value}</td></tr>' for name, value in rows)
    return f"<table>{cells}</table>"


def charts(samples: Sequence[Sample]) -> str:
    span = (samples[0].at_s, samples[-1].at_s) if samples else (0.0, 0.0)
    events = [sample for sample in samples if sample.event][:EVENTS_SHOWN]
    marks = [Mark(sample.at_s, number) for number, sample in enumerate(events, start=1)]
    latencies = [(sample.at_s, sample.p99_ms) for sample in samples if sample.p99_ms is not None]
    errors = [(sample.at_s, float(sample.errors)) for sample in samples if not sample.event]
    drawn = [
        line_chart("p99 of requests", "ms", latencies, marks, span),
        line_chart("answers with 5xx", "", errors, marks, span),
    ]
    rates = list(rates_of(samples))
    if rates:
        drawn.insert(0, line_chart("deployments a second", "/s", rates, marks, span))
    words = "".join(f"<li>after {sample.at_s - span[0]:.0f} s: {escape(sample.event)}</li>" for sample in events)
    return "".join(drawn) + (f"<ol>{words}</ol>" if words else "")


def rates_of(samples: Iterable[Sample]) -> Iterable[tuple[float, float]]:
    """(time, deployments a second since the sample before)."""
    before: Sample | None = None
    for sample in samples:
        if sample.event or not sample.total:
            continue
        if before is not None and sample.at_s > before.at_s and sample.done >= before.done:
            yield sample.at_s, (sample.done - before.done) / (sample.at_s - before.at_s)
        before = sample


def failures_part(progress: Progress, failures: Sequence[Failure]) -> str:
    if not failures:
        return '<p class="none">Nothing failed.</p>'
    by_reason = Counter(each.reason for each in failures)
    reasons = "".join(
        f'<tr><td>{escape(reason)}</td><td class="n">{count:,}</td></tr>' for reason, count in by_reason.most_common()
    )
    rows = "".join(
        f'<tr><td class="n">{each.site_no}</td><td><code>{escape(each.what)}</code></td>'
        f"<td>{escape(each.reason)}</td></tr>"
        for each in failures[:FAILURES_SHOWN]
    )
    more = f"<p>and {progress.failed - FAILURES_SHOWN:,} more</p>" if progress.failed > FAILURES_SHOWN else ""
    return (
        f"<table><tr><th>reason</th><th></th></tr>{reasons}</table>"
        f"<table><tr><th>site</th><th>host or pattern</th><th>reason</th></tr>{rows}</table>{more}"
    )
