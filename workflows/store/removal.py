"""Removing what nobody is to see any more: instances past their retention, workflows without instances."""

from workflows.store.instances import delete
from workflows.store.transaction import Transaction


def remove_expired(transaction: Transaction, *, count_max: int) -> int:
    """Of the instances whose time is over, at most `count_max`. Returns how many that were."""
    expired = transaction.all(
        "SELECT seq FROM instances WHERE expires_on <= ? LIMIT ?", (transaction.now_ms, count_max)
    )
    for (seq,) in expired:
        delete(transaction, seq)
    return len(expired)


def remove_workflow(transaction: Transaction, workflow_id: str) -> bool:
    """False where instances are left: some were created meanwhile."""
    if transaction.one("SELECT 1 FROM instances WHERE workflow_id = ? LIMIT 1", (workflow_id,)) is not None:
        return False
    for table in ("versions", "metrics", "fired", "jobs"):
        transaction.execute(f"DELETE FROM {table} WHERE workflow_id = ?", (workflow_id,))
    transaction.execute("DELETE FROM workflows WHERE id = ?", (workflow_id,))
    return True
