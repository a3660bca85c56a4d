"""`onehop check --repair`: mends what can be derived, and nothing else.

Routes and routing tables follow from records, so they are written again from them; rows that nothing names go; damaged
blobs are taken away, so that the next deploy is asked for their bytes. Records themselves can't be derived: those want
a backup.
"""

from dataclasses import dataclass

from asset_server.blobs import BlobStore
from control_plane.dual_write import rebuild_table
from onehop.check import damaged_blobs
from onehop.check_records import Names, RecordWalk
from onehop.check_report import CheckReport, Faults
from onehop.check_tables import TableWalk
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from router.hashed import live_ring, put_route


@dataclass(frozen=True, slots=True)
class Repaired:
    """Counts of what was done."""

    routes_written: int
    rows_removed: int
    blobs_removed: int
    tables_written: int


def repair(it: OpenedStore, blobs: BlobStore, report: CheckReport, *, watcher: Watcher) -> Repaired:
    """Walks the records again within the transaction that mends them: deploys wait, and none is undone."""
    removed = list(damaged_blobs(report))
    for key in removed:
        blobs.remove(key)
    with it.store.write() as transaction:
        keys = live_ring(transaction, it.keys)
        faults = Faults()
        tables = TableWalk(transaction, keys, it.names, faults, watcher)
        walk = RecordWalk(it, transaction, keys, Names(frozenset(), {}, None), faults, watcher, tables)
        walk.run()
        for wanted in walk.wanted_routes:
            put_route(transaction, it.keys, wanted.hostname, wanted.pipeline)
        for orphan in walk.orphans:
            transaction.delete(orphan.database, orphan.key)
        for site_no in tables.broken:
            rebuild_table(transaction, it.keys, it.names, walk.sites[site_no])
    return Repaired(len(walk.wanted_routes), len(walk.orphans), len(removed), len(tables.broken))
