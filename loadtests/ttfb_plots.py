"""The picture of `loadtests.ttfb`: three panels over the number of deployments, all axes logarithmic.

Colours are Okabe and Ito's, which people who can't tell red from green can tell; each arm also has a mark of its own.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

COLOURS: Final = ("#D55E00", "#E69F00", "#56B4E9", "#0072B2")
MARKS: Final = ("s", "D", "^", "o")
PANELS: Final = (
    ("p50_ms", "TTFB, p50 (line) to p99 (shade), ms"),
    ("cpu_ms", "CPU a request, ms"),
    ("per_s", "requests/s"),
)


def draw(
    path: Path, rows: Mapping[tuple[int, str], Mapping[str, float]], arms: Sequence[str], published: Mapping[str, int]
) -> None:
    import matplotlib  # only full runs draw: `--quick` works without it

    matplotlib.use("svg")
    from matplotlib import pyplot

    canvas, panels = pyplot.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
    for axes, (figure, title) in zip(panels, PANELS, strict=True):
        for arm, colour, mark in zip(arms, COLOURS, MARKS, strict=True):
            sizes = sorted(size for size, each in rows if each == arm)
            values = [rows[size, arm][figure] for size in sizes]
            axes.plot(sizes, values, color=colour, marker=mark, markersize=5, linewidth=1.6, label=arm)
            if figure == "p50_ms":
                axes.fill_between(
                    sizes, values, [rows[size, arm]["p99_ms"] for size in sizes], color=colour, alpha=0.14, linewidth=0
                )
        if figure == "p50_ms":
            mark_published(axes, published)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("deployments of the site")
        axes.grid(visible=True, which="major", color="#ddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    canvas.savefig(path, metadata={"Date": None})
    pyplot.close(canvas)


def mark_published(axes: Any, published: Mapping[str, int]) -> None:
    """The published time in the old table at 10,000: parse and match together."""
    total_ms = published["parse_ms_at_10000"] + published["match_ms_at_10000"]
    axes.scatter(
        [10_000], [total_ms], marker="*", s=90, color="#000", zorder=4, label=f"published: parse + match, {total_ms} ms"
    )
