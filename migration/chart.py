"""A line over time as SVG, without a library: one measure, its axis, and what happened when. Pure.

Drawn to be read in print and by people who tell colours badly: one dark line a chart, events as numbered marks whose
words stand below it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 220
LEFT: Final = 64
RIGHT: Final = 16
TOP: Final = 34
BOTTOM: Final = 30
POINTS_MAX: Final = 600
TICKS: Final = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened; `number` is what the words below the chart begin with."""

    at_s: float
    number: int


def line_chart(
    title: str, unit: str, points: Sequence[tuple[float, float]], marks: Sequence[Mark], span: tuple[float, float]
) -> str:
    """`points` are (seconds, value), in order of time; `span` is the first and last second of the axis."""
    if not points:
        return f'<p class="none">{escape(title)}: nothing was measured.</p>'
    points = thinned(points)
    first_s, last_s = span[0], max(span[1], span[0] + 1)
    top = round_up(max(value for _, value in points))

    def x(at_s: float) -> float:
        return LEFT + (min(max(at_s, first_s), last_s) - first_s) / (last_s - first_s) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)

    path = " ".join(f"{x(at_s):.1f},{y(value):.1f}" for at_s, value in points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui,sans-serif" font-size="12">',
        f'<text x="{LEFT}" y="16" font-size="14" font-weight="600" fill="currentColor">{escape(title)}</text>',
        *(y_tick(value, y(value), unit) for value in even_parts(top)),
        *(x_tick(seconds, x(first_s + seconds)) for seconds in even_parts(last_s - first_s)),
        *(mark_line(x(mark.at_s), mark.number) for mark in marks),
        f'<polyline points="{path}" fill="none" stroke="#1f5fa8" stroke-width="1.8" stroke-linejoin="round"/>',
        "</svg>",
    ]
    return "".join(parts)


def even_parts(whole: float) -> list[float]:
    return [whole * tick / TICKS for tick in range(TICKS + 1)]


def y_tick(value: float, at: float, unit: str) -> str:
    return (
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="currentColor" '
        f'stroke-opacity=".15"/>'
        f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" fill="currentColor">{short(value)}{unit}</text>'
    )


def x_tick(seconds: float, at: float) -> str:
    return f'<text x="{at:.1f}" y="{HEIGHT - 10}" text-anchor="middle" fill="currentColor">{duration(seconds)}</text>'


def mark_line(at: float, number: int) -> str:
    return (
        f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 4}" y2="{HEIGHT - BOTTOM}" stroke="#b4530a" '
        f'stroke-dasharray="3 3"/>'
        f'<text x="{at:.1f}" y="{TOP - 6}" text-anchor="middle" fill="#b4530a">{number}</text>'
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
            return f"{value / size:g} {name}"
    return f"{value:g} "


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
