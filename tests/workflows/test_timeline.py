"""The describe answer as a story: spans, states, pauses between attempts, whatever hasn't ended yet."""

from typing import Any

from workflows.timeline import read_timeline
from workflows.wording import tell

T0 = 1_767_261_600_000  # 2026-01-01T10:00:00Z


def at(ms: int) -> str:
    return f"2026-01-01T10:{ms // 60_000:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}Z"


def described(*steps: Any, **members: Any) -> dict[str, Any]:
    return {
        "status": "running", "params": {}, "trigger": {"source": "api"}, "versionId": "v", "queued": at(0),
        "start": at(100), "end": None, "success": None, "error": None, "output": None, "steps": list(steps), **members,
    }  # fmt: skip


def attempt(start: int, end: int | None, success: bool | None, error: Any = None) -> dict[str, Any]:
    return {"start": at(start), "end": at(end) if end is not None else None, "success": success, "error": error}


def do(name: str, start: int, end: int | None, success: bool | None, *attempts: Any, **more: Any) -> dict[str, Any]:
    return {
        "type": "step", "name": name, "start": at(start), "end": at(end) if end is not None else None,
        "success": success, "config": {}, "attempts": list(attempts), **more,
    }  # fmt: skip


BOOM = {"name": "ConnectionError", "message": "boom"}


def test_a_retried_step_tells_each_attempt_and_the_pauses_between() -> None:
    step = do("charge-1", 200, 2000, True, attempt(200, 300, False, BOOM), attempt(1300, 2000, True), output={"tx": 9})
    (entry,) = read_timeline(described(step), now=T0 + 5000).entries
    assert (entry.step_name, entry.step_count, entry.step_type) == ("charge", 1, "do")
    assert (entry.state, entry.after_ms, entry.span_ms) == ("done", 100, 1800)
    first, second = entry.attempts
    assert (first.error, first.span_ms, second.pause_ms) == ("ConnectionError: boom", 100, 1000)
    assert entry.has_output
    assert tell(entry) == "1.8 s, 2 attempts"


def test_a_step_whose_last_attempt_failed_is_to_be_tried_again() -> None:
    step = do("mail-1", 200, None, None, attempt(200, 300, False, BOOM))
    (entry,) = read_timeline(described(step), now=T0 + 1200).entries
    assert (entry.state, entry.span_ms) == ("retrying", 1000)


def test_an_open_sleep_is_measured_up_to_now_and_tells_its_end() -> None:
    sleep = {
        "type": "sleep",
        "name": "cool off-1",
        "start": at(2000),
        "end": at(62_000),
        "finished": False,
        "error": None,
    }
    (entry,) = read_timeline(described(sleep), now=T0 + 12_000).entries
    assert (entry.state, entry.span_ms, entry.planned_end) == ("waiting", 10_000, T0 + 62_000)


def test_a_wait_tells_what_came_or_that_nothing_did() -> None:
    event = {"type": "approved", "payload": {"by": "ann"}, "timestamp": at(3000)}
    base = {"type": "waitForEvent", "name": "ok-1", "start": at(1000), "end": at(3000), "finished": True}
    came = {**base, "error": None, "output": event}
    late = {**base, "error": {"name": "WorkflowTimeoutError", "message": ""}, "output": None, "event_type": "approved"}
    first, second = read_timeline(described(came, late), now=T0 + 4000).entries
    assert (first.output, tell(first)) == ({"by": "ann"}, "“approved” came after 2 s")
    assert (second.error, tell(second)) == ("WorkflowTimeoutError", "“approved” did not come within 2 s")


def test_what_was_open_when_an_instance_ended_is_measured_to_its_end() -> None:
    story = described(do("a-1", 200, None, None), {"type": "termination", "trigger": {"source": "api"}},
                      status="terminated", end=at(1200))  # fmt: skip
    timeline = read_timeline(story, now=T0 + 500_000)
    assert (timeline.is_over, timeline.span_ms, timeline.entries[0].span_ms) == (True, 1100, 1000)
    assert tell(timeline.entries[1]) == "by api"


def test_a_rollback_lies_within_its_step() -> None:
    undone = do("a-1", 500, 700, True, attempt(500, 700, True))
    (entry,) = read_timeline(described(do("a-1", 200, 300, True, rollback=undone)), now=T0 + 900).entries
    assert entry.rollback is not None
    assert tell(entry.rollback) == "rollback done, 200 ms"


def test_a_rollback_is_told_when_it_was_and_a_termination_last() -> None:
    undone = do("a-1", 400, 500, True)
    steps = (do("a-1", 200, 300, True, rollback=undone), do("b-1", 400, 450, True), do("c-1", 350, 380, True))
    over = described(*steps, {"type": "termination", "trigger": {"source": "api"}}, status="terminated", end=at(500))
    told = [(entry.kind, entry.name) for entry in read_timeline(over, now=T0 + 900).told_entries]
    assert told == [
        ("step", "a-1"), ("step", "c-1"), ("step", "b-1"), ("rollback", "a-1"), ("termination", "terminated")
    ]  # fmt: skip


def test_a_step_without_an_attempt_never_began() -> None:
    (entry,) = read_timeline(described(do("a-1", 200, None, None)), now=T0 + 900).entries
    assert (entry.state, tell(entry)) == ("stopped", "never began: nothing awaited it")
