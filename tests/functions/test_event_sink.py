"""What functions said: kept in order, bounded, and told apart by bundle."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from functions.event_sink import EVENT_BYTES_MAX, EVENTS_A_BUNDLE_MAX, EventSink, encode_event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "functions" / "events.sqlite"


@pytest.fixture
def sink(path: Path) -> Iterator[EventSink]:
    with EventSink.opened(path) as opened:
        yield opened


async def noted(sink: EventSink, bundle: str, *events: dict[str, object]) -> None:
    sink.note(bundle, orjson.dumps(events))
    async with sink.writing():
        pass


async def test_events_are_read_by_bundle_in_their_order(sink: EventSink, path: Path) -> None:
    await noted(sink, "a", {"outcome": "ok", "n": 1}, {"outcome": "ok", "n": 2})
    await noted(sink, "b", {"outcome": "ok", "n": 3})
    with EventSink.opened(path) as reader:
        first, second = reader.last_events("a", limit=10)
        assert [first.document["n"], second.document["n"]] == [1, 2]
        assert [each.document["n"] for each in reader.events_after("a", first.number, limit=10)] == [2]
        assert reader.last_number() == 3


async def test_only_the_last_events_of_a_bundle_are_kept(sink: EventSink) -> None:
    for start in range(0, EVENTS_A_BUNDLE_MAX + 500, 500):
        await noted(sink, "loud", *({"n": start + index} for index in range(500)))
    await noted(sink, "quiet", {"n": -1})
    kept = sink.last_events("loud", limit=10 * EVENTS_A_BUNDLE_MAX)
    assert len(kept) == EVENTS_A_BUNDLE_MAX
    assert kept[-1].document["n"] == EVENTS_A_BUNDLE_MAX + 499
    assert len(sink.last_events("quiet", limit=10)) == 1


@pytest.mark.parametrize("events", [b"not json", b"{}", b"[1, null]"])
async def test_what_is_no_list_of_events_is_dropped(sink: EventSink, events: bytes) -> None:
    sink.note("a", events)
    async with sink.writing():
        pass
    assert sink.last_events("a", limit=10) == []


def test_an_event_that_is_too_long_loses_lines_and_says_so() -> None:
    long = {"outcome": "ok", "logs": [{"message": ["x" * 5000], "level": "log"} for _ in range(1000)], "exceptions": []}
    encoded = encode_event(long)
    assert len(encoded) <= EVENT_BYTES_MAX
    document = orjson.loads(encoded)
    assert document["truncated"] is True
    assert document["logs"]
    assert len(encode_event({"outcome": "x" * EVENT_BYTES_MAX * 2})) < EVENT_BYTES_MAX * 3


async def test_a_watch_is_seen_by_the_edge_until_it_ends(sink: EventSink, path: Path) -> None:
    expires_ms = round(time.time() * 1000) + 60_000
    with EventSink.opened(path) as control_plane:
        control_plane.watch("id", "bundle", expires_ms=expires_ms, filters=b"[]")
        async with sink.writing():
            async with asyncio.timeout(10):
                while sink.watched_until_ms("bundle") == 0:
                    await asyncio.sleep(0)
        assert sink.watched_until_ms("bundle") == expires_ms
        watched = control_plane.watched("id")
        assert watched is not None
        assert (watched.bundle, watched.filters) == ("bundle", b"[]")
        control_plane.end_watch("id")
        assert control_plane.watched("id") is None
