"""Follows the change feed: what has happened since the last look, as one change."""

from typing import Final

from router.kv.feed import EVERYTHING_CHANGED, Change, ChangeUnreadable
from router.kv.schema import FEED_SEQ, Database
from router.kv.store import Snapshot, Store

CATCH_UP_MAX: Final = 2_000
"""Entries read at one look, some milliseconds' worth; a reader that is further behind is told "everything"."""


class FeedReader:
    """Begins where the feed stands when this is made. A look that finds nothing new is a read of shared memory.

    `seq` is the last entry that was read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        with store.read() as snapshot:
            self._txn_id = snapshot.txn_id()
            self.seq = last_seq(snapshot)

    def changes_since_last_look(self) -> Change | None:
        """None for nothing. Missed or unreadable entries count as "everything": too much is evicted, never too
        little."""
        if self._store.last_txn_id() == self._txn_id:
            return None
        with self._store.read() as snapshot:
            # LMDB tells of a commit some milliseconds before it lets readers begin with it: what counts as seen is
            # the snapshot's own transaction, or a change that was told of early would never be read.
            self._txn_id = snapshot.txn_id()
            seq = last_seq(snapshot)
            change = self._read(snapshot, seq)
        self.seq = seq
        return change or None

    def _read(self, snapshot: Snapshot, seq: int) -> Change:
        if not self.seq <= seq <= self.seq + CATCH_UP_MAX:
            return EVERYTHING_CHANGED
        try:
            entries = [Change.parse(value) for _, value in snapshot.scan(Database.FEED, after=FEED_SEQ.pack(self.seq))]
        except ChangeUnreadable:
            return EVERYTHING_CHANGED
        return Change.merged(entries) if len(entries) == seq - self.seq else EVERYTHING_CHANGED


def last_seq(snapshot: Snapshot) -> int:
    last = next(snapshot.scan(Database.FEED, reverse=True), None)
    return 0 if last is None else int(FEED_SEQ.unpack(last[0])[0])
