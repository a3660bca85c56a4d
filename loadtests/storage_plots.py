"""The picture of `loadtests.storage`: bytes a deployment, and hit rates by the size of a cache."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from loadtests.report import Measured

BARS: Final = {
    "legacy": ("routing tables\nand pipelines", "#D55E00"),
    "legacy_tables": ("routing tables\nalone", "#E69F00"),
    "hashed_grown": ("routes,\nas deploys come", "#56B4E9"),
    "hashed_packed": ("routes,\npacked", "#0072B2"),
}
LINES: Final = {"decisions": ("decisions (hashed)", "#0072B2", "o"), "tables": ("tables (legacy)", "#D55E00", "s")}


def draw(path: Path, sizes: Mapping[str, float], rates: Mapping[str, Mapping[str, Measured]]) -> None:
    import matplotlib  # only full runs draw: `--quick` works without it

    matplotlib.use("svg")
    from matplotlib import pyplot

    canvas, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    names = [name for name, _ in BARS.values()]
    drawn = left.bar(names, [sizes[key] for key in BARS], color=[colour for _, colour in BARS.values()], width=0.6)
    left.bar_label(drawn, fmt="{:,.0f} B", padding=2, fontsize=9)
    left.tick_params(axis="x", labelsize=8)
    left.set_title("Bytes a deployment, in whole pages", fontsize=10)
    for key, (name, colour, mark) in LINES.items():
        mib = [int(each) for each in rates[key]]
        shares = [rate.median * 100 for rate in rates[key].values()]
        right.plot(mib, shares, color=colour, marker=mark, linewidth=1.6, label=name)
    right.set_xscale("log", base=2)
    right.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
    right.set_ylim(0, 100)
    right.set_xlabel("MiB of cache")
    right.set_title("Hits of a worker's cache, modelled (no real traffic), %", fontsize=10)
    right.grid(visible=True, color="#ddd", linewidth=0.6)
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    canvas.savefig(path, metadata={"Date": None})
    pyplot.close(canvas)
