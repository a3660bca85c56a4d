"""Buckets: every file in one, none over its limits."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from onehop.upload_plan import BUCKET_BYTES_MAX, BUCKET_FILES_MAX, plan_buckets


@dataclass(frozen=True)
class File:
    number: int
    size_bytes: int


def files(sizes: list[int]) -> list[File]:
    return [File(number, size) for number, size in enumerate(sizes)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 4096), st.integers(0, BUCKET_BYTES_MAX * 2)), max_size=60))
def test_every_file_is_in_one_bucket_within_limits(sizes: list[int]) -> None:
    given_files = files(sizes)
    buckets = plan_buckets(given_files)
    assert sorted(each.number for bucket in buckets for each in bucket) == list(range(len(sizes)))
    for bucket in buckets:
        assert bucket
        assert len(bucket) <= BUCKET_FILES_MAX
        assert sum(each.size_bytes for each in bucket) <= BUCKET_BYTES_MAX or len(bucket) == 1


def test_many_small_files_are_split_by_count() -> None:
    buckets = plan_buckets(files([1] * (BUCKET_FILES_MAX * 3 + 1)))
    assert max(map(len, buckets)) <= BUCKET_FILES_MAX
    assert sum(map(len, buckets)) == BUCKET_FILES_MAX * 3 + 1


def test_a_few_files_travel_in_parallel() -> None:
    assert len(plan_buckets(files([10, 10, 10]))) == 3


def test_nothing_needs_no_bucket() -> None:
    assert plan_buckets([]) == []
