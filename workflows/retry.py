"""How long to wait before the next attempt. Pure; attempt numbers start at 1, delays are milliseconds."""

from typing import Literal

from workflows.duration import SLEEP_MS_MAX

Backoff = Literal["constant", "linear", "exponential"]
DOUBLINGS_MAX = 64  # past it any base but 0 is over the cap; keeps `2 ** n` small


def retry_delay_ms(base_ms: int, backoff: Backoff, failed_attempt: int) -> int:
    """The wait after attempt `failed_attempt` failed; at most 365 days."""
    match backoff:
        case "constant":
            delay = base_ms
        case "linear":
            delay = base_ms * failed_attempt
        case "exponential":
            delay = base_ms * 2 ** min(failed_attempt - 1, DOUBLINGS_MAX)
    return min(delay, SLEEP_MS_MAX)


def jittered_ms(delay_ms: int, jitter: float, chance: float) -> int:
    """The delay made longer by up to its `jitter`-th part (0..1), `chance` being in [0, 1): those that failed together
    come back apart, and none before its time. At most 365 days."""
    return min(delay_ms + round(delay_ms * jitter * chance), SLEEP_MS_MAX)


def may_retry(failed_attempt: int, limit: float) -> bool:
    """`limit` counts retries, so that `limit + 1` attempts are made."""
    return failed_attempt <= limit
