"""The picture of `loadtests.ttfb`: three panels over the number of deployments, all axes logarithmic.

Colours are Okabe and Ito's, which people who can't tell red from green can tell; each arm also has a mark of its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

Rows = Mapping[tuple[int, str], Mapping[str, float]]

COLOURS: Final = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2")
MARKS: Final = ("s", "D", "^", "o")
PANELS: Final = (
    ("p50_ms", "TTFB, ms: p50, and p99 dotted"),
    ("cpu_ms", "processor time a request, ms"),
    ("per_s", "requests/s of one worker"),
)


def draw(path: Path, rows: Rows, arms: Sequence[str], published: Mapping[str, int]) -> None:
    import matplotlib  # only full runs draw: `--quick` works without it

    matplotlib.use("svg")
    from matplotlib import pyplot

    canvas, panels = pyplot.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
    sizes = sorted({size for size, _ in rows})
    for axes, (figure, title) in zip(panels, PANELS, strict=True):
        for arm, colour, mark in zip(arms, COLOURS, MARKS, strict=True):
            values = [rows[size, arm][figure] for size in sizes]
            axes.plot(sizes, values, color=colour, marker=mark, markersize=5, linewidth=1.6, label=arm)
            if figure == "p50_ms":
                highest = [rows[size, arm]["p99_ms"] for size in sizes]
                axes.plot(sizes, highest, color=colour, linestyle=":", linewidth=1.1)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("deployments of the site")
        axes.grid(visible=True, which="major", color="#ddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    mark_published(panels[0], sizes, published)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    canvas.savefig(path, metadata={"Date": None})
    pyplot.close(canvas)


def mark_published(axes: Any, sizes: Sequence[int], published: Mapping[str, int]) -> None:
    """What was published: the old table at 10,000 deployments, and TTFB overall, before and after."""
    parse_ms, match_ms = published["parse_ms_at_10000"], published["match_ms_at_10000"]
    axes.scatter(
        [10_000], [parse_ms + match_ms], marker="*", s=170, facecolor="none", edgecolor="#000", zorder=4,
        label=f"published at 10,000: parse {parse_ms} + match {match_ms} ms",
    )  # fmt: skip
    for key, word in (("overall_before_ms", "before"), ("overall_after_ms", "after")):
        axes.axhline(published[key], color="#555", linestyle="--", linewidth=0.8)
        axes.text(sizes[0], published[key] * 1.1, f"published {word}: {published[key]} ms", fontsize=8, color="#555")
