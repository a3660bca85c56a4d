"""Removes what has been kept long enough: ended instances, old metrics."""

from typing import Final

from workflows.store.chunks import give_up_all
from workflows.store.instances import OWNED_TABLES
from workflows.store.transaction import MINUTE_MS, Transaction

SWEPT_MAX: Final = 1000
METRICS_DAYS: Final = 31


def sweep(transaction: Transaction) -> int:
    """Removes up to SWEPT_MAX instances whose retention is over; each goes whole. Returns how many."""
    now = transaction.now_ms
    expired = transaction.all(
        "SELECT seq FROM instances WHERE expires_on<=? ORDER BY expires_on LIMIT ?", (now, SWEPT_MAX)
    )
    give_up_all(transaction, expired)
    for table in OWNED_TABLES:
        transaction.connection.executemany(f"DELETE FROM {table} WHERE instance_seq=?", expired)
    transaction.connection.executemany("DELETE FROM instances WHERE seq=?", expired)
    oldest_minute = now // MINUTE_MS - METRICS_DAYS * 24 * 60
    transaction.execute("DELETE FROM metrics WHERE minute<?", (oldest_minute,))
    return len(expired)
