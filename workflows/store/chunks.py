"""The chunks of streamed results, and the rows that say whose they are.

A row in `streams` is one attempt's stream. Chunks come in one by one, each in a commit of its own, so that no commit is
held up by a long stream; they are nobody's result until the step's own result names the stream, in the commit that
finishes the step. What is given up (a failed attempt, a deleted instance) loses its owner at once and its chunks a few
at a time: SQLite overwrites what it frees, a gigabyte would hold up every commit for seconds.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from workflows.errors import LifetimeEnded, WorkflowError
from workflows.store.connection import open_reader, translated
from workflows.store.records import InstanceRecord, StepRecord
from workflows.store.transaction import Transaction

CHUNKS_SWEPT_MAX: Final = 8  # 2 MiB, about 15 ms
CHUNKS_A_COMMIT_MAX: Final = 4  # how many a worker adds at a time, over all its streams


def open_stream(instance: InstanceRecord, step: StepRecord) -> Callable[[Transaction], int]:
    """Returns the stream's id. Raises LifetimeEnded where the attempt is over."""
    step_id, attempt = step.id, step.attempts

    def command(transaction: Transaction) -> int:
        row = transaction.one(
            "INSERT INTO streams(instance_seq, step_id) SELECT instance_seq, id FROM steps"
            " WHERE id=? AND instance_seq=? AND attempts=? AND state='running' RETURNING id",
            (step_id, instance.seq, attempt),
        )
        if row is None:
            raise LifetimeEnded
        return int(row[0])

    return command


def add_chunk(stream_id: int, index: int, chunk: bytes) -> Callable[[Transaction], None]:
    """Raises LifetimeEnded where the stream was given up: its thread may not know yet."""

    def command(transaction: Transaction) -> None:
        added = transaction.execute(
            "INSERT INTO chunks SELECT id, ?, ? FROM streams WHERE id=? AND instance_seq NOT NULL",
            (index, chunk, stream_id),
        )
        if not added.rowcount:
            raise LifetimeEnded

    return command


# ---- giving up


def give_up_attempt(transaction: Transaction, seq: int, step_id: int) -> None:
    transaction.execute("UPDATE streams SET instance_seq=NULL WHERE instance_seq=? AND step_id=?", (seq, step_id))


def give_up_unfinished(transaction: Transaction, seq: int) -> None:
    """Of an instance that ends: what a killed process left half-written."""
    transaction.execute(
        "UPDATE streams SET instance_seq=NULL WHERE instance_seq=?1 AND step_id NOT IN"
        " (SELECT id FROM steps WHERE instance_seq=?1 AND state='done')",
        (seq,),
    )


def give_up_all(transaction: Transaction, seqs: Sequence[tuple[int]]) -> None:
    transaction.connection.executemany("UPDATE streams SET instance_seq=NULL WHERE instance_seq=?", seqs)


def sweep_chunks(transaction: Transaction) -> bool:
    """Removes up to CHUNKS_SWEPT_MAX chunks that are nobody's. True once none is left."""
    row = transaction.one("SELECT id FROM streams WHERE instance_seq IS NULL LIMIT 1")
    if row is None:
        return True
    swept = transaction.execute(
        "DELETE FROM chunks WHERE rowid IN (SELECT rowid FROM chunks WHERE stream_id=? LIMIT ?)",
        (*row, CHUNKS_SWEPT_MAX),
    )
    if swept.rowcount < CHUNKS_SWEPT_MAX:
        transaction.execute("DELETE FROM streams WHERE id=?", row)
    return False


# ---- reading


class ChunkReader:
    """One reader of one stream, on a connection of its own. Raises StoreError."""

    def __init__(self, path: Path, stream_id: int) -> None:
        self._path = path
        self._stream_id = stream_id
        self._connection = open_reader(path)

    def close(self) -> None:
        self._connection.close()

    def chunk(self, index: int) -> bytes:
        """Raises WorkflowError `stream.gone`."""
        with translated(self._path):
            row = self._connection.execute(
                "SELECT chunk FROM chunks JOIN streams ON id = stream_id"
                " WHERE stream_id=? AND idx=? AND instance_seq NOT NULL",
                (self._stream_id, index),
            ).fetchone()
        if row is None:
            raise WorkflowError("stream.gone", "its instance was restarted, or deleted, since the stream was opened")
        chunk: bytes = row[0]
        return chunk
