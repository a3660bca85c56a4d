"""Keeps a migration from costing the visitors: looks at how they fare, and says which share of the pace is left. Pure.

    free ──worse──▶ half, quarter, … ──worse still, at the least pace──▶ stopped
      ▲               │
      └─well for a while, one step at a time

"Worse" is against the time before the job began: a p99 over `p99_factor` times that, or a share of errors over
`errors_share_max`, and ERRORS_MIN errors at least. A look with too few requests to tell is no look; where too few came
before the job began, the first look that tells is what later ones are compared with.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

LEAST_SHARE: Final = 1 / 16
REQUESTS_MIN: Final = 50
"""Fewer in a look say nothing of a p99."""
ERRORS_MIN: Final = 3
"""Fewer in a look are no rise, whatever their share: a single 5xx among 900 requests is 0.1 % of them."""
CALM_LOOKS: Final = 5
"""So many good looks in a row before the pace is doubled again."""
P99_FLOOR_S: Final = 0.002
"""Below this a factor is noise: a p99 that goes from 0.3 to 0.6 ms harms nobody."""
UNBOUNDED_PER_S: Final = 100_000.0
"""What a share is taken of where the operator has set no bound."""


class Verdict(StrEnum):
    """What a look came to."""

    UNTOLD = "too few requests to tell"
    WELL = "well"
    SLOW = "p99 has risen"
    FAILING = "errors have risen"


@dataclass(frozen=True, slots=True)
class Health:
    """How visitors fared over a stretch of time. `p99_s` is None where nobody came."""

    requests_count: int
    errors_count: int
    p99_s: float | None

    @property
    def errors_share(self) -> float:
        return self.errors_count / self.requests_count if self.requests_count else 0.0

    @property
    def tells(self) -> bool:
        """Whether enough came to compare with."""
        return self.requests_count >= REQUESTS_MIN


@dataclass(frozen=True, slots=True)
class Limits:
    """`slow_down_*` halve the pace; `stop_*` end the job where the least pace doesn't help."""

    slow_down_p99_factor: float = 1.2
    stop_p99_factor: float = 4.0
    slow_down_errors_share: float = 0.001
    stop_errors_share: float = 0.02


@dataclass(frozen=True, slots=True)
class GuardState:
    """`share` of the pace is left; `stop_reason` is set once and for all."""

    before: Health
    share: float = 1.0
    calm_looks: int = 0
    verdict: Verdict = Verdict.UNTOLD
    stop_reason: str = ""


def judge(health: Health, before: Health, *, p99_factor: float, errors_share: float, errors_min: int = 1) -> Verdict:
    if not health.tells:
        return Verdict.UNTOLD
    if health.errors_count >= errors_min and health.errors_share > before.errors_share + errors_share:
        return Verdict.FAILING
    if health.p99_s is not None and health.p99_s > p99_factor * max(before.p99_s or 0.0, P99_FLOOR_S):
        return Verdict.SLOW
    return Verdict.WELL


def look(state: GuardState, health: Health, limits: Limits = Limits()) -> GuardState:  # frozen
    """The state after one more look."""
    if not state.before.tells:
        return replace(state, before=health, verdict=Verdict.WELL) if health.tells else state
    stop = judge(
        health, state.before, p99_factor=limits.stop_p99_factor, errors_share=limits.stop_errors_share,
        errors_min=ERRORS_MIN,
    )  # fmt: skip
    if stop in (Verdict.SLOW, Verdict.FAILING) and state.share <= LEAST_SHARE:
        return replace(
            state,
            share=0.0,
            verdict=stop,
            stop_reason=tell(stop, health, state.before, f"at {LEAST_SHARE:.0%} of the pace"),
        )
    verdict = judge(
        health, state.before, p99_factor=limits.slow_down_p99_factor, errors_share=limits.slow_down_errors_share,
        errors_min=ERRORS_MIN,
    )  # fmt: skip
    match verdict:
        case Verdict.UNTOLD:
            return replace(state, verdict=verdict)
        case Verdict.WELL:
            calm = state.calm_looks + 1
            if calm < CALM_LOOKS or state.share >= 1.0:
                return replace(state, calm_looks=calm, verdict=verdict)
            return replace(state, share=min(1.0, state.share * 2), calm_looks=0, verdict=verdict)
        case Verdict.SLOW | Verdict.FAILING:
            return replace(state, share=max(LEAST_SHARE, state.share / 2), calm_looks=0, verdict=verdict)


def tell(verdict: Verdict, health: Health, before: Health, when: str) -> str:
    p99, p99_before = (f"{each * 1e3:.1f} ms" if each is not None else "none" for each in (health.p99_s, before.p99_s))
    return (
        f"{verdict}: p99 {p99} (before {p99_before}), {health.errors_share:.2%} errors "
        f"(before {before.errors_share:.2%}) {when}"
    )
