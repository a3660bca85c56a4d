"""An instance's events as they happen, as Server-Sent Events (HTML, 9.2): what was, from an id on, then what comes.

    id: 41
    event: step_completed
    data: {"instanceId":"my-1","eventId":41,"timestamp":…,"type":"step_completed","stepName":"charge-1","output":…}

A row of the log is committed with the change that it tells of, so no reader is ahead of the store. One look at the
database's own change counter serves all subscribers; nobody asked, nobody looks.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final

import orjson
from starlette.responses import StreamingResponse

from workflows.desk import Desk
from workflows.errors import StoreError
from workflows.rest.errors import too_many
from workflows.store.connection import open_reader, translated
from workflows.store.log_feed import FeedEvent
from workflows.store.reads import Reads
from workflows.store.records import InstanceRecord, WorkflowRecord

POLL_S: Final = 0.2
HEARTBEAT_S: Final = 15.0
SUBSCRIBERS_MAX: Final = 200
CHANGES_S: Final = 1.0
STREAM_S_MAX: Final = 900.0
RETRY_MS: Final = 2000
CHANGE: Final = b"event: change\ndata: {}\n\n"
END: Final = b"event: end\ndata: {}\n\n"
BEAT: Final = b":\n\n"
HEADERS: Final = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-accel-buffering": "no",  # proxies that would hold events back are asked not to
}

Admits = Callable[[], bool]
"""Whether whoever listens still may."""
Seen = tuple[list[FeedEvent], bool]
"""Events, and whether more can come."""


class Watch:
    """Tells of commits, by whichever process. `end` lets every stream end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
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

    @property
    def subscribers_count(self) -> int:
        return self._subscribers_count

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
        with contextlib.suppress(StoreError), translated(self._desk.path):  # the readers themselves say what is wrong
            await self._desk.client()
            with contextlib.closing(open_reader(self._desk.path)) as connection:
                last = -1
                while self._subscribers_count and not self._is_ended:
                    (counter,) = connection.execute("PRAGMA data_version").fetchone()
                    if counter != last:
                        last = counter
                        self._tell()
                    await asyncio.sleep(POLL_S)

    def _tell(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = asyncio.Event()


def stream_instance(
    desk: Desk, watch: Watch, record: WorkflowRecord, instance: InstanceRecord, *, after: int, types: Collection[str],
    may_go_on: Admits,
) -> StreamingResponse:  # fmt: skip
    """Ends after the event that ended the instance, also where `types` hides it (empty: all are shown). A stream that
    ends without saying so is to be taken up again."""

    async def lines() -> AsyncIterator[bytes]:
        last = after
        async with watch.subscribing():
            async for version in turns(watch, may_go_on):
                events, can_go_on = await desk.read(question(record, instance, last))
                while events:
                    for event in events:
                        last = event.id
                        if not types or event.type in types:
                            yield render_event(event, instance.id)
                    if events[-1].is_terminal:
                        yield END
                        return
                    if not may_go_on():
                        return
                    events, can_go_on = await desk.read(question(record, instance, last))
                if not can_go_on:
                    yield END
                    return
                yield BEAT
                await watch.changed(version, wait_s=HEARTBEAT_S)

    return stream(lines())


def stream_instance_changes(
    desk: Desk, watch: Watch, record: WorkflowRecord, instance: InstanceRecord, *, may_go_on: Admits
) -> StreamingResponse:
    """Tells that this instance changed, without saying how: for a page that then asks again. Ends when it is gone."""

    def ask(reads: Reads) -> tuple[int, int | None] | None:
        now = reads.instance(record.id, instance.id)
        if now is None or now.seq != instance.seq:
            return None
        return now.modified_on, reads.last_event_id(now.seq)

    async def lines() -> AsyncIterator[bytes]:
        before = await desk.read(ask)
        async with watch.subscribing():
            async for version in turns(watch, may_go_on):
                now = await desk.read(ask)
                yield CHANGE if now != before else BEAT
                if now is None:
                    return
                before = now
                await watch.changed(version, wait_s=HEARTBEAT_S)

    return stream(lines())


def stream_changes(watch: Watch, *, may_go_on: Admits) -> StreamingResponse:
    """Tells that anything changed, at most once a while: for pages that show many instances."""

    async def lines() -> AsyncIterator[bytes]:
        before = watch.version
        async with watch.subscribing():
            async for version in turns(watch, may_go_on):
                yield CHANGE if version != before else BEAT
                before = version
                await asyncio.sleep(CHANGES_S)
                await watch.changed(version, wait_s=HEARTBEAT_S)

    return stream(lines())


async def turns(watch: Watch, may_go_on: Admits) -> AsyncIterator[int]:
    """The watch's version, for as long as a stream may last: then whoever listens comes again, with a token. One whose
    token was revoked meanwhile is told nothing more."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + STREAM_S_MAX
    while not watch.is_ended and loop.time() < ends_s and may_go_on():
        yield watch.version


def question(record: WorkflowRecord, instance: InstanceRecord, after: int) -> Callable[[Reads], Seen]:
    def ask(reads: Reads) -> Seen:
        events = reads.feed(instance.seq, after=after)
        if events:
            return events, True
        now = reads.instance(record.id, instance.id)
        return [], now is not None and now.seq == instance.seq and not now.status.is_terminal

    return ask


def stream(lines: AsyncIterator[bytes]) -> StreamingResponse:
    async def whole() -> AsyncIterator[bytes]:
        yield b"retry: %d\n\n" % RETRY_MS
        async for line in lines:
            yield line

    return StreamingResponse(whole(), media_type="text/event-stream", headers=HEADERS)


def render_event(event: FeedEvent, instance_id: str) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.id, event.type.encode("ascii"), orjson.dumps(event.document(instance_id)),
    )  # fmt: skip
