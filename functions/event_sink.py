"""What functions say: console lines, exceptions and outcomes of each bundle, kept for a while, for whoever asks.

    edge workers → EventSink → one SQLite file → EventReader → `onehop functions logs`, `wrangler … tail`

One file for all workers of a machine, since each sees only its own share. All of it is bounded: events a bundle,
bytes an event, what waits to be written. What is over goes first: the oldest, then what can't be taken.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson

EVENT_BYTES_MAX: Final = 64 * 1024
EVENTS_A_BUNDLE_MAX: Final = 1_000
EVENTS_MAX: Final = 100_000
WAITING_MAX: Final = 2_000
WRITE_EVERY_S: Final = 0.1
WATCHES_READ_EVERY_S: Final = 1.0
LINES_AN_EVENT_MAX: Final = 200
LINE_CHARACTERS_MAX: Final = 8_192
BUSY_MS: Final = 5_000
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
  number INTEGER PRIMARY KEY AUTOINCREMENT, bundle TEXT NOT NULL, event BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_bundle ON events (bundle, number);
CREATE TABLE IF NOT EXISTS watches (
  id TEXT PRIMARY KEY, bundle TEXT NOT NULL, expires_ms INTEGER NOT NULL, filters BLOB NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Event:
    """`number` grows with each event of any bundle; `document` is in the form that tail clients read."""

    number: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watch is of. `filters` is JSON that only the watcher's side reads."""

    bundle: str
    filters: bytes


class EventSink:
    """One process's way to the file."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=WAITING_MAX)
        self._watches: dict[str, int] = {}

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            path.chmod(0o600)
            database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = OFF")  # what a crash loses of it is only log
            database.executescript(SCHEMA)
            yield cls(database)
        finally:
            database.close()

    # What an edge worker does

    def note(self, bundle: str, events: bytes) -> None:
        """`events` is the dispatcher's JSON list; what isn't is dropped."""
        try:
            documents = orjson.loads(events)
        except orjson.JSONDecodeError:
            return
        for document in documents if isinstance(documents, list) else ():
            if isinstance(document, dict):
                self._waiting.append((bundle, encode_event(document)))

    def note_failure(self, bundle: str, text: str, *, url: str, method: str) -> None:
        """A function that ended with an error without saying so itself: one that didn't even start."""
        now_ms = round(time.time() * 1000)
        document = {
            "outcome": "exception",
            "exceptions": [{"name": "Error", "message": text, "timestamp": now_ms}],
            "logs": [],
            "eventTimestamp": now_ms,
            "event": {"request": {"url": url, "method": method, "headers": {}, "cf": {}}, "response": {"status": 500}},
        }
        self._waiting.append((bundle, encode_event(document)))

    def watched_until_ms(self, bundle: str) -> int:
        """0 when nobody watches it."""
        return self._watches.get(bundle, 0)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Writes what is noted, and learns who watches, until the block ends."""
        task = asyncio.create_task(self._write_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._flush()

    async def _write_on(self) -> None:
        next_look_s = 0.0
        while True:
            if self._waiting:
                await asyncio.to_thread(self._flush)
            if time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + WATCHES_READ_EVERY_S
                self._watches = await asyncio.to_thread(self._read_watches)
            await asyncio.sleep(WRITE_EVERY_S)

    def _flush(self) -> None:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        with self._lock, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO events (bundle, event) VALUES (?, ?)", taken)
            for bundle in {bundle for bundle, _ in taken}:
                self._database.execute(
                    "DELETE FROM events WHERE bundle = ? AND number <= (SELECT number FROM events WHERE bundle = ?"
                    " ORDER BY number DESC LIMIT 1 OFFSET ?)",
                    (bundle, bundle, EVENTS_A_BUNDLE_MAX),
                )
            self._database.execute(
                "DELETE FROM events WHERE number <= (SELECT MAX(number) FROM events) - ?", (EVENTS_MAX,)
            )
            self._database.execute("COMMIT")

    def _read_watches(self) -> dict[str, int]:
        with self._lock:
            rows = self._database.execute(
                "SELECT bundle, MAX(expires_ms) FROM watches WHERE expires_ms > ? GROUP BY bundle",
                (round(time.time() * 1000),),
            ).fetchall()
        return dict(rows)

    # What the control plane does

    def last_number(self) -> int:
        with self._lock:
            row = self._database.execute("SELECT MAX(number) FROM events").fetchone()
        return row[0] or 0

    def events_after(self, bundle: str, number: int, *, limit: int) -> list[Event]:
        """The oldest of those that came after event `number`."""
        with self._lock:
            rows = self._database.execute(
                "SELECT number, event FROM events WHERE bundle = ? AND number > ? ORDER BY number LIMIT ?",
                (bundle, number, limit),
            ).fetchall()
        return [Event(number, orjson.loads(document)) for number, document in rows]

    def last_events(self, bundle: str, *, limit: int) -> list[Event]:
        """The newest, oldest first."""
        with self._lock:
            rows = self._database.execute(
                "SELECT number, event FROM events WHERE bundle = ? ORDER BY number DESC LIMIT ?", (bundle, limit)
            ).fetchall()
        return [Event(number, orjson.loads(document)) for number, document in reversed(rows)]

    def watch(self, watch_id: str, bundle: str, *, expires_ms: int, filters: bytes) -> None:
        """Until then every request of the bundle leaves an event, not only those that said something."""
        with self._lock:
            self._database.execute("DELETE FROM watches WHERE expires_ms <= ?", (round(time.time() * 1000),))
            self._database.execute(
                "INSERT INTO watches (id, bundle, expires_ms, filters) VALUES (?, ?, ?, ?)",
                (watch_id, bundle, expires_ms, filters),
            )

    def watched(self, watch_id: str) -> Watched | None:
        """None when there is no such watch or it is over."""
        with self._lock:
            row = self._database.execute(
                "SELECT bundle, filters FROM watches WHERE id = ? AND expires_ms > ?",
                (watch_id, round(time.time() * 1000)),
            ).fetchone()
        return Watched(*row) if row else None

    def end_watch(self, watch_id: str) -> None:
        with self._lock:
            self._database.execute("DELETE FROM watches WHERE id = ?", (watch_id,))


def encode_event(document: dict[str, Any]) -> bytes:
    """Within its bound: an event that is longer loses lines from its end, and says so."""
    encoded = orjson.dumps(document)
    if len(encoded) <= EVENT_BYTES_MAX:
        return encoded
    logs = document.get("logs")
    lines = [each for each in logs if isinstance(each, dict)] if isinstance(logs, list) else []
    short = [{**line, "message": [shortened(line.get("message"))]} for line in lines[:LINES_AN_EVENT_MAX]]
    while short and len(orjson.dumps({**document, "logs": short})) > EVENT_BYTES_MAX:
        short = short[: len(short) // 2]
    bounded = orjson.dumps({**document, "logs": short, "truncated": True})
    if len(bounded) <= EVENT_BYTES_MAX:
        return bounded
    return orjson.dumps({"outcome": document.get("outcome"), "logs": [], "exceptions": [], "truncated": True})


def shortened(message: object) -> str:
    return orjson.dumps(message).decode("utf-8", "replace")[:LINE_CHARACTERS_MAX]
