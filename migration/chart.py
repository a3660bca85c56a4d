"""A line over time as SVG, without a library: one measure, its axis, and what happened when. Pure.

Drawn to be read in print and by people who tell colours badly: one dark line a chart, events as numbered marks whose
words stand below it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

WIDTH: Final = 400
HEIGHT: Final = 190
"""So small that its words can be read on a telephone, where it is scaled down, and beside another on a wide page."""
LEFT: Final = 62
RIGHT: Final = 18
TOP: Final = 40
BOTTOM: Final = 28
POINTS_MAX: Final = 600
TICKS_MAX: Final = 5
MARK_SHARE: Final = 0.05
GAP_LOOKS: Final = 3.0
"""A point that follows the one before after so many times the usual interval begins a line of its own."""
NICE_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened; `number` is what the words below the chart begin with."""

    at_s: float
    number: int


def line_chart(
    title: str, unit: str, points: Sequence[tuple[float, float]], marks: Sequence[Mark], span: tuple[float, float]
) -> str:
    """An SVG; empty where there are no points. `points` are (seconds, value), in order of time; `span` is the first and
    last second of the axis."""
    if not points:
        return ""
    first_s, last_s = span[0], max(span[1], span[0] + 1)
    ticks = value_ticks(max(value for _, value in points))
    top = ticks[-1]

    def x(at_s: float) -> float:
        return LEFT + (min(max(at_s, first_s), last_s) - first_s) / (last_s - first_s) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui,sans-serif" font-size="12">',
        f'<text x="{LEFT}" y="14" font-size="13" font-weight="600" fill="currentColor">{escape(title)}</text>',
        *(y_tick(value, y(value), unit) for value in ticks),
        *(x_tick(seconds, x(first_s + seconds)) for seconds in time_ticks(last_s - first_s)),
        *(mark_line(x(at_s), name) for at_s, name in named_marks(marks, last_s - first_s)),
        *(stretch_of([(x(at_s), y(value)) for at_s, value in each]) for each in stretches(thinned(points))),
        "</svg>",
    ]
    return "".join(parts)


def stretches(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Points that follow each other without a gap: where nothing was measured there is no line."""
    intervals = sorted(after[0] - before[0] for before, after in pairwise(points))
    usual_s = intervals[len(intervals) // 2] if intervals else 0.0
    found: list[list[tuple[float, float]]] = []
    for point in points:
        if not found or point[0] - found[-1][-1][0] > GAP_LOOKS * max(usual_s, 1.0):
            found.append([])
        found[-1].append(point)
    return found


def stretch_of(points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:
        return f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2.5" fill="#2f76c4"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="#2f76c4" stroke-width="1.8" stroke-linejoin="round"/>'


def named_marks(marks: Sequence[Mark], span_s: float) -> list[tuple[float, str]]:
    """Marks that would stand on each other share one line: "3–5"."""
    grouped: list[list[Mark]] = []
    for mark in marks:
        if grouped and mark.at_s - grouped[-1][0].at_s < span_s * MARK_SHARE:
            grouped[-1].append(mark)
        else:
            grouped.append([mark])
    return [
        (each[0].at_s, str(each[0].number) if len(each) == 1 else f"{each[0].number}–{each[-1].number}")
        for each in grouped
    ]


def value_ticks(highest: float) -> list[float]:
    """From 0 on, by 1, 2 or 5 times a power of ten, to the first that is not below the highest value."""
    if highest <= 0:
        return [0.0, 1.0]
    step = round_up(highest / (TICKS_MAX - 1))
    count = max(1, math.ceil(highest / step - 1e-9))
    return [step * number for number in range(count + 1)]


def time_ticks(span_s: float) -> list[float]:
    """Whole seconds, minutes or hours, no two the same."""
    step = next((each for each in NICE_SECONDS if span_s / each <= TICKS_MAX), None)
    if step is None:
        days = math.ceil(span_s / 86_400 / TICKS_MAX)
        step = days * 86_400
    return [float(step * number) for number in range(int(span_s / step) + 1)]


def y_tick(value: float, at: float, unit: str) -> str:
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="currentColor" '
        f'stroke-opacity=".15"/>'
        f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" fill="currentColor">{short(value)}{unit}</text>'
    )


def x_tick(seconds: float, at: float) -> str:
    return f'<text x="{at:.1f}" y="{HEIGHT - 10}" text-anchor="middle" fill="currentColor">{duration(seconds)}</text>'


def mark_line(at: float, name: str) -> str:
    return (
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 4}" y2="{HEIGHT - BOTTOM}" stroke="#c2620e" '
        f'stroke-dasharray="3 3"/>'
        f'<text x="{at:.1f}" y="{TOP - 6}" text-anchor="middle" fill="#c2620e">{name}</text>'
    )


def thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most POINTS_MAX, of each stretch the highest: a peak must not get lost."""
    if len(points) <= POINTS_MAX:
        return points
    size = math.ceil(len(points) / POINTS_MAX)
    return [max(points[at : at + size], key=lambda point: point[1]) for at in range(0, len(points), size)]


def round_up(value: float) -> float:
    """To 1, 2 or 5 times a power of ten; at least a little, so that there is an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= value)


def short(value: float) -> str:
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.4g} {name}"
    return f"{value:.4g} "


def duration(seconds: float) -> str:
    if seconds < 60 or seconds % 60:
        return f"{seconds:.0f} s"
    if seconds < 3_600 or seconds % 3_600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.0f} h"
