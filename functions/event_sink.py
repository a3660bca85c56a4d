"""What functions say: console lines, exceptions and outcomes of each bundle, kept for a while, for whoever asks.

    edge workers → EventSink → one SQLite file → EventReader → `onehop functions logs`, `wrangler … tail`

One file for all workers of a machine, since each sees only its own share. All of it is bounded: events a bundle,
bytes an event, what waits to be written. What is over goes first: the oldest, then what can't be taken.
"""

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson

from functions.sqlite_file import SqliteFile

EVENT_BYTES_MAX: Final = 64 * 1024
EVENTS_A_BUNDLE_MAX: Final = 1_000
EVENTS_MAX: Final = 100_000
WAITING_MAX: Final = 2_000
WRITE_EVERY_S: Final = 0.1
WATCHES_READ_EVERY_S: Final = 1.0
LINES_AN_EVENT_MAX: Final = 200
LINE_CHARACTERS_MAX: Final = 8_192
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


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended of which the function itself can tell nothing, and what its visitor got."""

    text: str
    status: int = 500
    outcome: str = "exception"


class EventSink:
    """One process's way to the file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=WAITING_MAX)
        self._noted = asyncio.Event()
        self._watches: dict[str, int] = {}

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        file = SqliteFile(path, SCHEMA, synchronous="OFF")  # what a crash loses of it is only log
        try:
            yield cls(file)
        finally:
            file.close()

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
        self._noted.set()

    def note_ending(self, bundle: str, ending: Ending, *, url: str, method: str) -> None:
        """Of a function that didn't even start, say, or of one that was ended while it ran."""
        at_ms = now_ms()
        document = {
            "outcome": ending.outcome,
            "exceptions": [{"name": "Error", "message": ending.text, "timestamp": at_ms}],
            "logs": [],
            "eventTimestamp": at_ms,
            "event": {
                "request": {"url": url, "method": method, "headers": {}, "cf": {}},
                "response": {"status": ending.status},
            },
        }
        self._waiting.append((bundle, encode_event(document)))
        self._noted.set()

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
            self._noted.clear()
            if self._waiting:
                await asyncio.to_thread(self._flush)
            if time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + WATCHES_READ_EVERY_S
                self._watches = await asyncio.to_thread(self._read_watches)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._noted.wait(), WATCHES_READ_EVERY_S)
                await asyncio.sleep(WRITE_EVERY_S)  # what comes next is written with it

    def _flush(self) -> None:
        """What a disk that is full or broken doesn't take is lost: the requests that it tells of mustn't be."""
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        with suppress(sqlite3.Error, OSError), self._file.transaction() as transaction:
            transaction.run_many("INSERT INTO events (bundle, event) VALUES (?, ?)", taken)
            for bundle in {bundle for bundle, _ in taken}:
                transaction.run(
                    "DELETE FROM events WHERE bundle = ? AND number <= (SELECT number FROM events WHERE bundle = ?"
                    " ORDER BY number DESC LIMIT 1 OFFSET ?)",
                    (bundle, bundle, EVENTS_A_BUNDLE_MAX),
                )
            transaction.run("DELETE FROM events WHERE number <= (SELECT MAX(number) FROM events) - ?", (EVENTS_MAX,))

    def _read_watches(self) -> dict[str, int]:
        with suppress(sqlite3.Error, OSError):
            return dict(
                self._file.run(
                    "SELECT bundle, MAX(expires_ms) FROM watches WHERE expires_ms > ? GROUP BY bundle", (now_ms(),)
                )
            )
        return {}

    # What the control plane does

    def last_number(self) -> int:
        ((number,),) = self._file.run("SELECT MAX(number) FROM events")
        return number or 0

    def events_after(self, bundle: str, number: int, *, limit: int) -> list[Event]:
        """The oldest of those that came after event `number`."""
        rows = self._file.run(
            "SELECT number, event FROM events WHERE bundle = ? AND number > ? ORDER BY number LIMIT ?",
            (bundle, number, limit),
        )
        return [Event(number, orjson.loads(document)) for number, document in rows]

    def last_events(self, bundle: str, *, limit: int) -> list[Event]:
        """The newest, oldest first."""
        rows = self._file.run(
            "SELECT number, event FROM events WHERE bundle = ? ORDER BY number DESC LIMIT ?", (bundle, limit)
        )
        return [Event(number, orjson.loads(document)) for number, document in reversed(rows)]

    def watch(self, watch_id: str, bundle: str, *, expires_ms: int, filters: bytes) -> None:
        """Until then every request of the bundle leaves an event, not only those that said something."""
        with self._file.transaction() as transaction:
            transaction.run("DELETE FROM watches WHERE expires_ms <= ?", (now_ms(),))
            transaction.run(
                "INSERT INTO watches (id, bundle, expires_ms, filters) VALUES (?, ?, ?, ?)",
                (watch_id, bundle, expires_ms, filters),
            )

    def watched(self, watch_id: str) -> Watched | None:
        """None when there is no such watch or it is over."""
        rows = self._file.run(
            "SELECT bundle, filters FROM watches WHERE id = ? AND expires_ms > ?", (watch_id, now_ms())
        )
        return Watched(*rows[0]) if rows else None

    def end_watch(self, watch_id: str) -> None:
        self._file.run("DELETE FROM watches WHERE id = ?", (watch_id,))


def now_ms() -> int:
    """Unix time."""
    return round(time.time() * 1000)


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
