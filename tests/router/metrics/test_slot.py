"""Slots: what a process counted outlives it, is counted once, and is nobody else's."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from router.metrics.catalogue import CONNECTIONS, CONNECTIONS_OPENED, DECISION_HITS, cell
from router.metrics.reading import read_metrics
from router.metrics.slot import HEADER, SLOT_BYTES, held_slot, read_slots, take_slot
from tests.real_parts import small_disk

HITS = cell(DECISION_HITS)
OPEN = cell(CONNECTIONS)

COUNTER_PROGRAM = textwrap.dedent("""
    import signal, sys
    from pathlib import Path
    from router.metrics.slot import held_slot

    with held_slot(Path(sys.argv[1]), "edge 1") as cells:
        for _ in range(int(sys.argv[2])):
            cells[int(sys.argv[3])] += 1
        print("counted", flush=True)
        signal.pause()
""")


def counting_process(folder: Path, count: int) -> "subprocess.Popen[str]":
    """Has counted that many hits, and holds its slot."""
    command = [sys.executable, "-c", COUNTER_PROGRAM, str(folder), str(count), str(HITS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def hits(folder: Path) -> int:
    return read_metrics(folder).count(DECISION_HITS)


def test_the_next_holder_counts_on(tmp_path: Path) -> None:
    for _ in range(3):
        with held_slot(tmp_path, "edge 1") as cells:
            cells[HITS] += 5
    assert hits(tmp_path) == 15
    assert len(read_slots(tmp_path)) == 1


def test_two_holders_at_once_have_a_slot_each_and_add_up(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as one, held_slot(tmp_path, "edge 2") as two:
        one[HITS] += 1
        two[HITS] += 2
        assert [slot.role for slot in read_slots(tmp_path)] == ["edge 1", "edge 2"]
        assert hits(tmp_path) == 3


def test_a_killed_process_loses_no_count_and_its_heir_repeats_none(tmp_path: Path) -> None:
    total = 0
    for count in (100, 1, 1_000):
        process = counting_process(tmp_path, count)
        total += count
        assert [slot.is_alive for slot in read_slots(tmp_path)] == [True]
        end(process)
        assert hits(tmp_path) == total
        assert [slot.is_alive for slot in read_slots(tmp_path)] == [False]


def test_an_heir_that_comes_while_its_forerunner_drains_takes_another_slot(tmp_path: Path) -> None:
    first, second = counting_process(tmp_path, 10), counting_process(tmp_path, 20)
    try:
        assert hits(tmp_path) == 30
        assert {slot.pid for slot in read_slots(tmp_path) if slot.is_alive} == {first.pid, second.pid}
    finally:
        end(first)
        end(second)


def test_a_stopped_process_is_alive_and_keeps_its_slot(tmp_path: Path) -> None:
    process = counting_process(tmp_path, 1)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        with held_slot(tmp_path, "edge 2") as cells:
            cells[HITS] += 1
            assert len(read_slots(tmp_path)) == 2
    finally:
        end(process)


def test_gauges_begin_at_zero_with_each_holder(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as cells:
        cells[OPEN] += 7
    with held_slot(tmp_path, "edge 1") as cells:
        assert cells[OPEN] == 0


def test_another_releases_cells_are_never_taken_for_ours(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as cells:
        cells[HITS] += 5
    file = next(tmp_path.iterdir())
    content = bytearray(file.read_bytes())
    content[8] ^= 1  # of the layout's id
    file.write_bytes(content)
    assert read_slots(tmp_path) == []
    with held_slot(tmp_path, "edge 1"):
        assert hits(tmp_path) == 0


@pytest.mark.parametrize("content", [b"", b"x" * 10, b"\xff" * SLOT_BYTES, b"\xff" * (SLOT_BYTES + 9)])
def test_a_file_of_anything_is_passed_over_by_readers_and_made_good_by_a_holder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0000.cells").write_bytes(content)
    assert read_slots(tmp_path) == []
    with held_slot(tmp_path, "edge 1") as cells:
        cells[HITS] += 1
        assert hits(tmp_path) == 1


def test_a_folder_that_is_not_there_has_counted_nothing(tmp_path: Path) -> None:
    assert hits(tmp_path / "absent") == 0


def test_only_its_owner_may_read_a_slot(tmp_path: Path) -> None:
    with held_slot(tmp_path / "metrics", "edge 1"):
        assert (tmp_path / "metrics").stat().st_mode & 0o077 == 0
        assert next((tmp_path / "metrics").iterdir()).stat().st_mode & 0o077 == 0


def test_a_slots_blocks_are_on_disk_before_it_is_mapped(tmp_path: Path) -> None:
    os.close(take_slot(tmp_path))
    assert next(tmp_path.iterdir()).stat().st_blocks * 512 >= SLOT_BYTES


def test_a_full_disk_costs_the_metrics_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_bytes=256 * 1024) as disk:
        with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        with capture_logs() as logs, held_slot(disk / "metrics", "edge 1") as cells:
            cells[HITS] += 1
    assert [entry["event"] for entry in logs] == ["metrics.unshared"]


def test_a_role_longer_than_its_field_is_cut(tmp_path: Path) -> None:
    with held_slot(tmp_path, "x" * 100):
        assert read_slots(tmp_path)[0].role == "x" * 32
    assert HEADER.size == 64


def test_a_counter_with_labels_keeps_to_its_series(tmp_path: Path) -> None:
    with held_slot(tmp_path, "edge 1") as cells:
        cells[cell(CONNECTIONS_OPENED, "api")] += 1
    reading = read_metrics(tmp_path)
    assert (reading.count(CONNECTIONS_OPENED, listener="api"), reading.count(CONNECTIONS_OPENED)) == (1, 1)
    assert reading.count(CONNECTIONS_OPENED, listener="edge") == 0
