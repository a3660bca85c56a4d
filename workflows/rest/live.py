"""An instance's events as they happen, as Server-Sent Events (HTML, 9.2): what was, from an id on, then what comes.

    id: 41
    event: step_completed
    data: {"instanceId":"my-1","eventId":41,"timestamp":…,"type":"step_completed","stepName":"charge-1","output":…}

A row of the log is committed with the change that it tells of, so no reader is ahead of the store. One look at the
database's own change counter serves all subscribers; nobody asked, nobody looks.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

import orjson
from starlette.responses import StreamingResponse

from workflows.desk import Desk
from workflows.rest.errors import too_many
from workflows.store.connection import open_reader, translated
from workflows.store.log_feed import FeedEvent
from workflows.store.reads import Reads
from workflows.store.records import InstanceRecord, WorkflowRecord

POLL_S: Final = 0.2
HEARTBEAT_S: Final = 15.0
SUBSCRIBERS_MAX: Final = 200
RETRY_MS: Final = 2000
HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-accel-buffering": "no",  # proxies that would hold events back are asked not to
}

Ask = Callable[[Reads], "Seen"]
Seen = tuple[list[FeedEvent], bool]
"""Events, and whether more can come."""


class Watch:
    """Tells of commits, by whichever process. `end` lets every stream end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._connection: sqlite3.Connection | None = None
        self._version = 0
        self._changed = asyncio.Event()
        self._is_ended = False
        self._subscribers_count = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def version(self) -> int:
        return self._version

    @property
    def is_ended(self) -> bool:
        return self._is_ended

    def refuse_crowd(self) -> None:
        """Raises ApiError where there are too many subscribers already."""
        if self._subscribers_count >= SUBSCRIBERS_MAX:
            raise too_many(f"there are {SUBSCRIBERS_MAX} subscribers already; close one")

    @asynccontextmanager
    async def subscribing(self) -> AsyncIterator[None]:
        self._subscribers_count += 1
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="watch of the workflow store")
            yield
        finally:
            self._subscribers_count -= 1

    async def changed(self, since: int, *, wait_s: float) -> None:
        """Until something was committed after `version` was `since`; at most `wait_s`."""
        if self._version != since or self._is_ended:
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._changed.wait()
        except TimeoutError:
            return

    def end(self) -> None:
        self._is_ended = True
        self._tell()

    async def close(self) -> None:
        self.end()
        if self._looking is not None:
            await asyncio.wait([self._looking])

    async def _look(self) -> None:
        """While anyone subscribes."""
        await self._desk.client()
        with translated(self._desk.path):
            connection = open_reader(self._desk.path)
            try:
                last = -1
                while self._subscribers_count and not self._is_ended:
                    (counter,) = connection.execute("PRAGMA data_version").fetchone()
                    if counter != last:
                        last = counter
                        self._tell()
                    await asyncio.sleep(POLL_S)
            finally:
                connection.close()

    def _tell(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()


def stream_instance(
    desk: Desk, watch: Watch, record: WorkflowRecord, instance: InstanceRecord, *, after: int, types: Collection[str]
) -> StreamingResponse:
    """Ends after the event that ended the instance, also where `types` hides it (empty: all are shown)."""

    def ask_after(after: int) -> Ask:
        def ask(reads: Reads) -> Seen:
            events = reads.feed(instance.seq, after=after)
            now = reads.instance(record.id, instance.id) if not events else instance
            return events, now is not None and now.seq == instance.seq and (bool(events) or not now.status.is_terminal)

        return ask

    async def lines() -> AsyncIterator[bytes]:
        last = after
        yield b"retry: %d\n\n" % RETRY_MS
        async with watch.subscribing():
            while not watch.is_ended:
                version = watch.version
                events, can_go_on = await desk.read(ask_after(last))
                for event in events:
                    last = event.id
                    if not types or event.type in types:
                        yield render_event(event, instance.id)
                    can_go_on = can_go_on and not event.is_terminal
                if not can_go_on:
                    break
                if not events:
                    await watch.changed(version, wait_s=HEARTBEAT_S)
                    yield b":\n\n"
        yield b"event: end\ndata: {}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers=HEADERS)


def stream_changes(watch: Watch) -> StreamingResponse:
    """Tells that something changed, without saying what: for a page that then asks again."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"retry: %d\n\n" % RETRY_MS
        async with watch.subscribing():
            version = watch.version
            while not watch.is_ended:
                await watch.changed(version, wait_s=HEARTBEAT_S)
                yield b"event: change\ndata: {}\n\n" if watch.version != version else b":\n\n"
                version = watch.version

    return StreamingResponse(lines(), media_type="text/event-stream", headers=HEADERS)


def render_event(event: FeedEvent, instance_id: str) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.id, event.type.encode("ascii"), orjson.dumps(event.document(instance_id)),
    )  # fmt: skip
