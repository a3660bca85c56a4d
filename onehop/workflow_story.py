"""A workflow instance's timeline as a terminal shows it. What instances hold is text, never markup or escapes."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
from rich.console import Console
from rich.text import Text

from onehop.output import printable
from workflows.spans import show_span
from workflows.timeline import Attempt, Entry, State, Timeline
from workflows.wording import KIND_GLYPHS, show_time, tell

STATUS_GLYPHS: Final[Mapping[str, str]] = {
    "queued": "⌛", "running": "▶", "paused": "⏸", "errored": "❌", "terminated": "🚫", "complete": "✅",
    "waiting": "⏰", "waitingForPause": "⏱", "unknown": "❓",
}  # fmt: skip
STATUS_STYLES: Final[Mapping[str, str]] = {
    "queued": "cyan", "running": "blue", "paused": "yellow", "errored": "red", "terminated": "red",
    "complete": "green", "waiting": "magenta", "waitingForPause": "yellow",
}  # fmt: skip
TRIGGER_GLYPHS: Final[Mapping[str, str]] = {"api": "🌎", "binding": "🔗", "cron": "⌛", "event": "📩"}
STATE_MARKS: Final[Mapping[State, tuple[str, str]]] = {
    "running": ("▶", "blue"), "waiting": ("⏰", "magenta"), "retrying": ("↻", "yellow"), "done": ("✔", "green"),
    "failed": ("✘", "red"), "stopped": ("🚫", "red"),
}  # fmt: skip
VALUE_CHARACTERS_MAX: Final = 5000
SPAN_WIDTH: Final = 12
NAME_WIDTH_MAX: Final = 40
INDENT: Final = " " * (SPAN_WIDTH + 5)


def show_story(title: str, timeline: Timeline, *, with_output: bool = True) -> None:
    console = Console(markup=False, highlight=False, emoji=False, soft_wrap=True)
    for line in render_story(title, timeline, with_output=with_output):
        console.print(line)


def render_story(title: str, timeline: Timeline, *, with_output: bool) -> Iterator[Text]:
    style = STATUS_STYLES.get(timeline.status, "")
    glyph = STATUS_GLYPHS.get(timeline.status, "❓")
    yield Text.assemble(f"{glyph} ", (printable(title), "bold"), "  ", (printable(timeline.status), style))
    trigger = f"{TRIGGER_GLYPHS.get(timeline.trigger, '❓')} {timeline.trigger}"
    yield field("queued", f"{show_time(timeline.queued)}, by {trigger}")
    if timeline.start is not None:
        yield field(
            "started", f"{show_time(timeline.start)}, after {show_span(max(0, timeline.start - timeline.queued))}"
        )
    if timeline.end is not None:
        yield field("ended", f"{show_time(timeline.end)}, after {show_span(timeline.span_ms)}")
    elif timeline.start is not None:
        yield field("so far", show_span(timeline.span_ms))
    yield field("params", show_value(timeline.params))
    if timeline.error is not None:
        yield field("error", timeline.error, style="red")
    if timeline.status == "complete":
        yield field("output", show_value(timeline.output), style="green")
    if timeline.entries:
        yield Text()
    width = min(max((len(entry.name) for entry in timeline.entries), default=0), NAME_WIDTH_MAX)
    for entry in timeline.told_entries:
        yield from render_entry(entry, width=width, with_output=with_output)


def render_entry(entry: Entry, *, width: int, with_output: bool) -> Iterator[Text]:
    mark, style = STATE_MARKS[entry.state]
    after = f"+{show_span(entry.after_ms)}" if entry.kind != "termination" else ""
    yield Text.assemble(
        (f"{after:>{SPAN_WIDTH}}", "dim"), f"  {KIND_GLYPHS[entry.kind]} ", f"{printable(entry.name):<{width}}  ",
        (f"{mark} ", style), (printable(tell(entry)), style if entry.state != "done" else ""),
    )  # fmt: skip
    if len(entry.attempts) > 1 or any(attempt.error for attempt in entry.attempts):
        for attempt in entry.attempts:
            yield render_attempt(attempt)
    if entry.error is not None:
        yield Text.assemble(INDENT, (printable(entry.error), "red"))
    if with_output and entry.has_output:
        yield Text.assemble(INDENT, ("→ ", "dim"), show_value(entry.output))


def render_attempt(attempt: Attempt) -> Text:
    mark, style = STATE_MARKS[attempt.state]
    pause = f" after {show_span(attempt.pause_ms)}" if attempt.number > 1 else ""
    said = f"  {printable(attempt.error)}" if attempt.error is not None else ""
    return Text.assemble(
        INDENT,
        (f"{attempt.number} ", "dim"),
        (f"{mark} ", style),
        f"{show_span(attempt.span_ms)}{pause}",
        (said, style),
    )


def field(name: str, value: str, *, style: str = "") -> Text:
    return Text.assemble((f"   {name:<9}", "dim"), (printable(value), style))


def show_value(value: Any) -> str:
    text = printable(orjson.dumps(value).decode("utf-8"))
    if len(text) <= VALUE_CHARACTERS_MAX:
        return text
    return f"{text[:VALUE_CHARACTERS_MAX]}… ({len(text)} characters; --json has them all)"
