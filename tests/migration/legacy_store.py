"""A data folder with sites that only their routing tables know, and a migration of it piece by piece."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from asset_server.blobs import BlobStore
from control_plane.clock import Clock
from migration.guard import Health
from migration.move import Mover
from migration.pacing import Hours, Pacer
from migration.progress import Control, Progress, State, read_progress
from migration.verify import SiteVerified, Verifier
from onehop.config import Config
from onehop.migration_parts import mover_of
from onehop.opened_store import OpenedStore, opened
from onehop.output import Unwatched
from onehop.prepared_folder import prepare
from onehop.seed import SeedPlan, seed
from router.kv.schema import SITE_NO, Database
from router.legacy_table import Filter, render_table


@dataclass(frozen=True)
class LegacyStore:
    """`it` is open; sites 1 to `sites` have tables."""

    it: OpenedStore
    mover: Mover

    def pacer(self, health: Health | None = None, *, hours: Hours | None = None) -> Pacer:
        pacer = Pacer(
            control=Control,
            health=(lambda: health) if health is not None else None,
            monotonic_s=time.monotonic,
            local_now=lambda: datetime.now(UTC),
            hours=hours,
        )
        pacer.begin()
        return pacer

    def migrate(self, job: str = "job") -> Progress:
        """All pieces in their order."""
        pacer = self.pacer()
        self.mover.begin(job, None)
        for chunk in self.mover.plan():
            self.mover.collect(chunk)
        return self.finish(pacer)

    def finish(self, pacer: Pacer) -> Progress:
        """From writing on."""
        for part in range(self.mover.begin_writing()):
            self.mover.write(part, pacer)
        for site_no in self.mover.changed_sites():
            self.mover.revisit(site_no, pacer)
        return self.mover.end(State.COMPLETE)

    def progress(self) -> Progress | None:
        with self.it.store.read() as snapshot:
            return read_progress(snapshot)

    def routes(self) -> dict[bytes, bytes]:
        with self.it.store.read() as snapshot:
            return dict(snapshot.scan(Database.ROUTES))

    def table(self, site_no: int) -> bytes:
        with self.it.store.read() as snapshot:
            return snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no)) or b""

    def put_table(self, site_no: int, table: bytes | list[Filter]) -> None:
        with self.it.store.write() as transaction:
            raw = table if isinstance(table, bytes) else render_table(table)
            transaction.put(Database.LEGACY_TABLES, SITE_NO.pack(site_no), raw)

    def verify(self, site_no: int) -> SiteVerified:
        with self.it.store.read() as snapshot:
            verified = Verifier(snapshot, self.it.keys, self.it.names).verify(site_no)
        assert verified is not None
        return verified


@contextmanager
def legacy_store(root: Path, *, sites: int = 3, deployments: int = 30) -> Iterator[LegacyStore]:
    folder = prepare(Config(data=root / "data"))
    with opened(folder) as it:
        plan = SeedPlan(sites, deployments, is_legacy_only=True)
        seed(it, BlobStore(folder.root), plan, clock=Clock(), watcher=Unwatched())
        yield LegacyStore(it, mover_of(it))
