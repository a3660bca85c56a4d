"""The pace: a token bucket over two measures, deployments and bytes. Pure; the caller has the clock."""

from dataclasses import dataclass
from typing import Final

BURST_S: Final = 0.25
"""How much of unused pace is kept: what a pause of the job has saved up must not fall on the edges at once."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Per second; None is without a bound."""

    deployments: float | None = None
    bytes: float | None = None

    def scaled(self, factor: float) -> "Pace":
        return Pace(
            self.deployments * factor if self.deployments is not None else None,
            self.bytes * factor if self.bytes is not None else None,
        )

    def batch_rows(self, rows_max: int, batch_s: float) -> int:
        """So many rows that a batch takes about `batch_s` at this pace; 1 to `rows_max`."""
        return rows_max if self.deployments is None else max(1, min(rows_max, int(self.deployments * batch_s)))


class Throttle:
    """Says how long to wait before the next batch. Times are in seconds of one monotonic clock."""

    def __init__(self, now_s: float) -> None:
        self._free_at_s = now_s

    def wait_s(self, pace: Pace, *, rows_count: float, bytes_count: float, now_s: float) -> float:
        """After a batch of that size: how long until the pace allows the next one."""
        cost_s = max(
            rows_count / pace.deployments if pace.deployments else 0.0,
            bytes_count / pace.bytes if pace.bytes else 0.0,
        )
        self._free_at_s = max(self._free_at_s, now_s - BURST_S) + cost_s
        return max(0.0, self._free_at_s - now_s)
