"""Fires schedules: an instance for the latest tick that was missed, with an id that makes a second firing nothing."""

from collections.abc import Mapping, Sequence
from typing import Final

from workflows.schedule import Cron
from workflows.states import Trigger
from workflows.store.instances import NewInstance, create
from workflows.store.transaction import Transaction

PARAMS: Final = b"{}"


def fire_due(transaction: Transaction, schedules: Mapping[str, Sequence[Cron]]) -> int:
    """`schedules`: workflow id -> its crons. A cron seen for the first time begins now. Returns how many fired."""
    fired = 0
    for workflow_id, crons in schedules.items():
        if transaction.one("SELECT 1 FROM workflows WHERE id=?", (workflow_id,)) is None:  # deleted under its worker
            continue
        for cron in crons:
            row = transaction.one("SELECT fired_on FROM fired WHERE workflow_id=? AND cron=?", (workflow_id, cron.text))
            if row is None:
                _note(transaction, workflow_id, cron, transaction.now_ms)
                continue
            tick = cron.latest_ms(transaction.now_ms, row[0])
            if tick is None:
                continue
            new = NewInstance(id=f"{cron.text}-{tick}", params=PARAMS, trigger=Trigger.CRON)
            create(transaction, workflow_id, [new], skip_known=True)
            _note(transaction, workflow_id, cron, tick)
            fired += 1
    return fired


def _note(transaction: Transaction, workflow_id: str, cron: Cron, at_ms: int) -> None:
    transaction.execute(
        "INSERT INTO fired VALUES(?,?,?) ON CONFLICT DO UPDATE SET fired_on=excluded.fired_on",
        (workflow_id, cron.text, at_ms),
    )
