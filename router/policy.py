"""Which scheme finds a site's deployments: the first rule that speaks wins. Pure.

    pin of the site → A/B split of the site → the edge's data centre → percentage of sites → default

Buckets are stable: a site's follows from its number, a client's from its address and the policy's salt. A percentage
takes the buckets below it, so that raising it moves sites or clients over and never one of them back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Final

BUCKETS: Final = 10_000  # percentages count to a hundredth
PERCENT_MAX: Final = 100.0


class Scheme(StrEnum):
    """How a host's route is found. The last two differ in what they keep between requests, never in what they find."""

    HASHED = "hashed"
    LEGACY = "legacy"
    LEGACY_COMPILED = "legacy-compiled"

    @property
    def is_legacy(self) -> bool:
        return self is not Scheme.HASHED


class RuleName(StrEnum):
    """Which rule spoke."""

    PIN = "pin"
    SPLIT = "split"
    DATA_CENTRE = "data centre"
    PERCENTAGE = "percentage"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Split:
    """`hashed_percent` of a site's clients get the hashed scheme, the others `other`. `cookie`: a client keeps its arm
    when its address changes, at the price of a cookie."""

    hashed_percent: float
    other: Scheme = Scheme.LEGACY
    cookie: bool = False

    def arm(self, bucket: int) -> Scheme:
        return Scheme.HASHED if is_below(bucket, self.hashed_percent) else self.other


@dataclass(frozen=True, slots=True)
class Percentage:
    """`percent` of all sites get `scheme`; to the others this rule doesn't speak."""

    percent: float
    scheme: Scheme = Scheme.HASHED


@dataclass(frozen=True, slots=True)
class SiteRule:
    """What the policy says of a site at one edge: its scheme, or a split in place of one."""

    name: RuleName
    scheme: Scheme
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """`generation` grows with each change. `pins` and `splits` are by site number, `data_centres` by label.

    `shadow_percent` of requests are resolved by the other scheme too, and compared. `server_timing` names the sites
    whose answers say how they were found; with `server_timing_everywhere`, all do.
    """

    generation: int = 0
    default: Scheme = Scheme.HASHED
    pins: Mapping[int, Scheme] = field(default_factory=dict)
    splits: Mapping[int, Split] = field(default_factory=dict)
    data_centres: Mapping[str, Scheme] = field(default_factory=dict)
    percentage: Percentage | None = None
    shadow_percent: float = 0.0
    server_timing: frozenset[int] = frozenset()
    server_timing_everywhere: bool = False
    salt: str = ""
    _by_default: SiteRule = field(init=False, repr=False, compare=False)
    """Most sites' rule, made once: it is asked for with each decision."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_default", SiteRule(RuleName.DEFAULT, self.default))

    def rule_of(self, site_no: int | None, dc: str) -> SiteRule:
        """`site_no` is None where a host names no site: then just what holds for all of them counts."""
        if site_no is not None:
            if (pinned := self.pins.get(site_no)) is not None:
                return SiteRule(RuleName.PIN, pinned)
            if (split := self.splits.get(site_no)) is not None:
                return SiteRule(RuleName.SPLIT, split.other, split)
        if (here := self.data_centres.get(dc)) is not None:
            return SiteRule(RuleName.DATA_CENTRE, here)
        if (
            site_no is not None
            and self.percentage is not None
            and is_below(site_bucket(site_no), self.percentage.percent)
        ):
            return SiteRule(RuleName.PERCENTAGE, self.percentage.scheme)
        return self._by_default

    def tells_timing(self, site_no: int | None) -> bool:
        return self.server_timing_everywhere or site_no in self.server_timing

    def client_bucket(self, client: str) -> int:
        """`client` is its address. Another salt deals all clients anew."""
        return bucket_of(f"client {self.salt} {client}")


def is_below(bucket: int, percent: float) -> bool:
    return bucket < round(percent * BUCKETS / PERCENT_MAX)


def site_bucket(site_no: int) -> int:
    return bucket_of(f"site {site_no}")


def bucket_of(text: str) -> int:
    """From 0 to BUCKETS - 1, evenly."""
    return int.from_bytes(blake2b(text.encode("utf-8"), digest_size=8).digest()) % BUCKETS
