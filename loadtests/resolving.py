"""What a look-up costs: the resolver of an edge worker, in this process, over a real store."""

import gc
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from onehop.data_folder import DataFolder
from onehop.seed import name_of
from router.key_files import read_key_ring
from router.kv.schema import SITE_NO, Database
from router.kv.store import open_store
from router.metrics.meter import EdgeMeter
from router.metrics.slot import unshared_cells
from router.records import Deployment, decode_record
from router.resolve import Resolved, Resolver
from router.site_names import SiteNames

DOMAIN: Final = "pages.localhost"
PASSES: Final = 5


@dataclass(frozen=True, slots=True)
class ResolveCost:
    """In microseconds, each the median of several passes: the first look-up of a host, and the next."""

    uncached_us: float
    cached_us: float


def own_hosts(data: Path, count: int, *, seed: int) -> list[str]:
    """Own hosts of up to `count` seeded deployments, as many of each site, in no order."""
    dice = Random(seed)
    with open_store(data / "kv") as store, store.read() as snapshot:
        sites_count = snapshot.count(Database.SITES)
        each_count = -(-count // sites_count)
        found = []
        for site_no in range(1, sites_count + 1):
            rows = snapshot.scan(Database.DEPLOYMENTS, prefix=SITE_NO.pack(site_no))
            records = [decode_record(Deployment, value) for (_, value), _ in zip(rows, range(each_count), strict=False)]
            found += [f"{each.short_id}.{name_of(site_no)}.{DOMAIN}" for each in records]
    dice.shuffle(found)
    return found[:count]


def resolve_cost(data: Path, hosts: list[str]) -> ResolveCost:
    """Each pass is a fresh resolver's; the store's pages are in memory after the first one's."""
    folder = DataFolder(data)
    raw_hosts = [host.encode("ascii") for host in hosts]
    uncached, cached = [], []
    with open_store(folder.kv) as store:
        for _ in range(PASSES):
            resolver = Resolver(
                store,
                read_keys=lambda: read_key_ring(folder.route_keys),
                names=SiteNames(DOMAIN),
                dc="local",
                now_s=time.monotonic,
                meter=EdgeMeter(unshared_cells()),
            )
            gc.collect()
            uncached.append(pass_us(resolver, raw_hosts))
            cached.append(pass_us(resolver, raw_hosts))
    return ResolveCost(sorted(uncached)[PASSES // 2], sorted(cached)[PASSES // 2])


def pass_us(resolver: Resolver, hosts: list[bytes]) -> float:
    resolve = resolver.resolve
    began_ns = time.thread_time_ns()
    for host in hosts:
        if not isinstance(resolve(host), Resolved):
            raise SystemExit(f"{host.decode()} isn't found")
    return (time.thread_time_ns() - began_ns) / len(hosts) / 1e3
