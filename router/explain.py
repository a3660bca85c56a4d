"""How a host resolves, for `onehop route`: without any cache, each step said and timed, and by both schemes."""

from dataclasses import dataclass
from time import perf_counter_ns

from router.hashed import live_ring
from router.hashing import KeyRing
from router.hostname import Hostname
from router.kv.schema import Database
from router.kv.store import Snapshot, Store
from router.legacy import LegacyTables, SiteTable, TableUnusable, read_site_table, subject_of
from router.metrics.meter import EdgeMeter
from router.metrics.slot import unshared_cells
from router.pipeline import Pipeline
from router.policy import Policy, Scheme, SiteRule
from router.policy_record import read_policy
from router.resolve import find_site_no
from router.site_names import SiteNames


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """Who asks, and where: the edge's data centre, and the client's address for splits."""

    dc: str
    client: str


@dataclass(frozen=True, slots=True)
class HashedWay:
    """Times in microseconds."""

    key_id: str
    route_key: bytes
    pipeline: Pipeline | None
    hash_us: float
    get_us: float


@dataclass(frozen=True, slots=True)
class LegacyWay:
    """`run_us` is what one request costs: parse, then pattern after pattern. `problem`: why the table can't serve."""

    filters_bytes: int
    pipeline: Pipeline | None
    run_us: float
    problem: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """`scheme` is the one that this client is served by, and `wanted` the one that the rule says."""

    hostname: Hostname
    site: str | None
    label: str | None
    rule: SiteRule
    wanted: Scheme
    scheme: Scheme
    pipeline: Pipeline | None
    parse_us: float
    hashed: HashedWay
    legacy: LegacyWay


def explain(store: Store, keys: KeyRing, names: SiteNames, host: bytes, viewpoint: Viewpoint) -> Explanation:
    """Raises HostRefused, PipelineUnreadable, KeysRefused, PolicyUnreadable."""
    started = perf_counter_ns()
    hostname = Hostname.parse(host)
    parse_us = (perf_counter_ns() - started) / 1000
    with store.read() as snapshot:
        hashed = explain_hashed(snapshot, keys, hostname)
        policy = read_policy(snapshot)
        site_no = hashed.pipeline.site_no if hashed.pipeline else find_site_no(snapshot, names, hostname)
        table = read_site_table(snapshot, site_no) if site_no is not None else None
    legacy = explain_legacy(store, table, subject_of(host, hostname.name, b"/"))
    rule = policy.rule_of(site_no, viewpoint.dc)
    wanted = wanted_scheme(policy, rule, viewpoint.client)
    serves_by_table = legacy.pipeline is not None and (
        hashed.pipeline is None or (wanted.is_legacy and legacy.problem is None)
    )
    scheme = (wanted if wanted.is_legacy else Scheme.LEGACY) if serves_by_table else Scheme.HASHED
    named = names.split(hostname)
    return Explanation(
        hostname=hostname,
        site=named[0] if named else None,
        label=named[1] if named else None,
        rule=rule,
        wanted=wanted,
        scheme=scheme,
        pipeline=legacy.pipeline if serves_by_table else hashed.pipeline,
        parse_us=parse_us,
        hashed=hashed,
        legacy=legacy,
    )


def wanted_scheme(policy: Policy, rule: SiteRule, client: str) -> Scheme:
    return rule.split.arm(policy.client_bucket(client)) if rule.split is not None else rule.scheme


def explain_hashed(snapshot: Snapshot, keys: KeyRing, hostname: Hostname) -> HashedWay:
    ring = live_ring(snapshot, keys)
    started = perf_counter_ns()
    hashed_keys = [(key.id, key.route_key(hostname)) for key in ring.keys]
    hashed = perf_counter_ns()
    values = [snapshot.get(Database.ROUTES, route_key) for _, route_key in hashed_keys]
    got = perf_counter_ns()
    found = next((index for index, value in enumerate(values) if value is not None), 0)
    key_id, route_key = hashed_keys[found]
    value = values[found]
    return HashedWay(
        key_id=key_id,
        route_key=route_key,
        pipeline=Pipeline.parse(value) if value is not None else None,
        hash_us=(hashed - started) / 1000,
        get_us=(got - hashed) / 1000,
    )


def explain_legacy(store: Store, table: SiteTable | None, subject: bytes) -> LegacyWay:
    if table is None or (table.raw is None and table.problem is None):
        return LegacyWay(0, None, 0.0, "there's no table")
    problem = table.problem
    if problem is None and not table.is_written:
        problem = "dual write is off, so that it isn't kept up to date"
    started = perf_counter_ns()
    pipeline = None
    try:
        found = LegacyTables(store, EdgeMeter(unshared_cells())).find(table, Scheme.LEGACY, subject)
        pipeline = found.pipeline if found is not None else None
    except TableUnusable as error:
        problem = str(error)
    run_us = (perf_counter_ns() - started) / 1000
    return LegacyWay(len(table.raw or b""), pipeline, run_us, problem)
