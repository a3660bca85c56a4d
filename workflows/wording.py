"""What states, times and entries of a timeline are called, wherever people read of them: in a terminal, on a page."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from workflows.spans import show_span
from workflows.timeline import Entry, Kind

STATE_NAMES: Final[Mapping[str, str]] = {
    "running": "Running", "waiting": "Waiting", "queued": "Queued", "paused": "Paused",
    "waitingForPause": "Pausing", "complete": "Complete", "errored": "Errored", "terminated": "Terminated",
}  # fmt: skip
KIND_GLYPHS: Final[Mapping[Kind, str]] = {
    "step": "🎯", "sleep": "💤", "waitForEvent": "👀", "termination": "🚫", "rollback": "⏪",
}  # fmt: skip


def show_time(time: int) -> str:
    """Epoch ms as UTC."""
    seconds, ms = divmod(time, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{ms:03d} UTC"


def tell(entry: Entry) -> str:
    """What happened, in a few words."""
    span = show_span(entry.span_ms)
    attempts = f", {len(entry.attempts)} attempts" if len(entry.attempts) > 1 else ""
    event = f"“{entry.event_type}” " if entry.event_type else ""
    until = f"until {show_time(entry.planned_end)}" if entry.planned_end is not None else f"for {span}"
    match entry.kind, entry.state:
        case "termination", _:
            return f"by {entry.trigger}"
        case "sleep", "waiting":
            return f"sleeping {until}"
        case "sleep", _:
            return f"slept {span}"
        case "waitForEvent", "waiting":
            return f"waiting for {event}{until}"
        case "waitForEvent", "done":
            return f"{event}came after {span}"
        case "waitForEvent", _:
            return f"{event}did not come within {span}"
        case "rollback", state:
            return f"rollback {state}, {span}{attempts}"
        case _, "stopped":
            return "never began: nothing awaited it"
        case _, "retrying":
            return f"to be tried again{attempts}"
        case _, "running":
            return f"running for {span}{attempts}"
        case _, "failed":
            return f"failed after {span}{attempts}"
        case _:
            return (
                f"{span}{attempts}{', undone' if entry.rollback is not None and entry.rollback.state == 'done' else ''}"
            )
