"""Rows gathered on disk come back whole, in key order, or not at all."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migration.runs import (
    MAGIC,
    PARTITIONS,
    RunBuilder,
    RunDamaged,
    claim_of,
    read_partition,
    site_no_of,
    sorted_rows,
)
from router.pipeline import Pipeline

MANIFEST = "6W0pZlHGtHJYMW0mGjB0oA"
KEYS = st.binary(min_size=16, max_size=16)
VALUES = st.binary(min_size=1, max_size=40)


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(KEYS, VALUES), max_size=30), min_size=1, max_size=3))
def test_all_rows_of_all_runs_come_back_in_key_order(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[bytes, bytes]]]
) -> None:
    folder, paths = tmp_path_factory.mktemp("runs"), []
    for number, rows in enumerate(runs):
        builder = RunBuilder()
        for key, value in rows:
            builder.add(key, value)
        builder.write(folder / f"{number}.run")
        paths.append(folder / f"{number}.run")
    read = [row for number in range(PARTITIONS) for row in sorted_rows(paths, [number])]
    assert read == sorted_rows(paths, range(PARTITIONS)) == sorted(key + value for rows in runs for key, value in rows)


def test_a_run_that_was_not_finished_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "1.new").write_bytes(MAGIC)
    assert sorted(tmp_path.glob("*.run")) == []


@pytest.mark.parametrize("cut_to", [0, 5, 100, -1])
def test_a_cut_file_is_said_to_be_damaged(tmp_path: Path, cut_to: int) -> None:
    builder = RunBuilder()
    builder.add(b"k" * 16, b"value")
    path = tmp_path / "1.run"
    builder.write(path)
    path.write_bytes(path.read_bytes()[:cut_to])
    with pytest.raises(RunDamaged):
        list(read_partition(path, ord("k")))


def test_bytes_that_were_changed_are_said_to_be_damaged(tmp_path: Path) -> None:
    builder = RunBuilder()
    builder.add(b"k" * 16, b"value")
    path = tmp_path / "1.run"
    builder.write(path)
    path.write_bytes(path.read_bytes().replace(b"value", b"other"))
    with pytest.raises(RunDamaged):
        list(read_partition(path, ord("k")))


@given(st.integers(1, 2**32 - 1), st.booleans())
def test_a_row_tells_whose_it_is(site_no: int, is_preview: bool) -> None:
    assert site_no_of(Pipeline(site_no, MANIFEST, is_preview=is_preview).encode()) == site_no
    assert site_no_of(claim_of(site_no)) == site_no
