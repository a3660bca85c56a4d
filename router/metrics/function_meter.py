"""Counting what functions do, and the workerd processes that run them, in this process's cells."""

from bisect import bisect_left
from typing import Final

from router.metrics.bounds import BOUNDS_NS, BUCKETS_COUNT
from router.metrics.catalogue import (
    FUNCTION_LOADS,
    FUNCTION_REQUESTS,
    FUNCTION_SECONDS,
    WORKERD_BYTES,
    WORKERD_EVENTS,
    WORKERD_PROCESSES,
    FunctionOutcome,
    cell,
)
from router.metrics.slot import Cells

KNOWN_EVENTS: Final = {event: cell(WORKERD_EVENTS, event) for event in WORKERD_EVENTS.labels[0].values}


class FunctionMeter:
    """One edge worker's."""

    __slots__ = ("_cells", "_outcomes", "_seconds")

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._outcomes = {outcome: cell(FUNCTION_REQUESTS, outcome) for outcome in FunctionOutcome}
        self._seconds = cell(FUNCTION_SECONDS)

    def ended(self, outcome: FunctionOutcome) -> None:
        self._cells[self._outcomes[outcome]] += 1

    def answered_after(self, elapsed_ns: int) -> None:
        self._cells[self._seconds + bisect_left(BOUNDS_NS, elapsed_ns)] += 1
        self._cells[self._seconds + BUCKETS_COUNT] += elapsed_ns

    def loaded(self) -> None:
        self._cells[cell(FUNCTION_LOADS)] += 1

    def happened(self, event: str) -> None:
        """One of WORKERD_EVENTS' values befell a workerd process."""
        self._cells[KNOWN_EVENTS[event]] += 1

    def saw(self, *, processes_count: int, resident_bytes: int) -> None:
        """The workerd processes that run now, and what they take together."""
        self._cells[cell(WORKERD_PROCESSES)] = processes_count
        self._cells[cell(WORKERD_BYTES)] = resident_bytes
