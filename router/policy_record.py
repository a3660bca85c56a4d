"""The policy as it is stored, and the log of its changes: who, when, why, and what stood before.

    policy ‖ "current"            the policy, JSON
    policy ‖ "log" ‖ generation   one change, JSON; the last LOG_MAX of them

A change reads the policy, writes the next one and its log entry, all in the one transaction that it is given: two
operators at once are two generations, one after the other. The feed tells every edge.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from router.kv.schema import FEED_SEQ, Database
from router.kv.snapshot import Snapshot, Transaction
from router.policy import PERCENT_MAX, Percentage, Policy, Scheme, Split

CURRENT: Final = b"current"
LOG: Final = b"log"
LOG_MAX: Final = 1_000
SITES_NAMED_MAX: Final = 5_000
"""Pins, splits and sites with Server-Timing, of each: more than that are a percentage's work."""
SALT_BYTES: Final = 8
MEMBERS: Final = frozenset(
    {"generation", "default", "pins", "splits", "data_centres", "percentage", "shadow_percent", "server_timing",
     "server_timing_everywhere", "salt"}
)  # fmt: skip


class PolicyUnreadable(ValueError):
    """A stored or given policy isn't one."""


class PolicyRefused(Exception):
    """A change can't be made; nothing was changed."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """One entry of the log. `undoes` is the generation that this one took back; `before` is the policy until then."""

    generation: int
    who: str
    when: str
    why: str
    what: str
    before: Policy
    undoes: int | None = None


def read_policy(snapshot: Snapshot) -> Policy:
    """The policy of a store that was never given one sends every site to the hashed scheme. Raises PolicyUnreadable."""
    value = snapshot.get(Database.POLICY, CURRENT)
    return Policy() if value is None else decode_policy(parse_json(value))


def change_policy(
    transaction: Transaction, change: Callable[[Policy], Policy], *, who: str, when: str, why: str, what: str
) -> Policy:
    """`what` says the change in words. Raises PolicyRefused, PolicyUnreadable."""
    before = read_policy(transaction)
    entry = PolicyChange(before.generation + 1, who, when, why, what, before)
    return put_change(transaction, before, change(before), entry)


def undo_last(transaction: Transaction, *, who: str, when: str, why: str) -> PolicyChange:
    """Takes back the last change that was neither an undoing nor undone; the change that was taken back.

    The policy becomes what it was before that change. Raises PolicyRefused when there is none left.
    """
    undone: set[int] = set()
    for entry in changes_newest_first(transaction):
        if entry.undoes is not None:
            undone.add(entry.undoes)
        elif entry.generation not in undone:
            current = read_policy(transaction)
            what = f"undo {entry.generation}: {entry.what}"
            undoing = PolicyChange(current.generation + 1, who, when, why, what, current, undoes=entry.generation)
            put_change(transaction, current, entry.before, undoing)
            return entry
    raise PolicyRefused("there's no change left that could be undone")


def put_change(transaction: Transaction, before: Policy, after: Policy, entry: PolicyChange) -> Policy:
    salt = before.salt or secrets.token_hex(SALT_BYTES)
    stored = replace(after, generation=entry.generation, salt=salt)
    for what, count in (("pins", len(after.pins)), ("splits", len(after.splits)), ("sites", len(after.server_timing))):
        if count > SITES_NAMED_MAX:
            raise PolicyRefused(f"a policy names at most {SITES_NAMED_MAX} {what}; use a percentage for more")
    transaction.put(Database.POLICY, CURRENT, orjson.dumps(encode_policy(stored)))
    transaction.put(Database.POLICY, LOG + FEED_SEQ.pack(entry.generation), encode_change(entry))
    if entry.generation > LOG_MAX:
        transaction.delete(Database.POLICY, LOG + FEED_SEQ.pack(entry.generation - LOG_MAX))
    return stored


def forget_sites(transaction: Transaction, *, is_gone: Callable[[int], bool]) -> None:
    """Takes the rules of sites that are gone out of the policy. It is no change of it, since it says nothing new of any
    site: the generation stays, and the log has no entry. Raises PolicyUnreadable."""
    policy = read_policy(transaction)
    left = replace(
        policy,
        pins={site_no: scheme for site_no, scheme in policy.pins.items() if not is_gone(site_no)},
        splits={site_no: split for site_no, split in policy.splits.items() if not is_gone(site_no)},
        server_timing=frozenset(site_no for site_no in policy.server_timing if not is_gone(site_no)),
    )
    if left != policy:
        transaction.put(Database.POLICY, CURRENT, orjson.dumps(encode_policy(left)))


def changes_newest_first(snapshot: Snapshot) -> Iterator[PolicyChange]:
    """Raises PolicyUnreadable."""
    for _, value in snapshot.scan(Database.POLICY, prefix=LOG, reverse=True):
        yield decode_change(value)


# -- bytes -----------------------------------------------------------------------------------------------------------


def encode_policy(policy: Policy) -> dict[str, Any]:
    """A JSON object; numbers of sites are its keys' text."""
    percentage = policy.percentage
    return {
        "generation": policy.generation,
        "default": policy.default,
        "pins": {str(site_no): scheme for site_no, scheme in policy.pins.items()},
        "splits": {str(site_no): encode_split(split) for site_no, split in policy.splits.items()},
        "data_centres": dict(policy.data_centres),
        "percentage": {"percent": percentage.percent, "scheme": percentage.scheme} if percentage is not None else None,
        "shadow_percent": policy.shadow_percent,
        "server_timing": sorted(policy.server_timing),
        "server_timing_everywhere": policy.server_timing_everywhere,
        "salt": policy.salt,
    }


def encode_split(split: Split) -> dict[str, Any]:
    return {"hashed_percent": split.hashed_percent, "other": split.other, "cookie": split.cookie}


def decode_policy(members: Any) -> Policy:
    """Of what `encode_policy` makes; members may be left out. Raises PolicyUnreadable."""
    if not isinstance(members, dict):
        raise PolicyUnreadable("a policy is a JSON object")
    if unknown := sorted(members.keys() - MEMBERS):
        raise PolicyUnreadable(f"unknown members {', '.join(unknown)}")
    try:
        percentage = members.get("percentage")
        return Policy(
            generation=int(members.get("generation", 0)),
            default=decode_scheme(members.get("default", "hashed")),
            pins={int(each): decode_scheme(scheme) for each, scheme in members.get("pins", {}).items()},
            splits={int(each): decode_split(split) for each, split in members.get("splits", {}).items()},
            data_centres={str(dc): decode_scheme(scheme) for dc, scheme in members.get("data_centres", {}).items()},
            percentage=None
            if percentage is None
            else Percentage(decode_percent(percentage["percent"]), decode_scheme(percentage.get("scheme", "hashed"))),
            shadow_percent=decode_percent(members.get("shadow_percent", 0.0)),
            server_timing=frozenset(int(each) for each in members.get("server_timing", ())),
            server_timing_everywhere=members.get("server_timing_everywhere", False) is True,
            salt=str(members.get("salt", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PolicyUnreadable(f"not a policy: {error}") from None


def decode_split(members: Any) -> Split:
    return Split(
        decode_percent(members["hashed_percent"]),
        decode_scheme(members.get("other", "legacy")),
        members.get("cookie", False) is True,
    )


def decode_scheme(value: Any) -> Scheme:
    try:
        return Scheme(value)
    except ValueError:
        raise ValueError(f"{value!r} is no scheme; known are {', '.join(Scheme)}") from None


def decode_percent(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= PERCENT_MAX:
        raise ValueError(f"{value!r} is no percentage from 0 to 100")
    return float(value)


def encode_change(entry: PolicyChange) -> bytes:
    return orjson.dumps(
        {
            "generation": entry.generation,
            "who": entry.who,
            "when": entry.when,
            "why": entry.why,
            "what": entry.what,
            "before": encode_policy(entry.before),
            "undoes": entry.undoes,
        }
    )


def decode_change(value: bytes) -> PolicyChange:
    """Raises PolicyUnreadable."""
    members = parse_json(value)
    try:
        return PolicyChange(**{**members, "before": decode_policy(members["before"])})
    except (KeyError, TypeError) as error:
        raise PolicyUnreadable(f"not an entry of the policy's log: {error}") from None


def parse_json(value: bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise PolicyUnreadable(f"not JSON: {error}") from None
