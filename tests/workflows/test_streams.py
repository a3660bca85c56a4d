"""Streamed step results: the spec's row of limits, "Streamed step result"."""

import asyncio
import contextlib
import io
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.flows import OpenEngine, described, flow, run_once, status_of, step_of
from workflows import Limits, StepContext, StoredStream, Workflow, WorkflowError, WorkflowEvent
from workflows.rest.documents import detail_document
from workflows.streams import CHUNK_BYTES, PIECE_BYTES_MAX, ChunkCutter
from workflows.testing import TestEngine

KIB = 1024
BODY = bytes(range(256)) * 4 * 700  # 700 KiB: two whole chunks and a part


async def pieces() -> AsyncIterator[bytes]:
    for start in range(0, len(BODY), 100_000):
        yield BODY[start : start + 100_000]
        await asyncio.sleep(0)


def plain_pieces() -> Iterator[bytearray]:
    for start in range(0, len(BODY), 100_000):
        yield bytearray(BODY[start : start + 100_000])


async def async_callback_of_a_generator() -> AsyncIterator[bytes]:
    return pieces()


def rows(engine: TestEngine) -> list[tuple[int, int]]:
    """(chunks, streams that are an instance's) in the store."""
    with closing(sqlite3.connect(engine.writer.path)) as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM streams WHERE instance_seq NOT NULL)"
        ).fetchall()


async def run_past_first_timeout(engine: TestEngine, workflow: Any, *, chunks_count: int) -> Any:
    """The first attempt's second is over once it has stored so many chunks."""
    handle = await engine.create(workflow, id="one")
    while rows(engine) != [(chunks_count, 1)]:
        await asyncio.sleep(0.001)
    engine.virtual.move_to(engine.virtual.now_ms() + 1000)
    await engine.advance("1 second")
    return await handle.result(timeout=5)


def streaming(make: Callable[..., Any], **config: Any) -> Any:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        stream = await step.do("s", config or None, make)
        assert isinstance(stream, StoredStream)
        return [stream.size, len(await stream.read())]

    return flow(body)


def test_pieces_of_any_size_become_chunks_of_256_kib() -> None:
    for size in (1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7):
        cutter = ChunkCutter()
        body = BODY[: 40 * KIB] if size == 1 else BODY * 2
        cut = [chunk for at in range(0, len(body), size) for chunk in cutter.cut(memoryview(body)[at : at + size])]
        assert {len(chunk) for chunk in cut} <= {CHUNK_BYTES}
        assert b"".join([*cut, cutter.rest()]) == body
        assert len(cutter.rest()) < CHUNK_BYTES


@pytest.mark.parametrize(
    "make",
    [pieces, async_callback_of_a_generator, plain_pieces, lambda: iter([BODY]), lambda: io.BytesIO(BODY)],
    ids=["async-generator", "async-callback", "generator", "iterator", "file"],
)
async def test_streamed_result_is_stored_in_chunks_and_read_back(
    open_engine_here: OpenEngine, make: Callable[[], Any]
) -> None:
    seen: list[Any] = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        stream = await step.do("s", make)
        seen.append([len(chunk) async for chunk in stream])
        seen.append(await stream.read() == BODY)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    assert seen == [[CHUNK_BYTES, CHUNK_BYTES, len(BODY) - 2 * CHUNK_BYTES], True]
    assert rows(engine) == [(3, 1)]


async def test_streamed_result_of_a_file_is_read_and_the_file_closed(
    open_engine_here: OpenEngine, tmp_path: Path
) -> None:
    (tmp_path / "body").write_bytes(BODY)
    files: list[Any] = []

    def opened() -> Any:
        files.append((tmp_path / "body").open("rb"))
        return files[-1]

    workflow = streaming(opened)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == [len(BODY), len(BODY)]
    assert files[0].closed


async def test_empty_stream_is_a_result(open_engine_here: OpenEngine) -> None:
    workflow = streaming(lambda: iter(()))
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == [0, 0]


async def test_replay_gives_a_fresh_reader_and_calls_nothing(open_engine_here: OpenEngine) -> None:
    calls: list[int] = []
    read: list[list[bytes]] = []

    def make() -> Iterator[bytes]:
        calls.append(1)
        return plain_pieces()

    async def body(event: WorkflowEvent, step: Any) -> None:
        stream = await step.do("s", make)
        await step.sleep("long", "1 day")
        read.append(list(await asyncio.gather(stream.read(), stream.read())))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    assert len(calls) == 1
    assert read == [[BODY, BODY]]


async def test_plain_run_reads_by_iterating(open_engine_here: OpenEngine) -> None:
    class Plain(Workflow):
        name = "flow"

        def run(self, event: WorkflowEvent, step: Any) -> Any:  # type: ignore[override]
            return len(b"".join(step.do("s", plain_pieces)))

    engine = await open_engine_here(Plain)
    assert await run_once(engine, Plain) == len(BODY)


async def test_stored_stream_of_another_step_is_copied(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        first = await step.do("a", pieces)
        second = await step.do("b", lambda: first)
        return await second.read() == BODY

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) is True
    assert rows(engine) == [(6, 2)]


def begun() -> Iterator[bytes]:
    generator = plain_pieces()
    next(generator)
    return generator  # type: ignore[return-value]


async def begun_async() -> AsyncIterator[bytes]:
    generator = pieces()
    await anext(generator)
    return generator


def closed_file() -> io.BytesIO:
    file = io.BytesIO(BODY)
    file.close()
    return file


def written_file() -> io.BytesIO:
    file = io.BytesIO()
    file.write(b"x" * 10)
    return file


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (begun, "already begun"),
        (begun_async, "already begun"),
        (closed_file, "closed"),
        (written_file, r"byte 10 .*seek\(0\)"),
        (lambda: (n for n in range(3)), "stream of int"),
        (lambda: iter(["text"]), "stream of str"),
        (lambda: io.StringIO("text"), "StringIO"),
        (
            lambda: iter([bytes(PIECE_BYTES_MAX + 1)]),
            f"{PIECE_BYTES_MAX + 1} bytes can't be stored, limit {PIECE_BYTES_MAX}",
        ),
    ],
)
async def test_locked_used_oversized_or_non_byte_stream_errors_the_instance(
    open_engine_here: OpenEngine, make: Callable[[], Any], why: str
) -> None:
    calls: list[int] = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        def counted() -> Any:
            calls.append(1)
            return make()

        try:
            await step.do("s", counted)
        except Exception:  # noqa: BLE001 - it can't be caught
            return

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(Exception, match=why):
        await run_once(engine, workflow)
    assert status_of(engine, workflow) == "errored"
    assert len(calls) == 1
    await engine.collect()
    assert rows(engine) == [(0, 0)]


async def test_stream_that_raises_is_an_attempt_that_failed(open_engine_here: OpenEngine) -> None:
    async def breaks_once(ctx: StepContext) -> AsyncIterator[bytes]:
        return cut(ctx.attempt)

    async def cut(attempt: int) -> AsyncIterator[bytes]:
        yield BODY
        if attempt == 1:
            raise OSError("the line is cut")

    workflow = streaming(breaks_once, retries={"limit": 1, "delay": 10})
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == [len(BODY), len(BODY)]
    assert [attempt.is_success for attempt in step_of(engine, workflow, "s").attempts] == [False, True]
    await engine.collect()
    assert rows(engine) == [(3, 1)]


async def test_stream_that_stalls_is_cut_off_by_the_attempts_timeout(open_engine_here: OpenEngine) -> None:
    ended = asyncio.Event()

    async def stalls(attempt: int) -> AsyncIterator[bytes]:
        try:
            yield BODY
            if attempt == 1:
                await asyncio.Event().wait()
        finally:
            ended.set()

    workflow = streaming(lambda ctx: stalls(ctx.attempt), timeout="1 second", retries={"limit": 1, "delay": 10})
    engine = await open_engine_here(workflow)
    assert await run_past_first_timeout(engine, workflow, chunks_count=2) == [len(BODY), len(BODY)]
    assert ended.is_set()
    errors = [attempt.error.name for attempt in step_of(engine, workflow, "s").attempts if attempt.error]
    assert errors == ["WorkflowTimeoutError"]
    await engine.collect()
    assert rows(engine) == [(3, 1)]


async def test_streams_count_into_the_instances_bytes(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("a", pieces)
        await step.sleep("long", "1 day")
        await step.do("b", pieces)

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    assert 0 <= described(engine, workflow).instance.state_bytes - 2 * len(BODY) < 200
    assert engine.reads.gauges().state_bytes == described(engine, workflow).instance.state_bytes


async def test_stream_past_the_state_limit_errors_the_instance_and_names_the_limit(
    open_engine_here: OpenEngine,
) -> None:
    workflow = streaming(lambda: iter(lambda: BODY, b""))  # without end
    engine = await open_engine_here(workflow, limits=Limits(state_bytes=2 << 20))
    with pytest.raises(Exception, match=str(2 << 20)):
        await run_once(engine, workflow)
    assert status_of(engine, workflow) == "errored"


@pytest.mark.parametrize("how", ["delete", "restart", "restart-from", "retention"])
async def test_stream_goes_with_its_instance(open_engine_here: OpenEngine, how: str) -> None:
    streams: list[StoredStream] = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        streams.append(await step.do("s", pieces))

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    handle = await engine.get(workflow, "one")
    match how:
        case "delete":
            await handle.delete()
        case "restart":
            await handle.restart()
        case "restart-from":
            await handle.restart(from_={"name": "s"})
        case _:
            await engine.advance("31 days")
    await engine.settle()
    with pytest.raises(WorkflowError, match="restarted, or deleted"):
        await streams[0].read()
    await engine.collect()
    assert rows(engine) == [(3, 1) if how.startswith("restart") else (0, 0)]


async def test_late_chunk_of_an_attempt_that_is_over_is_refused(open_engine_here: OpenEngine) -> None:
    async def stubborn(attempt: int) -> AsyncIterator[bytes]:
        if attempt == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        for _ in range(3):
            yield BODY

    workflow = streaming(lambda ctx: stubborn(ctx.attempt), timeout="1 second", retries={"limit": 1, "delay": 10})
    engine = await open_engine_here(workflow)
    assert await run_past_first_timeout(engine, workflow, chunks_count=0) == [3 * len(BODY)] * 2
    await engine.collect()
    assert rows(engine) == [(-(-3 * len(BODY) // CHUNK_BYTES), 1)]


async def test_api_and_log_show_a_stream_by_its_size(open_engine_here: OpenEngine) -> None:
    workflow = streaming(pieces)
    engine = await open_engine_here(workflow)
    await run_once(engine, workflow)
    detail = described(engine, workflow)
    assert detail_document(detail)["steps"][0]["output"] == f"[stream({len(BODY)} bytes)]"
    (told,) = [event for event in engine.reads.feed(detail.instance.seq) if event.type == "step_completed"]
    assert told.fields["output"] == f"[stream({len(BODY)} bytes)]"


async def test_value_that_looks_like_a_mark_stays_a_value(open_engine_here: OpenEngine) -> None:
    async def body(event: WorkflowEvent, step: Any) -> Any:
        return await step.do("s", lambda: {"$": "stream", "v": [1, 1, 1]})

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    assert await run_once(engine, workflow) == {"$": "stream", "v": [1, 1, 1]}


async def test_rollback_is_given_the_stream(open_engine_here: OpenEngine) -> None:
    sizes: list[int] = []

    async def body(event: WorkflowEvent, step: Any) -> None:
        await step.do("s", pieces, rollback=lambda given: sizes.append(len(b"".join(given.output))))
        raise ValueError("no")

    workflow = flow(body)
    engine = await open_engine_here(workflow)
    with pytest.raises(ValueError, match="no"):
        await run_once(engine, workflow)
    assert sizes == [len(BODY)]


async def test_test_may_stand_in_with_a_stream(open_engine_here: OpenEngine) -> None:
    workflow = streaming(pieces)
    engine = await open_engine_here(workflow)
    engine.introspect(workflow, "one").mock_step_result("s", iter([b"abc"]))
    assert await run_once(engine, workflow) == [3, 3]


async def test_worker_that_lost_its_lease_adds_no_chunk(open_engine_here: OpenEngine) -> None:
    goes_on = asyncio.Event()

    async def halts(attempt: int) -> AsyncIterator[bytes]:
        yield BODY
        if attempt == 1:
            await goes_on.wait()
        yield BODY

    workflow = streaming(lambda ctx: halts(ctx.attempt))
    engine = await open_engine_here(workflow)
    handle = await engine.create(workflow, id="one")
    while rows(engine) != [(2, 1)]:
        await asyncio.sleep(0.001)
    with closing(sqlite3.connect(engine.writer.path)) as connection, connection:
        connection.execute("DELETE FROM workers")
    goes_on.set()
    while len(step_of(engine, workflow, "s").attempts) < 2:
        await engine.advance("10 seconds")
    assert await handle.result(timeout=5) == [2 * len(BODY)] * 2
    await engine.collect()
    assert rows(engine) == [(-(-2 * len(BODY) // CHUNK_BYTES), 1)]
