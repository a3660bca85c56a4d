"""Whom a lost process is held against: from what was under way in it, and just before, to suspects on probation.

    a process is lost → Blame.hold → Probation.note_loss;  a request of it that broke off asks Blame.includes

Nothing in workerd says whose code was running (probation.py); here it is told from what we sent there, and when.
"""

from collections.abc import Callable
from typing import Final

from functions.cells import Cells
from functions.probation import Probation
from functions.workerd_process import WorkerdProcess

RECENT_S: Final = 10.0
"""What was sent this lately may still be at work, though it has answered."""
AT_LARGE_S: Final = 60.0
"""For so long after a loss the culprit may be one that wasn't under way then."""


class Blame:
    """What is held against whom, for each process that was lost, until it is forgotten."""

    def __init__(self, cells: Cells, probation: Probation, now_s: Callable[[], float]) -> None:
        self._cells = cells
        self._probation = probation
        self._now_s = now_s
        self._culprits: dict[WorkerdProcess, list[str]] = {}
        self._lost_at_s = -AT_LARGE_S

    def hold(
        self, process: WorkerdProcess, *, sent_before_s: float = float("inf"), may_be_certain: bool = True
    ) -> list[str]:
        """Returns the bundles. Of what was under way, only what was sent before `sent_before_s` can have been it."""
        now_s = self._now_s()
        alone = self._cells.bundle_in(process)
        if alone is not None:
            suspects, is_certain = {alone}, True
        elif process.is_set_aside:
            # Those that could leave it show in their cells what they do; left are those that couldn't.
            suspects = set(process.bundles_under_way(sent_before_s=sent_before_s))
            is_certain = len(suspects) == 1
        else:
            recent = {each for each, sent_s in process.last_sent_s.items() if sent_s > now_s - RECENT_S}
            suspects = set(process.bundles_under_way(sent_before_s=sent_before_s)) or recent
            is_certain = len(suspects | recent) == 1
            if now_s - self._lost_at_s < AT_LARGE_S:
                suspects |= recent  # those of the last time weren't it: perhaps what loops has answered already
            self._lost_at_s = now_s
        self._culprits[process] = sorted(suspects)
        self._probation.note_loss(suspects, now_s, is_certain=is_certain and may_be_certain)
        return self._culprits[process]

    def is_held(self, process: WorkerdProcess) -> bool:
        """Its loss is accounted for already."""
        return process in self._culprits

    def includes(self, process: WorkerdProcess, bundle: str) -> bool:
        return bundle in self._culprits.get(process, ())

    def forget(self, process: WorkerdProcess) -> None:
        self._culprits.pop(process, None)
