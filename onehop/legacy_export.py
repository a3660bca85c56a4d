"""A site's table and what it leads to, as files that `onehop legacy import` takes in again."""

from collections.abc import Iterable

import orjson

from router.kv.snapshot import Snapshot
from router.legacy import read_pipeline
from router.legacy_table import parse_table


def render_pipelines(snapshot: Snapshot, site_no: int, table: bytes) -> bytes:
    """The pipelines that the table's script hashes name. Raises TableRefused, TableUnusable."""
    return render_named(snapshot, site_no, {each.script_hash for each in parse_table(table)})


def render_named(snapshot: Snapshot, site_no: int, script_hashes: Iterable[str]) -> bytes:
    """Raises TableUnusable."""
    named = {each: orjson.loads(read_pipeline(snapshot, site_no, each).encode()) for each in sorted(script_hashes)}
    return orjson.dumps({"pipelines": named, "v": 1})
