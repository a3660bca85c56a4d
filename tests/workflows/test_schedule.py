"""Cron texts, and the instances that they make."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, flow
from workflows import WorkflowError, WorkflowEvent
from workflows.schedule import Cron, parse_schedules
from workflows.states import Trigger
from workflows.store.cursor import InstanceFilter


def ms(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "now", "tick"),
    [
        ("* * * * *", (2026, 3, 1, 10, 7, 59), (2026, 3, 1, 10, 7)),
        ("*/15 * * * *", (2026, 3, 1, 10, 7), (2026, 3, 1, 10, 0)),
        ("30 4 * * *", (2026, 3, 1, 4, 29), (2026, 2, 28, 4, 30)),
        ("0 0 29 2 *", (2027, 1, 1), (2024, 2, 29)),
        ("0 20 * * MON", (2026, 1, 7), (2026, 1, 5, 20)),
        ("0 0 13 * FRI", (2026, 1, 12), (2026, 1, 9)),  # either suffices
        ("0 0 * * 7", (2026, 1, 12), (2026, 1, 11)),
        ("5,10-12 3 1 JAN-MAR *", (2026, 6, 1), (2026, 3, 1, 3, 12)),
        ("0 0 30 2,3 *", (2026, 3, 1), (2025, 3, 30)),
        ("0 0 31 2 MON", (2026, 3, 1), (2026, 2, 23)),
    ],
)
def test_the_latest_tick(text: str, now: tuple[int, ...], tick: tuple[int, ...]) -> None:
    assert Cron.parse(text).latest_ms(ms(*now), 0) == ms(*tick)
    assert Cron.parse(text).latest_ms(ms(*now), ms(*tick)) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "a * * * *", [], 5, "*-3 * * * *",
        "1_0 * * * *", "0-1_0 * * * *", "0 0 30 2 *", "0 0 31 2,4,6 *", "0 0 31 SEP-SEP *",
    ],
)  # fmt: skip
def test_a_bad_schedule_is_refused(text: Any) -> None:
    with pytest.raises(WorkflowError):
        parse_schedules(text)


async def test_a_schedule_fires_each_tick_once_and_after_a_gap_the_latest_alone(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return event.payload

    workflow = flow(body, schedules="0 * * * *")
    engine = await open_engine_here(workflow)
    workflow_id = engine.workflow(workflow).id
    begun = engine.virtual.now_ms()

    async def ids() -> list[str]:
        while not engine.worker.is_quiet:
            await engine.settle()
        return [one.id for one in engine.reads.instances(workflow_id, InstanceFilter(direction="asc")).items]

    await engine.advance("30 minutes")
    assert await ids() == []
    for _ in range(2):
        engine.virtual.move_to(begun + 3_600_000)
        engine.worker.ring()
        await engine.settle()
    assert await ids() == [f"0 * * * *-{begun + 3_600_000}"]
    engine.virtual.move_to(begun + 5 * 3_600_000 + 1)  # as if it had been down for hours
    engine.worker.ring()
    await engine.settle()
    assert await ids() == [f"0 * * * *-{begun + hour * 3_600_000}" for hour in (1, 5)]
    record = engine.reads.instance(workflow_id, f"0 * * * *-{begun + 5 * 3_600_000}")
    assert record is not None
    assert record.trigger is Trigger.CRON
    await (await engine.get(workflow, record.id)).delete()
