"""Removing a workflow's rows, once its instances are gone."""

from workflows.store.transaction import Transaction


def remove_workflow(transaction: Transaction, workflow_id: str) -> bool:
    """False where instances are left: some were created meanwhile."""
    if transaction.one("SELECT 1 FROM instances WHERE workflow_id = ? LIMIT 1", (workflow_id,)) is not None:
        return False
    for table in ("versions", "metrics", "fired", "jobs"):
        transaction.execute(f"DELETE FROM {table} WHERE workflow_id = ?", (workflow_id,))
    transaction.execute("DELETE FROM workflows WHERE id = ?", (workflow_id,))
    return True
