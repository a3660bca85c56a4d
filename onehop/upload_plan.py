"""Which files travel together: missing files into buckets of bounded size and count. Pure.

Buckets are smaller than wrangler's (40 MiB, 2,000 files): what a failed request costs is one bucket, and progress
moves by buckets.
"""

import heapq
from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

BUCKET_BYTES_MAX: Final = 16 * 1024 * 1024  # of raw bytes; base64 makes a third more of them
BUCKET_FILES_MAX: Final = 1_000
PARALLEL_UPLOADS: Final = 3


class Sized(Protocol):
    """What has a size."""

    @property
    def size_bytes(self) -> int: ...


SizedT = TypeVar("SizedT", bound=Sized)


def plan_buckets(files: Sequence[SizedT]) -> list[list[SizedT]]:
    """Every file in one bucket; a file larger than a bucket gets one of its own. Largest first, each into the emptiest
    bucket, so that parallel requests end at about the same time."""
    total_bytes = sum(each.size_bytes for each in files)
    count = max(-(-total_bytes // BUCKET_BYTES_MAX), -(-len(files) // BUCKET_FILES_MAX))
    buckets: list[list[SizedT]] = [[] for _ in range(max(count, min(PARALLEL_UPLOADS, len(files))))]
    emptiest = [(0, number) for number in range(len(buckets))]
    for each in sorted(files, key=lambda file: -file.size_bytes):
        size_bytes, number = heapq.heappop(emptiest) if emptiest else (0, len(buckets))
        if size_bytes and size_bytes + each.size_bytes > BUCKET_BYTES_MAX:
            heapq.heappush(emptiest, (size_bytes, number))  # it stays open for smaller files
            size_bytes, number = 0, len(buckets)
        if number == len(buckets):
            buckets.append([])
        buckets[number].append(each)
        if len(buckets[number]) < BUCKET_FILES_MAX:
            heapq.heappush(emptiest, (size_bytes + each.size_bytes, number))
    return [bucket for bucket in buckets if bucket]
