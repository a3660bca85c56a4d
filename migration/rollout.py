"""Raises, step by step, the share of sites that the hashed scheme serves; and takes itself back. Pure.

Each step is held for a while, and looked at the whole time: by differences between the schemes, by errors, by p99. Any
look that is worse than the time before the rollout takes all of it back at once. Where too few requests came before it
to tell a p99, the first look that tells is the measure; errors are then measured against none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from migration.guard import Health, Limits, Verdict, judge, tell
from router.policy import PERCENT_MAX, Percentage, Policy, Scheme

SHADOW_PERCENT_MIN: Final = 5.0
"""Share of requests that are resolved by both schemes while a rollout is under way."""
WHILE_HELD: Final = "while the step was held"
LATELY: Final = "in the last seconds of the hold"
LATELY_REQUESTS_MIN: Final = 200
"""Of fewer, a p99 is the slowest one or two: too little to take a rollout back by where the whole step says nothing."""
LIMITS: Final = Limits(slow_down_p99_factor=1.5, slow_down_errors_share=0.001)

NOBODY: Final = Health(0, 0, None)


class RolloutRefused(Exception):
    """There is nothing to roll out, or it can't be begun; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the running edges saw since the step began, and `lately`; `differences` are those of shadow
    compare since the rollout began."""

    health: Health
    differences: int
    lately: Health = NOBODY


def steps(policy: Policy, *, to: float, step: float) -> Iterator[float]:
    """The percentages to go through, from where the policy is. Raises RolloutRefused."""
    if not policy.default.is_legacy:
        raise RolloutRefused(
            "the policy's default is the hashed scheme already; to roll out step by step, make the legacy scheme the "
            "default first: onehop policy set --scheme legacy --reason '…'"
        )
    percentage = policy.percentage
    if percentage is not None and percentage.scheme is not Scheme.HASHED:
        raise RolloutRefused(f"the policy's percentage is one of {percentage.scheme}; 'onehop policy show' has it")
    at = percentage.percent if percentage is not None else 0.0
    if not 0 < step <= PERCENT_MAX or not at < to <= PERCENT_MAX:
        raise RolloutRefused(f"a rollout goes up, by more than 0 %, to at most 100 %; the policy is at {at:g} %")
    while at < to:
        at = min(to, at + step)
        yield at


def raised(policy: Policy, percent: float) -> Policy:
    """With that share of sites, and shadow compare on."""
    return replace(
        policy,
        percentage=Percentage(percent, Scheme.HASHED),
        shadow_percent=max(policy.shadow_percent, SHADOW_PERCENT_MIN),
    )


def taken_back(policy: Policy, before: Policy) -> Policy:
    """Only what a rollout changes; what operators changed meanwhile stays."""
    return replace(policy, percentage=before.percentage, shadow_percent=before.shadow_percent)


def finished(policy: Policy, before: Policy) -> Policy:
    """Shadow compare is as it was."""
    return replace(policy, shadow_percent=before.shadow_percent)


def measure(before: Health, look: Look) -> Health:
    """What looks are compared with: the time before the rollout, or, where that tells nothing, this look if it does."""
    return before if before.tells or not look.health.tells else replace(look.health, errors_count=0)


def objection(look: Look, before: Health) -> str | None:
    """Why the rollout must not go on; None when nothing speaks against it. `before` is a `measure`."""
    if look.differences:
        return f"the schemes differed for {look.differences} compared requests; 'onehop route differences' has them"
    if not before.tells:
        return None
    for health, since in ((look.health, WHILE_HELD), (look.lately, LATELY)):
        if health is look.lately and health.requests_count < LATELY_REQUESTS_MIN:
            continue
        verdict = judge(
            health, before, p99_factor=LIMITS.slow_down_p99_factor, errors_share=LIMITS.slow_down_errors_share
        )
        if verdict in (Verdict.SLOW, Verdict.FAILING):
            return tell(verdict, health, before, since)
    return None


def silence(look: Look, before: Health) -> str | None:
    """Why a step that has been held must not stand: visitors came before it, and none while it was held."""
    if look.health.requests_count or not before.tells:
        return None
    return f"not one request was answered while it was held, and {before.requests_count} were before; is an edge down?"
