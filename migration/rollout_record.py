"""What a rollout began from, and how far it is: in META, written in the very transactions that change the policy, so
that no kill of it loses the way back."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

import orjson

from router.kv.schema import Database
from router.kv.snapshot import Snapshot, Transaction
from router.policy import Percentage, Policy, Scheme
from router.policy_record import decode_policy, encode_policy

ROLLOUT_KEY: Final = b"migration_rollout"


class Stage(StrEnum):
    """How far the last rollout has come; all but the first are ends."""

    UNDER_WAY = "under way"
    FINISHED = "finished"
    TAKEN_BACK = "taken back"
    OVERRIDDEN = "overridden"


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """`before` is the policy that it began from, however often it was taken up again. `generation`, `percent` and
    `shadow_percent` are those of the policy that it has last set. `begun_s` is Unix time."""

    id: str
    pid: int
    who: str
    begun_s: float
    to: float
    before: Policy
    stage: Stage
    generation: int
    percent: float
    shadow_percent: float
    reason: str = ""

    def is_in_force(self, policy: Policy) -> bool:
        """Whether what a rollout sets is still as this one has set it."""
        ours = Percentage(self.percent, Scheme.HASHED)
        return (policy.percentage, policy.shadow_percent) == (ours, self.shadow_percent)

    def is_unfinished(self, policy: Policy) -> bool:
        """Whether the next rollout goes on with it: it has come to no end, and nobody has set anything else since."""
        return self.stage is Stage.UNDER_WAY and self.is_in_force(policy)


def read_rollout(snapshot: Snapshot) -> RolloutRecord | None:
    """The rollout that is under way, or the last one."""
    value = snapshot.get(Database.META, ROLLOUT_KEY)
    if value is None:
        return None
    members: dict[str, Any] = orjson.loads(value)
    return RolloutRecord(**{**members, "stage": Stage(members["stage"]), "before": decode_policy(members["before"])})


def put_rollout(transaction: Transaction, record: RolloutRecord) -> None:
    members = {name: getattr(record, name) for name in RolloutRecord.__slots__}
    transaction.put(Database.META, ROLLOUT_KEY, orjson.dumps({**members, "before": encode_policy(record.before)}))


def end_rollout(transaction: Transaction, stage: Stage, reason: str, *, rollout_id: str | None = None) -> None:
    """The last word of this one, or of whichever is the last; the policy isn't touched."""
    record = read_rollout(transaction)
    if record is not None and rollout_id in (None, record.id):
        put_rollout(transaction, replace(record, stage=stage, reason=reason))
