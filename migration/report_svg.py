"""The same report as one picture, for a document or a ticket: charts side by side, the words below them. Pure."""

import textwrap
from collections.abc import Iterable
from html import escape
from typing import Final

from migration.chart import HEIGHT, WIDTH
from migration.report import NO_FAILURES, NO_ROLLOUT, Chapter, Story, chapter_of, counts_of, reasons_of

MARGIN: Final = 24
GAP: Final = 20
ACROSS: Final = 2
LINE: Final = 19
LINE_CHARACTERS: Final = 118
REASONS_SHOWN: Final = 20
PAGE_WIDTH: Final = 2 * MARGIN + ACROSS * WIDTH + (ACROSS - 1) * GAP
STYLE: Final = (
    "svg{color:#1b1b1b}.page{background:#fff;fill:#fff}"
    "@media(prefers-color-scheme:dark){svg{color:#e8e8e8}.page{background:#161616;fill:#161616}}"
)


class Picture:
    """Grows downwards."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._y = MARGIN

    def heading(self, text: str, size: int) -> None:
        self._y += size + 20
        self._text(text, size=size, weight=600)
        self._y += 8

    def lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            for line in textwrap.wrap(text, LINE_CHARACTERS, subsequent_indent="   ") or [""]:
                self._y += LINE
                self._text(line, size=13, weight=400)

    def charts(self, drawn: list[str]) -> None:
        """Each is a whole SVG of its own, set into this one."""
        for at in range(0, len(drawn), ACROSS):
            for column, chart in enumerate(drawn[at : at + ACROSS]):
                place = f'<svg x="{MARGIN + column * (WIDTH + GAP)}" y="{self._y}" width="{WIDTH}" height="{HEIGHT}" '
                self._parts.append(chart.replace("<svg ", place, 1))
            self._y += HEIGHT + GAP

    def chapter(self, chapter: Chapter) -> None:
        self.charts(chapter.charts)
        self.lines(chapter.silences)
        self.lines(f"{number}. {words}" for number, words in enumerate(chapter.events, start=1))

    def render(self) -> str:
        height = self._y + MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {PAGE_WIDTH} {height}" width="{PAGE_WIDTH}" '
            f'height="{height}" font-family="system-ui,sans-serif"><style>{STYLE}</style>'
            f'<rect class="page" width="100%" height="100%"/>{"".join(self._parts)}</svg>\n'
        )

    def _text(self, text: str, *, size: int, weight: int) -> None:
        plain = "".join(character if character.isprintable() else "·" for character in text)
        self._parts.append(
            f'<text x="{MARGIN}" y="{self._y}" font-size="{size}" font-weight="{weight}" fill="currentColor" '
            f'xml:space="preserve">{escape(plain)}</text>'
        )


def render_picture(story: Story) -> str:
    """SVG."""
    picture = Picture()
    picture.heading(story.title, 22)
    picture.lines([story.progress.reason] if story.progress.reason else [])
    picture.lines(["  ·  ".join(f"{name} {value}" for name, value in counts_of(story.progress))])
    picture.heading("While it ran", 16)
    picture.chapter(chapter_of(story.samples))
    picture.heading("Failures", 16)
    picture.lines([f"{count:,} × {reason}" for reason, count in reasons_of(story.failures)[:REASONS_SHOWN]])
    picture.lines([] if story.failures else [NO_FAILURES])
    picture.heading("Rollout", 16)
    if story.rollout:
        picture.chapter(chapter_of(story.rollout))
    else:
        picture.lines([NO_ROLLOUT])
    return picture.render()
