"""Drops the routing tables of sites that have verified, once they have been exported: a site at a time, whole or not.

Refused is a site that hasn't verified with the table that it has now, and one that the policy still sends to the
legacy scheme anywhere. With its table a site's dual write ends, or the next deploy would make the table anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from migration.collect import read_site
from migration.invert import Inverted, invert_table
from migration.verify import Verifier, has_verified
from router.hashing import KeyRing
from router.kv.schema import SITE_NO, Database
from router.kv.snapshot import Snapshot, Transaction
from router.policy import Policy
from router.records import Site, encode_record
from router.site_names import SiteNames


class CleanupRefused(Exception):
    """A site keeps its table; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What went with one site's table."""

    site_no: int
    name: str
    table_bytes: int
    pipelines_count: int


def refusal(snapshot: Snapshot, policy: Policy, site_no: int) -> str | None:
    """Why a site must keep its table; None when it needn't."""
    site = read_site(snapshot, site_no)
    if site is None:
        return "its record can't be read; run 'onehop check'"
    if not has_verified(snapshot, site_no):
        return "it hasn't verified with the table that it has now; run 'onehop migrate verify'"
    rules = [policy.rule_of(site_no, dc) for dc in ("", *policy.data_centres)]
    if any(rule.split is not None or rule.scheme.is_legacy for rule in rules):
        return f"the policy still sends it to the legacy scheme; 'onehop policy show --site {site.name}' says where"
    return None


def drop_table_of(
    transaction: Transaction, keys: KeyRing, names: SiteNames, policy: Policy, site_no: int,
    *, export: Callable[[Snapshot, Site, bytes], None],
) -> Dropped:  # fmt: skip
    """`export` has kept the table and what it leads to, durably, when it returns. Raises CleanupRefused, OSError."""
    reason = refusal(transaction, policy, site_no)
    if reason is not None:
        raise CleanupRefused(reason)
    verified = Verifier(transaction, keys, names).verify(site_no)
    site, table = read_site(transaction, site_no), transaction.get(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
    assert site is not None, "a refusal would have said so"
    assert table is not None, "or this"
    assert verified is not None, "which has a table"
    if not verified.is_sound:
        raise CleanupRefused("its routes have changed since it verified; run 'onehop migrate verify'")
    export(transaction, site, table)
    hashes = script_hashes(table)
    for script_hash in hashes:
        transaction.delete(Database.PIPELINES, script_hash.encode("ascii"))
    transaction.delete(Database.LEGACY_TABLES, SITE_NO.pack(site_no))
    transaction.put(Database.SITES, SITE_NO.pack(site_no), encode_record(replace(site, dual_write=False)))
    return Dropped(site_no, site.name, len(table), len(hashes))


def script_hashes(table: bytes) -> set[str]:
    """Of every filter that can be read: in a table that has verified, each of them, whatever form it is in."""
    return {each.script_hash for each in invert_table(table) if isinstance(each, Inverted)}
