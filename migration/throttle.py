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

    def __str__(self) -> str:
        bounds = [
            f"{bound:,.0f} {unit} a second"
            for bound, unit in ((self.deployments, "deployments"), (self.bytes, "bytes"))
            if bound is not None
        ]
        return " and ".join(bounds) or "as fast as it goes"

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
        self._at_s = now_s
        self._owed = Owed()

    @property
    def owed_rows(self) -> float:
        """Done, and not yet allowed by the pace."""
        return max(0.0, self._owed.rows)

    def wait_s(self, pace: Pace, *, rows_count: float, bytes_count: float, now_s: float) -> float:
        """After a batch of that size (none, to ask again): how long until the pace, as it is now, allows the next one.
        A clock that is stepped back pays off nothing."""
        passed_s, self._at_s = max(0.0, now_s - self._at_s), now_s
        self._owed = Owed(
            left_of(self._owed.rows, pace.deployments, passed_s) + rows_count,
            left_of(self._owed.bytes, pace.bytes, passed_s) + bytes_count,
        )
        return max(
            0.0,
            self._owed.rows / pace.deployments if pace.deployments else 0.0,
            self._owed.bytes / pace.bytes if pace.bytes else 0.0,
        )


@dataclass(frozen=True, slots=True)
class Owed:
    """What was done ahead of the pace; below zero: what may be done at once."""

    rows: float = 0.0
    bytes: float = 0.0


def left_of(owed: float, per_s: float | None, passed_s: float) -> float:
    if not per_s:
        return 0.0
    return max(owed - passed_s * per_s, -BURST_S * per_s)
