"""The change feed: what each transaction changed, so that a reader evicts just that.

Bounded in entries and in the bytes of one: past ROUTES_NAMED_MAX keys an entry says "everything" instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Self

import orjson

from router.kv.schema import ROUTE_KEY_BYTES

ENTRIES_MAX: Final = 100_000
ROUTES_NAMED_MAX: Final = 1_000


class ChangeUnreadable(ValueError):
    """A feed entry isn't what `Change.encode` writes."""


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction's effect on routing. `everything` stands for more than can be named."""

    route_keys: frozenset[bytes] = field(default_factory=frozenset)
    policy: bool = False
    keys_rotated: bool = False
    everything: bool = False

    @classmethod
    def of_routes(cls, route_keys: Iterable[bytes], *, policy: bool, keys_rotated: bool) -> Self:
        named = frozenset(route_keys)
        if len(named) > ROUTES_NAMED_MAX:
            return cls(policy=policy, keys_rotated=keys_rotated, everything=True)
        return cls(named, policy=policy, keys_rotated=keys_rotated)

    def __bool__(self) -> bool:
        return bool(self.route_keys) or self.policy or self.keys_rotated or self.everything

    def encode(self) -> bytes:
        members: dict[str, object] = {}
        if self.route_keys:
            members["r"] = b"".join(sorted(self.route_keys)).hex()
        for name, claim in (("p", self.policy), ("k", self.keys_rotated), ("e", self.everything)):
            if claim:
                members[name] = 1
        return orjson.dumps(members)

    @classmethod
    def parse(cls, value: bytes) -> Self:
        try:
            members = orjson.loads(value)
            joined = bytes.fromhex(members.get("r", ""))
        except (orjson.JSONDecodeError, AttributeError, TypeError, ValueError) as error:
            raise ChangeUnreadable(str(error)) from None
        keys = [joined[start : start + ROUTE_KEY_BYTES] for start in range(0, len(joined), ROUTE_KEY_BYTES)]
        return cls(frozenset(keys), policy="p" in members, keys_rotated="k" in members, everything="e" in members)
