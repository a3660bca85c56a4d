"""Synthetic deployments, for tests at scale: real rows, real routes, one real page behind all of them.

Every deployment shares one manifest, so that a million of them cost rows and nothing else. Keys are written in order,
since a store takes sorted rows many times faster than random ones: ids are made so that they ascend, and route keys,
which a hash scatters, are gathered by their first byte and sorted before they are written.

With `is_legacy_only`, sites are as the old design left them: records, a routing table and a pipelines record for each
deployment, and no route.

Rows go in transactions of ROWS_PER_COMMIT; a running server serves them as they come. Interrupted, it leaves
deployments without routes, which `onehop check` names and `--repair` completes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from asset_server.asset_keys import asset_key
from asset_server.blobs import BlobStore, Upload
from asset_server.manifest import encode_manifest
from control_plane.activation import put_manifest
from control_plane.catalogue import SITE_NO_LAST, outline_of
from control_plane.clock import Clock
from onehop.errors import CommandFailed
from onehop.opened_store import OpenedStore
from onehop.output import Watcher
from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO, Database, deployment_key
from router.kv.store import Transaction
from router.legacy import FILTERS_MAX
from router.legacy_table import Filter, render_table, script_hash_of
from router.pipeline import SITE_NO_MAX, Pipeline
from router.records import Deployment, Pointer, Site, encode_record

ROWS_PER_COMMIT: Final = 50_000
ID_BYTES: Final = 16
ASCENDING_BYTES: Final = 4  # of an id: its place among all; the rest is random. Also the short id, so unique in a site
DEPLOYMENTS_MAX: Final = 1 << 30
SEQ_MARK: Final = 4_294_967_291  # stands where a deployment's own number goes in its site's template
ID_MARK: Final = "f" * 32
SCOPE: Final = "seed"
PAGE: Final = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A seeded deployment</title>
<p>One of many: 'onehop seed' made it, to see how Onehop fares with all of them.
"""


class SeedRefused(CommandFailed):
    """These numbers can't be seeded."""


@dataclass(frozen=True, slots=True)
class SeedPlan:
    """`deployments_count` in all, spread evenly over the sites."""

    sites_count: int
    deployments_count: int
    is_legacy_only: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.sites_count <= self.deployments_count <= DEPLOYMENTS_MAX:
            raise SeedRefused(
                f"{self.sites_count} sites with {self.deployments_count} deployments: each site needs one, "
                f"and more than {DEPLOYMENTS_MAX} aren't made"
            )
        if self.is_legacy_only and self.deployments_of(0) >= FILTERS_MAX:
            raise SeedRefused(
                f"{self.deployments_of(0)} deployments a site: a routing table of more than {FILTERS_MAX} filters is "
                "never run; take more sites"
            )

    def deployments_of(self, number: int) -> int:
        """How many the site with this number (from 0) gets."""
        share, rest = divmod(self.deployments_count, self.sites_count)
        return share + (number < rest)

    def deployment_id(self, number: int, noise: bytes) -> bytes:
        """Ascends with `number` (from 0, over all sites)."""
        ascending = (number << 8 * ASCENDING_BYTES) // self.deployments_count
        return ascending.to_bytes(ASCENDING_BYTES) + noise


@dataclass(frozen=True, slots=True)
class SiteTemplate:
    """What all deployments of a site have in common, encoded once: record bytes around the seq and the id."""

    site: Site
    head: bytes
    middle: bytes
    tail: bytes

    @classmethod
    def of(cls, site: Site, manifest: str) -> "SiteTemplate":
        sample = Deployment(
            site_no=site.site_no, seq=SEQ_MARK, id=ID_MARK, created_on=site.created_on, manifest=manifest,
            branch=site.production_branch, order=SEQ_MARK, files_count=1, bytes_count=len(PAGE),
        )  # fmt: skip
        encoded = encode_record(replace(sample, order=0))
        head, rest = encoded.split(str(SEQ_MARK).encode())
        middle, tail = rest.split(ID_MARK.encode())
        return cls(site, head, middle, tail)

    def record(self, seq: int, deployment_id: bytes) -> bytes:
        return b"%b%d%b%b%b" % (self.head, seq, self.middle, deployment_id.hex().encode(), self.tail)


class RouteHeap:
    """Route keys with the number of their site, gathered by first byte: 20 bytes each while they wait."""

    def __init__(self) -> None:
        self._rows = [bytearray() for _ in range(256)]

    def add(self, route_key: bytes, *, site_no: int, is_preview: bool) -> None:
        assert site_no <= SITE_NO_MAX >> 1, "the highest bit marks previews"
        self._rows[route_key[0]] += route_key + SITE_NO.pack(site_no << 1 | is_preview)

    def sorted_rows(self) -> Iterator[tuple[bytes, int, bool]]:
        """(route key, site number, whether a preview), in key order; each leaves the heap."""
        width = ROUTE_KEY_BYTES + SITE_NO.size
        for number, gathered in enumerate(self._rows):
            self._rows[number] = bytearray()
            for row in sorted(bytes(gathered[start : start + width]) for start in range(0, len(gathered), width)):
                (marked,) = SITE_NO.unpack(row[ROUTE_KEY_BYTES:])
                yield row[:ROUTE_KEY_BYTES], marked >> 1, bool(marked & 1)


def seed(it: OpenedStore, blobs: BlobStore, plan: SeedPlan, *, clock: Clock, watcher: Watcher) -> range:
    """The numbers of the new sites, whose names are "seed-<number>". Raises SeedRefused."""
    if it.keys.previous is not None:
        raise SeedRefused("a hash key is being replaced; finish that with 'onehop keys rotate', then seed")
    numbers, manifest = begin(it, blobs, plan)
    routes = RouteHeap()
    created_on = clock.now()
    watcher.begin("deployments", plan.deployments_count)
    rows = deployment_rows(it, plan, numbers, manifest, created_on=created_on, routes=routes)
    while batch := list(islice(rows, ROWS_PER_COMMIT)):
        with it.store.write() as transaction:
            transaction.put_many(Database.DEPLOYMENTS, ((key, record) for key, _, record in batch))
            transaction.put_many(Database.DEPLOYMENT_IDS, ((deployment_id, key) for key, deployment_id, _ in batch))
        watcher.advance(len(batch))
    if plan.is_legacy_only:
        put_tables(it, plan, numbers, manifest, watcher)
    watcher.begin("sites", plan.sites_count)
    site_rows = iter([(number, number_in_plan) for number_in_plan, number in enumerate(numbers)])
    while sites := list(islice(site_rows, ROWS_PER_COMMIT)):
        with it.store.write() as transaction:
            put_sites(transaction, [make_site(plan, no, at, clock, created_on) for no, at in sites])
        watcher.advance(len(sites))
    if not plan.is_legacy_only:
        put_routes(it, plan, routes, manifest, watcher)
    return numbers


def put_routes(it: OpenedStore, plan: SeedPlan, routes: RouteHeap, manifest: str, watcher: Watcher) -> None:
    watcher.begin("routes", plan.deployments_count + plan.sites_count)
    pending = routes.sorted_rows()
    while found := list(islice(pending, ROWS_PER_COMMIT)):
        with it.store.write() as transaction:
            transaction.put_many(Database.ROUTES, encode_routes(found, manifest))
        watcher.advance(len(found))


def put_tables(it: OpenedStore, plan: SeedPlan, numbers: range, manifest: str, watcher: Watcher) -> None:
    """From the records, a site at a time; as many in a transaction as have ROWS_PER_COMMIT deployments or more."""
    watcher.begin("routing tables", plan.deployments_count)
    at = 0
    while at < len(numbers):
        rows_count = 0
        with it.store.write() as transaction:
            while at < len(numbers) and rows_count < ROWS_PER_COMMIT:
                put_table(it, transaction, numbers[at], manifest)
                rows_count += plan.deployments_of(at)
                at += 1
        watcher.advance(rows_count)


def put_table(it: OpenedStore, transaction: Transaction, site_no: int, manifest: str) -> None:
    """Each deployment has a pipelines record of its own, as real ones have; its id is the script hash."""
    name, key = name_of(site_no), SITE_NO.pack(site_no)
    preview = Pipeline(site_no=site_no, manifest=manifest, is_preview=True).encode()
    production = Pipeline(site_no=site_no, manifest=manifest)
    ids = [outline_of(value).id for _, value in transaction.scan(Database.DEPLOYMENTS, prefix=key)]
    filters = [Filter(it.names.deployment(name, each[:8]).name, each) for each in ids]
    filters.append(Filter(it.names.production(name).name, script_hash_of(production)))
    transaction.put_many(Database.PIPELINES, [(each.encode("ascii"), preview) for each in ids])
    transaction.put(Database.PIPELINES, script_hash_of(production).encode("ascii"), production.encode())
    transaction.put(Database.LEGACY_TABLES, key, render_table(filters))


def begin(it: OpenedStore, blobs: BlobStore, plan: SeedPlan) -> tuple[range, str]:
    """Takes the sites' numbers, so that no other site can get them, and stores the page that all of them show."""
    key = asset_key(PAGE, "html")
    blobs.put_many([Upload(key, PAGE, "text/html")], scope=SCOPE)
    with blobs.claiming():
        claim = blobs.claim([("/index.html", key)], scope=SCOPE)
        assert not claim.refusals, "a page of ours under its own key"
        with it.store.write() as transaction:
            last = transaction.get(Database.META, SITE_NO_LAST)
            first = (SITE_NO.unpack(last)[0] if last is not None else 0) + 1
            transaction.put(Database.META, SITE_NO_LAST, SITE_NO.pack(first + plan.sites_count - 1))
            manifest = put_manifest(transaction, encode_manifest(claim.assets))
    return range(first, first + plan.sites_count), manifest


def deployment_rows(
    it: OpenedStore, plan: SeedPlan, numbers: range, manifest: str, *, created_on: str, routes: RouteHeap
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(key, id, record) of every deployment in key order; their routes gather in `routes` meanwhile."""
    made = 0
    for at, site_no in enumerate(numbers):
        site = Site(site_no=site_no, id="", name=name_of(site_no), production_branch="main", created_on=created_on)
        template, count = SiteTemplate.of(site, manifest), plan.deployments_of(at)
        noise = os.urandom((ID_BYTES - ASCENDING_BYTES) * count)
        for seq in range(1, count + 1):
            start = (ID_BYTES - ASCENDING_BYTES) * (seq - 1)
            deployment_id = plan.deployment_id(made, noise[start : start + ID_BYTES - ASCENDING_BYTES])
            hostname = it.names.deployment(site.name, deployment_id[:ASCENDING_BYTES].hex())
            if not plan.is_legacy_only:
                routes.add(it.keys.route_key(hostname), site_no=site_no, is_preview=True)
            yield deployment_key(site_no, seq), deployment_id, template.record(seq, deployment_id)
            made += 1
        if not plan.is_legacy_only:
            routes.add(it.keys.route_key(it.names.production(site.name)), site_no=site_no, is_preview=False)


def make_site(plan: SeedPlan, site_no: int, at: int, clock: Clock, created_on: str) -> Site:
    """The one at that place of the plan. Those with routes have no table, until dual write is turned on."""
    count = plan.deployments_of(at)
    return Site(
        site_no=site_no, id=clock.new_id(), name=name_of(site_no), production_branch="main", created_on=created_on,
        production=Pointer(seq=count, order=count), seq_last=count, order_last=count, dual_write=plan.is_legacy_only,
    )  # fmt: skip


def put_sites(transaction: Transaction, sites: list[Site]) -> None:
    transaction.put_many(Database.SITES, ((SITE_NO.pack(site.site_no), encode_record(site)) for site in sites))
    names = sorted((site.name.encode("ascii"), SITE_NO.pack(site.site_no)) for site in sites)
    transaction.put_many(Database.SITE_NAMES, names)


def encode_routes(rows: list[tuple[bytes, int, bool]], manifest: str) -> Iterator[tuple[bytes, bytes]]:
    encoded: dict[tuple[int, bool], bytes] = {}
    for route_key, site_no, is_preview in rows:
        value = encoded.get((site_no, is_preview))
        if value is None:
            pipeline = Pipeline(site_no=site_no, manifest=manifest, is_preview=is_preview)
            value = encoded[site_no, is_preview] = pipeline.encode()
        yield route_key, value


def name_of(site_no: int) -> str:
    return f"seed-{site_no}"
