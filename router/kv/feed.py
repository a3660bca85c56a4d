"""The change feed's entries: what each transaction changed, so that a reader evicts just that.

    offset  size
    0       1      flags: POLICY, KEYS_ROTATED, EVERYTHING
    1       2      count of sites, big-endian
    3       4 each the sites' numbers, ascending
    …       16     each the route keys, ascending, to the end

Bounded in entries and in the bytes of one: past the limits below an entry says "everything", which costs a reader its
cached decisions, a few microseconds each. All entries together stay under 200 MB, and under 10 MB where people deploy.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from router.kv.schema import ROUTE_KEY_BYTES, SITE_NO

ENTRIES_MAX: Final = 100_000
ROUTES_NAMED_MAX: Final = 100  # 1.6 KB: two entries still share one of LMDB's pages
SITES_NAMED_MAX: Final = 20

HEAD: Final = struct.Struct(">BH")
POLICY, KEYS_ROTATED, EVERYTHING = 1, 2, 4


class ChangeUnreadable(ValueError):
    """A feed entry isn't what `Change.encode` writes."""


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction's effect. `site_nos` are sites whose record or routing table changed; `everything` stands for
    more than can be named, and for an entry that was missed."""

    route_keys: frozenset[bytes] = field(default_factory=frozenset)
    site_nos: frozenset[int] = field(default_factory=frozenset)
    policy: bool = False
    keys_rotated: bool = False
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.route_keys or self.site_nos) or self.policy or self.keys_rotated or self.everything

    @classmethod
    def merged(cls, changes: "Sequence[Change]") -> "Change":
        """What all of them changed together."""
        return cls(
            route_keys=frozenset().union(*(change.route_keys for change in changes)),
            site_nos=frozenset().union(*(change.site_nos for change in changes)),
            policy=any(change.policy for change in changes),
            keys_rotated=any(change.keys_rotated for change in changes),
            everything=any(change.everything for change in changes),
        )

    def encode(self) -> bytes:
        everything = self.everything or len(self.route_keys) > ROUTES_NAMED_MAX or len(self.site_nos) > SITES_NAMED_MAX
        flags = POLICY * self.policy | KEYS_ROTATED * self.keys_rotated | EVERYTHING * everything
        if everything:
            return HEAD.pack(flags, 0)
        sites = b"".join(SITE_NO.pack(site_no) for site_no in sorted(self.site_nos))
        return HEAD.pack(flags, len(self.site_nos)) + sites + b"".join(sorted(self.route_keys))

    @classmethod
    def parse(cls, value: bytes) -> Self:
        """Raises ChangeUnreadable."""
        if len(value) < HEAD.size:
            raise ChangeUnreadable(f"{len(value)} bytes, the head alone has {HEAD.size}")
        flags, sites_count = HEAD.unpack_from(value)
        routes_at = HEAD.size + sites_count * SITE_NO.size
        if flags > POLICY | KEYS_ROTATED | EVERYTHING or len(value) < routes_at:
            raise ChangeUnreadable("unknown flags, or fewer sites than it says")
        if (len(value) - routes_at) % ROUTE_KEY_BYTES:
            raise ChangeUnreadable("a route key is cut")
        return cls(
            route_keys=frozenset(
                value[start : start + ROUTE_KEY_BYTES] for start in range(routes_at, len(value), ROUTE_KEY_BYTES)
            ),
            site_nos=frozenset(site_no for (site_no,) in SITE_NO.iter_unpack(value[HEAD.size : routes_at])),
            policy=bool(flags & POLICY),
            keys_rotated=bool(flags & KEYS_ROTATED),
            everything=bool(flags & EVERYTHING),
        )


EVERYTHING_CHANGED: Final = Change(everything=True)
