"""The engine's jitter on the wait before a retry: the spec's table of retry delays, its last line."""

from typing import Any

import orjson
import pytest

from tests.workflows.flows import OpenEngine, flow, run_once, step_of
from workflows import Timing, WorkflowEvent
from workflows.duration import SLEEP_MS_MAX
from workflows.retry import jittered_ms


@pytest.mark.parametrize(
    ("jitter", "chance", "expected"), [(0, 0.9, 1000), (0.5, 0, 1000), (0.5, 0.5, 1250), (1, 0.999, 1999)]
)
def test_jitter_makes_a_delay_longer_by_a_part_of_it(jitter: float, chance: float, expected: int) -> None:
    assert jittered_ms(1000, jitter, chance) == expected


def test_jitter_stays_within_365_days() -> None:
    assert jittered_ms(SLEEP_MS_MAX, 1, 0.9) == SLEEP_MS_MAX


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan")])
def test_jitter_outside_0_to_1_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match="retry_jitter"):
        Timing(retry_jitter=jitter)


@pytest.mark.parametrize("delay", [1000, lambda _: 1000], ids=["number", "function"])
@pytest.mark.parametrize(("jitter", "waits"), [(0.0, [1000, 2000]), (0.5, [1100, 2600])])
async def test_jitter_is_the_engines_and_never_in_the_stored_config(
    open_engine_here: OpenEngine, jitter: float, waits: list[int], delay: Any
) -> None:
    def fails() -> None:
        raise OSError("no")

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", {"retries": {"limit": 2, "delay": delay}}, fails)

    chances = iter([0.2, 0.6])
    if callable(delay):  # drawn for the delay that is stored before the function is asked, too
        chances = iter([0.9, 0.2, 0.9, 0.6])
    workflow = flow(body)
    engine = await open_engine_here(
        workflow, timing=Timing(drain_ms=300, retry_jitter=jitter), chance=lambda: next(chances)
    )
    with pytest.raises(OSError, match="no"):
        await run_once(engine, workflow)
    found = step_of(engine, workflow, "s")
    assert [attempt.retry_delay_ms for attempt in found.attempts] == [*waits, None]
    starts = [attempt.started_on for attempt in found.attempts]
    ends = [attempt.ended_on or 0 for attempt in found.attempts]
    assert [start - end for start, end in zip(starts[1:], ends, strict=False)] == waits
    assert set(orjson.loads(found.step.config_json or "{}")["retries"]) == {"limit", "delay", "backoff"}
