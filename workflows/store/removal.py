"""Removing a workflow, once its instances are gone."""

from workflows.store.definitions import forget_workflow
from workflows.store.transaction import Transaction


def remove_workflow(transaction: Transaction, workflow_id: str) -> bool:
    """False where instances are left: some were created meanwhile."""
    if transaction.one("SELECT 1 FROM instances WHERE workflow_id = ? LIMIT 1", (workflow_id,)) is not None:
        return False
    forget_workflow(transaction, workflow_id)
    return True
