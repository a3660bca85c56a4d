"""How many instances may be created: a rate for each workflow, and a bound on its queue. Refused with code `rate`."""

from typing import Final

from workflows.clock import Clock
from workflows.errors import WorkflowError
from workflows.limits import Limits
from workflows.store.reads import Reads

COUNTED_EVERY_MS: Final = 1000  # a queue is counted anew each second; between counts, what was created here is added


class RateExceeded(WorkflowError):
    """`retry_after_s` is how long to wait before the next try."""

    def __init__(self, why: str, retry_after_s: int) -> None:
        super().__init__("rate", why)
        self.retry_after_s = retry_after_s


class Intake:
    """One process's view: with several that create, each has the rate for itself."""

    def __init__(self, reads: Reads, clock: Clock, limits: Limits) -> None:
        self._reads = reads
        self._clock = clock
        self._limits = limits
        self._seconds: dict[str, tuple[int, int]] = {}
        self._queues: dict[str, tuple[int, int]] = {}

    def admit(self, workflow_id: str, count: int) -> None:
        """Raises RateExceeded, having counted nothing."""
        now = self._clock.now_ms()
        second, created = self._seconds.get(workflow_id, (0, 0))
        if second != now // 1000:
            second, created = now // 1000, 0
        rate = self._limits.creations_per_s
        if rate is not None and created + count > max(rate, count if not created else 0):
            raise RateExceeded(f"more than {rate} instances a second; try again in a second", 1)
        counted_on, queued = self._queues.get(workflow_id, (0, 0))
        if now - counted_on >= COUNTED_EVERY_MS:
            counted_on, queued = now, self._reads.count_queued(workflow_id, self._limits.queued_max)
        if queued + count > self._limits.queued_max:
            raise RateExceeded(f"{queued} instances are queued, limit {self._limits.queued_max}", 10)
        self._seconds[workflow_id] = (second, created + count)
        self._queues[workflow_id] = (counted_on, queued + count)
