"""What comes after a migration: comparing both schemes whole, and dropping the tables that nobody needs any more."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from migration.cleanup import CleanupRefused, Dropped, drop_table_of, refusal, script_hashes
from migration.move import table_sizes
from migration.verify import Difference, SiteVerified, Verifier, known_difference, note_verified
from onehop.errors import CommandFailed
from onehop.legacy_export import render_named
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from router.kv.snapshot import Snapshot
from router.legacy import TableUnusable
from router.policy_record import read_policy
from router.records import Site

NOTED_AT_ONCE: Final = 500
DIFFERENCES_LISTED_MAX: Final = 1_000


class ExportFailed(CommandFailed):
    """Tables can't be kept where they were to be; none is dropped that isn't."""


@dataclass(slots=True)
class VerifyReport:
    """Counts of sites and hosts; `differences` are the first of `differences_count`."""

    sites: int = 0
    sites_sound: int = 0
    hosts_same: int = 0
    hosts_newer: int = 0
    differences_count: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, site: SiteVerified) -> None:
        self.sites += 1
        self.sites_sound += site.is_sound
        self.hosts_same += site.same
        self.hosts_newer += site.newer
        self.differences_count += site.differences_count
        self.differences += site.differences[: DIFFERENCES_LISTED_MAX - len(self.differences)]


def verify_sites(it: OpenedStore, site_nos: Iterable[int] | None, watcher: Watcher) -> VerifyReport:
    """Each site in a snapshot of its own; None: every site with a table. What verifies is remembered."""
    report = VerifyReport()
    with it.store.read() as snapshot:
        numbers = list(site_nos) if site_nos is not None else [number for number, _ in table_sizes(snapshot)]
    watcher.begin("comparing both schemes", len(numbers))
    noted: list[SiteVerified] = []
    for number in numbers:
        with it.store.read() as snapshot:
            verified = Verifier(snapshot, it.keys, it.names).verify(number)
        watcher.advance()
        if verified is None:
            continue
        report.add(verified)
        noted.append(verified)
        if len(noted) >= NOTED_AT_ONCE:
            note(it, noted)
            noted = []
    note(it, noted)
    return report


def note(it: OpenedStore, noted: list[SiteVerified]) -> None:
    if noted:
        with it.store.write() as transaction:
            for verified in noted:
                note_verified(transaction, verified)


@dataclass(slots=True)
class CleanupReport:
    """What was dropped, or would be; and why others keep their tables, by site number."""

    dropped: list[Dropped] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)


def cleanup_candidates(it: OpenedStore) -> tuple[list[int], dict[int, str]]:
    """Sites whose tables may go; and the others with their reasons."""
    with it.store.read() as snapshot:
        policy = read_policy(snapshot)
        reasons = {number: refusal(snapshot, policy, number) for number, _ in table_sizes(snapshot)}
        for number in [number for number, reason in reasons.items() if reason is not None]:
            if (found := known_difference(snapshot, number)) is not None:
                reasons[number] = f"it doesn't verify: {found}; 'onehop migrate verify' names all of them"
    free = [number for number, reason in reasons.items() if reason is None]
    return free, {number: reason for number, reason in reasons.items() if reason is not None}


def clean_up(it: OpenedStore, site_nos: Iterable[int], kept_in: Path, watcher: Watcher) -> CleanupReport:
    """A transaction a site, after its table and pipelines lie in `kept_in`, synced. Raises ExportFailed."""
    report = CleanupReport()
    numbers = list(site_nos)
    export = exporter(kept_in)
    watcher.begin("dropping tables", len(numbers))
    for number in numbers:
        try:
            with it.store.write() as transaction:
                policy = read_policy(transaction)
                report.dropped.append(drop_table_of(transaction, it.keys, it.names, policy, number, export=export))
        except (CleanupRefused, TableUnusable) as error:
            report.refused[number] = str(error)
        except OSError as error:
            raise ExportFailed(
                f"{kept_in}: {error.strerror}; {len(report.dropped)} tables were dropped so far"
            ) from None
        watcher.advance()
    return report


def exporter(folder: Path) -> Callable[[Snapshot, Site, bytes], None]:
    """Writes SITE.table.json and SITE.pipelines.json, as 'onehop legacy import' takes them."""

    def export(snapshot: Snapshot, site: Site, table: bytes) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        pipelines = render_named(snapshot, site.site_no, script_hashes(table))
        write_synced(folder / f"{site.name}.pipelines.json", pipelines)
        write_synced(folder / f"{site.name}.table.json", table)

    return export


def write_synced(path: Path, content: bytes) -> None:
    """For nobody else to read, through no link that somebody has laid there. Raises OSError."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)  # one that a crash has left, or a link, which goes in place of what it names
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
