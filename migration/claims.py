"""Hosts that a table names though requests for them don't come to its site. Such a claim is a failure of its table; and
where another table names the host too, of that one as well: which of them is right, nobody guesses.

A job for all sites meets claims among its rows. One for some of them, and whoever revisits a single site, looks them up
here: in META, `migration_claim:` ‖ route key ‖ site number, of the job that runs. Past CLAIMS_MAX they aren't kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from migration.collect import CLAIMS_MAX, SiteRows, read_site
from migration.invert import Inverted, invert_table
from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction
from router.legacy_table import AFTER_HOST, BEFORE_HOST, HEAD, TAIL
from router.site_names import SiteNames

PREFIX: Final = b"migration_claim:"
MEMBER: Final = b'"pattern"'


def claimed_hosts(snapshot: Snapshot, names: SiteNames, site_no: int) -> Iterator[str]:
    """Of one site's table; which isn't parsed where counting shows that all of its hosts are below the site's name."""
    table = snapshot.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
    site = read_site(snapshot, site_no)
    if table is None or site is None or is_all_below(table, names.production(site.name).name.encode("ascii")):
        return
    rows = SiteRows(snapshot, names, site)
    for each in invert_table(table):
        if isinstance(each, Inverted) and not rows.owns(each.host):
            yield each.host


def is_all_below(table: bytes, production: bytes) -> bool:
    own = table.count(b"." + production + AFTER_HOST) + table.count(BEFORE_HOST + production + AFTER_HOST)
    return table.startswith(HEAD) and table.endswith(TAIL) and own == table.count(MEMBER)


def put_claims(transaction: Transaction, claims: Iterable[tuple[bytes, int]], *, kept_count: int) -> int:
    """(route key, site number) each. How many are kept now; `kept_count` were."""
    for key, site_no in claims:
        if kept_count >= CLAIMS_MAX:
            break
        transaction.put(Database.META, PREFIX + key + SITE_NO.pack(site_no), b"")
        kept_count += 1
    return kept_count


def drop_claims(transaction: Transaction) -> None:
    for key in [key for key, _ in transaction.scan(Database.META, prefix=PREFIX)]:
        transaction.delete(Database.META, key)


def claimants(snapshot: Snapshot, rows: Sequence[bytes]) -> Mapping[bytes, list[int]]:
    """By route key of these rows, the sites that claim it."""
    if next(snapshot.scan(Database.META, prefix=PREFIX), None) is None:
        return {}
    found: dict[bytes, list[int]] = {}
    for row in rows:
        key = row[:ROUTE_KEY_BYTES]
        claims = snapshot.scan(Database.META, prefix=PREFIX + key)
        sites = [int(SITE_NO.unpack(claim[-SITE_NO.size :])[0]) for claim, _ in claims]
        if sites:
            found[key] = sites
    return found
