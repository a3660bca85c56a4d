"""What a site's table leads to, as a file that `onehop legacy import` takes in again."""

from collections.abc import Iterable

import orjson

from router.kv.snapshot import Snapshot
from router.legacy import read_pipeline


def render_named(snapshot: Snapshot, site_no: int, script_hashes: Iterable[str]) -> bytes:
    """Raises TableUnusable."""
    named = {each: orjson.loads(read_pipeline(snapshot, site_no, each).encode()) for each in sorted(script_hashes)}
    return orjson.dumps({"pipelines": named, "v": 1})
