"""Every limit of an engine, in one frozen value. Times are ms, sizes bytes."""

from dataclasses import dataclass
from typing import Final

from workflows.duration import DAY_MS

STEPS_MAX_ALLOWED: Final = 25_000
BATCH_MAX: Final = 100
BATCH_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`max_running` counts instances that run or wait for their pause, over all workers of the store.

    `running_per_worker` bounds what one process holds in memory. `events` is how many an instance may hold that it has
    not taken; their payloads count into its `state_bytes`. `creations_per_s` is for each workflow;
    None means as many as the disk takes. `threads` are for callbacks that are no coroutines; `given_up_threads` are
    those that timed out or were stopped, and whose function has not returned yet.
    """

    max_running: int = 100
    running_per_worker: int = 100
    steps: int = 10_000
    result_bytes: int = 1 << 20
    payload_bytes: int = 1 << 20
    state_bytes: int = 1 << 30
    events: int = 10_000
    queued_max: int = 2_000_000
    creations_per_s: int | None = None
    recoveries_max: int = 100
    threads: int = 100
    given_up_threads: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the engine waits for what. `retry_jitter`, 0 to 1: by up to which part each wait before a retry is made
    longer, at random. It belongs to the engine and is in no step's config, stored or not. Raises ValueError."""

    lease_ms: int = 30_000
    heartbeat_ms: int = 10_000
    look_ms: int = 1_000  # how often a worker looks whether another one died
    grace_ms: int = 5_000  # how long an instance that only waits stays in memory
    crowded_grace_ms: int = 5  # the same while others wait for its place
    poll_ms: int = 100  # how late a command of another process may be seen
    drain_ms: int = 30_000
    delay_function_ms: int = 5_000
    retry_jitter: float = 0.0
    sweep_ms: int = 60_000
    success_retention_ms: int = 30 * DAY_MS
    error_retention_ms: int = 30 * DAY_MS

    def __post_init__(self) -> None:
        if not 0 <= self.retry_jitter <= 1:
            raise ValueError(f"retry_jitter is from 0 to 1, not {self.retry_jitter!r}")
