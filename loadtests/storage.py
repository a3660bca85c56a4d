"""What a deployment costs to keep, and how often a worker finds what it needs in memory: both schemes.

Bytes are those of whole pages of the store, by database: routes, against routing tables with the pipelines that they
name. Routes are told twice: as seeded, in the order of their keys, which packs pages full, and in the order in which
deploys come, which leaves room in them.

Hit rates come from a model, since a store of 14 million deployments says nothing of who visits them: 100,000 sites
whose sizes follow Zipf's law, visited by Zipf's law (exponent 1 both, independent of each other), four of five requests
for production and the others for any deployment. The table cache keeps whole tables up to so many bytes, the decision
cache decisions of about 600 bytes.

Published of the change that this repeats: 92 % less storage, 12 GiB. Here it is about 63 %, and not for the routes'
sake: 12 GiB that are 92 % mean, at 14 million deployments, some 1,000 bytes each before and 80 after. As routes we keep
as much as that (79 packed, 114 as they grow). But before, we keep 306 and not 1,000: a filter takes 131, the pipeline
that it names 175. What else lay in theirs wasn't published, and we don't put it there to look better.
"""

import sys
from pathlib import Path

if not __package__:  # run by its path, where `python -m loadtests.storage` has the folder above
    sys.path[0] = str(Path(__file__).parents[1])

import random
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import accumulate
from typing import Final

import lmdb

from loadtests.report import Measured, conclude, parse_options
from loadtests.schemes import run
from loadtests.server import temporary_data
from loadtests.storage_plots import draw
from router.kv.schema import Database
from router.legacy import RAW_BYTES_MAX
from router.legacy_table import Filter, render_table
from router.resolve import KNOWN_MAX

MIB: Final = 1024 * 1024
SITES: Final = 1_000
PUBLISHED: Final = {"storage_less_percent": 92, "storage_less_gib": 12}
MODEL_SITES: Final = 100_000
MODEL_DEPLOYMENTS: Final = 14_000_000
PRODUCTION_SHARE: Final = 0.8
DECISION_BYTES: Final = 600  # 20 MB for the 32,768 that a worker keeps
CACHE_MIB: Final = (1, 4, 16, 20, 32, 64, 256, 1024)
FILTER_BYTES: Final = len(render_table([Filter("12345678.a-site.pages.example.com", "0" * 32)]))


def page_bytes(kv: Path, *databases: Database) -> int:
    """Of all pages that these databases take."""
    with lmdb.open(str(kv), readonly=True, lock=False, max_dbs=32) as env:
        found = 0
        for database in databases:
            handle = env.open_db(database.value.encode(), create=False)
            with env.begin() as txn:
                stat = txn.stat(handle)
            found += stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
        return found


def grown_bytes(kv: Path, folder: Path) -> int:
    """Of the routes' pages, had the routes come one by one in no order."""
    with lmdb.open(str(kv), readonly=True, lock=False, max_dbs=32) as env:
        handle = env.open_db(Database.ROUTES.value.encode(), create=False)
        with env.begin(handle) as txn:
            rows = list(txn.cursor())
    random.Random(1).shuffle(rows)
    with lmdb.open(str(folder), map_size=1 << 30, sync=False) as env:
        with env.begin(write=True) as txn:
            for key, value in rows:
                txn.put(key, value)
        stat = env.stat()
    return int(stat["psize"] * (stat["branch_pages"] + stat["leaf_pages"]))


def measure_bytes(deployments: int) -> dict[str, float]:
    """Bytes a deployment, its share of the site's own host included."""
    with temporary_data() as hashed, temporary_data() as legacy, tempfile.TemporaryDirectory() as grown:
        counts = ("--sites", str(SITES), "--deployments", str(deployments))
        run("seed", *counts, data=hashed)
        run("seed", *counts, "--legacy-only", data=legacy)
        found = {
            "hashed_packed": page_bytes(hashed / "kv", Database.ROUTES),
            "hashed_grown": grown_bytes(hashed / "kv", Path(grown)),
            "legacy": page_bytes(legacy / "kv", Database.LEGACY_TABLES, Database.PIPELINES),
            "legacy_tables": page_bytes(legacy / "kv", Database.LEGACY_TABLES),
        }
    return {name: count / deployments for name, count in found.items()}


def visits(count: int, sizes: list[int], seed: int) -> Iterator[tuple[int, int]]:
    """(site, deployment) of each request; deployment 0 is what production shows."""
    dice = random.Random(seed)
    cumulated = list(accumulate(1 / rank for rank in range(1, MODEL_SITES + 1)))
    for site in dice.choices(range(MODEL_SITES), cum_weights=cumulated, k=count):
        yield site, 0 if dice.random() < PRODUCTION_SHARE else dice.randrange(1, sizes[site] + 1)


def site_sizes(seed: int) -> list[int]:
    """Deployments of each site; the largest may be anyone's."""
    whole = sum(1 / rank for rank in range(1, MODEL_SITES + 1))
    sizes = [max(1, round(MODEL_DEPLOYMENTS / whole / rank)) for rank in range(1, MODEL_SITES + 1)]
    random.Random(seed).shuffle(sizes)
    return sizes


def hit_rate(
    requests: list[tuple[int, int]],
    *,
    capacity_bytes: int,
    key_of: Callable[[int, int], Hashable],
    bytes_of: Callable[[int], int],
) -> float:
    """Of an LRU bounded in bytes, over the later half of the requests; the first fills it."""
    kept: OrderedDict[Hashable, int] = OrderedDict()
    used = hits = 0
    for number, (site, deployment) in enumerate(requests):
        key = key_of(site, deployment)
        if key in kept:
            kept.move_to_end(key)
            hits += number >= len(requests) // 2
            continue
        kept[key] = bytes_of(site)
        used += kept[key]
        while used > capacity_bytes and len(kept) > 1:
            used -= kept.popitem(last=False)[1]
    return hits / (len(requests) - len(requests) // 2)


def model_hit_rates(requests_count: int, seed: int) -> dict[str, dict[int, float]]:
    """By cache, by MiB."""
    sizes = site_sizes(seed)
    requests = list(visits(requests_count, sizes, seed))
    return {
        "tables": {
            mib: hit_rate(
                requests,
                capacity_bytes=mib * MIB,
                key_of=lambda site, _: site,
                bytes_of=lambda site: (sizes[site] + 1) * FILTER_BYTES,
            )
            for mib in CACHE_MIB
        },
        "decisions": {
            mib: hit_rate(
                requests,
                capacity_bytes=mib * MIB,
                key_of=lambda site, deployment: (site, deployment),
                bytes_of=lambda _: DECISION_BYTES,
            )
            for mib in CACHE_MIB
        },
    }


def main() -> None:
    options = parse_options(__doc__)
    deployments = 50_000 if options.quick else 1_000_000
    requests_count = 100_000 if options.quick else 1_000_000
    sizes = measure_bytes(deployments)
    rounds = [model_hit_rates(requests_count, seed) for seed in range(2 if options.quick else 3)]
    rates = {
        name: {str(mib): Measured(tuple(each[name][mib] for each in rounds), "") for mib in CACHE_MIB}
        for name in ("tables", "decisions")
    }
    less = {name: 1 - sizes[name] / sizes["legacy"] for name in ("hashed_packed", "hashed_grown")}
    saved_gib = (sizes["legacy"] - sizes["hashed_grown"]) * MODEL_DEPLOYMENTS / 1024**3
    figures = {f"{name}_bytes": Measured((size,), "B") for name, size in sizes.items()}
    figures |= {f"{name}_hits_{mib}_mib": rate for name, each in rates.items() for mib, rate in each.items()}
    kept = str(RAW_BYTES_MAX // MIB)
    sentence = (
        f"{deployments:,} deployments: {sizes['legacy']:.0f} B each in routing tables and pipelines, as a route "
        f"{sizes['hashed_grown']:.0f} B ({less['hashed_grown']:.0%} less; {sizes['hashed_packed']:.0f} B when packed): "
        f"{saved_gib:.1f} GiB less for {MODEL_DEPLOYMENTS // 10**6} million (published: 92 %, 12 GiB); modelled hits: "
        f"{kept} MiB of tables {rates['tables'][kept].median:.0%}, {KNOWN_MAX:,} decisions (20 MB) "
        f"{rates['decisions']['20'].median:.0%}"
    )
    conclude(
        "storage",
        options,
        figures,
        extra={
            "deployments": deployments,
            "less": {name: round(share, 4) for name, share in less.items()},
            "saved_gib_of_14_million": round(saved_gib, 2),
            "hit_rates": {name: {mib: rate.median for mib, rate in each.items()} for name, each in rates.items()},
            "published": PUBLISHED,
        },
        sentence=sentence,
        draw=lambda path: draw(path, sizes, rates),
    )


if __name__ == "__main__":
    main()
